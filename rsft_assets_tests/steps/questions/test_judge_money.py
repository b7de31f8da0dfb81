"""What judges cost: the estimate before, and what a stand-in for a judge was really sent after."""

import pytest

from rsft_assets.specs.lineage import score_ref
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.questions.planning.actuals import actual, estimated, keep, last_plan
from rsft_assets.steps.questions.planning.amounts import CostEstimate
from rsft_assets.steps.questions.planning.quantities import Line
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results
from rsft_assets.steps.scores.score import score
from rsft_assets_tests.steps.engines.rude_server import rude_server
from rsft_assets_tests.steps.small_chain import benchmark, publish_upstream, small_study

ITEMS = [{"question": f"Is {n} odd?"} for n in range(5)]
TOKENS_A_JUDGEMENT, PRICE = 40, 2.5


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server on this machine in place of both judges of TruthfulQA, priced, and called a stand-in."""

    def answer(path, body):
        return {"choices": [{"text": "yes"}], "usage": {"total_tokens": TOKENS_A_JUDGEMENT}}

    with rude_server(answer) as server:
        table = '[{}]\nendpoint = "{}"\nmodel = "stand-in for a judge"\nusd_per_million_tokens = {}\n'
        path = tmp_path / "judges.toml"
        path.write_text("".join(table.format(role, server.url, PRICE) for role in ("truthful", "helpful")))
        monkeypatch.setenv("RSFT_JUDGES", str(path))
        monkeypatch.delenv("RSFT_PLACEMENT", raising=False)
        yield server


def line_of(study, store, refs):
    line = Line("scores/tiny", ("scores/tiny/tqa",))
    CostEstimate(States(study, store, refs)).add(line, "scores/tiny/tqa", refs)
    return line


@pytest.mark.slow
def test_judge_tokens_and_money_stand_beside_their_estimate(tmp_path, server):
    store, study = (
        Store(tmp_path / "home"),
        small_study(benchmark("tqa", "truthfulqa", metrics=("helpful", "truthful"))),
    )
    run = study.runs_of("tiny")[0]
    refs = [score_ref(run, step, "tqa") for step in (0, 1)]
    for ref in refs:
        publish_upstream(study, store, ref, {"tqa": ITEMS})
    before = line_of(study, store, refs)
    assert before.figures["judge_tokens"].basis == "assumed"
    assert before.figures["judge_usd"].value == pytest.approx(before.figures["judge_tokens"].value * PRICE / 1e6)

    keep(store, ["scores/tiny/*"], [before])
    score(study, store, refs)
    plan = last_plan(store)
    took = actual(study, store, estimated(plan["lines"][0]), plan["at"])
    sent = len(server.seen)
    assert sent > 0
    assert took.figures["judge_tokens"].value == sent * TOKENS_A_JUDGEMENT
    assert took.figures["judge_usd"].value == pytest.approx(sent * TOKENS_A_JUDGEMENT * PRICE / 1e6)
    assert took.figures["judge_usd"].basis == "measured"

    # What was judged is measured: the next estimate stands on it.
    later = [score_ref(run, 2, "tqa")]
    publish_upstream(study, store, later[0], {"tqa": ITEMS})
    after = line_of(study, store, later)
    assert "40 tokens a judgement, measured" in " ".join(after.sources)


@pytest.mark.slow
def test_the_table_of_scores_names_the_judge(tmp_path, server):
    store, study = (
        Store(tmp_path / "home"),
        small_study(benchmark("tqa", "truthfulqa", metrics=("helpful", "truthful"))),
    )
    ref = score_ref(study.runs_of("tiny")[0], 0, "tqa")
    publish_upstream(study, store, ref, {"tqa": ITEMS})
    score(study, store, [ref])
    build_results(study, store)
    with open_results(store) as db:
        judges = db.execute("SELECT DISTINCT judge FROM marts.benchmark_scores").fetchall()
    assert judges == [("helpful: stand-in for a judge, truthful: stand-in for a judge",)]
