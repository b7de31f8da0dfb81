"""What selections come to, against amounts worked out by hand."""

import json

import pytest

from rsft_assets.specs import rates
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.responses import Teacher
from rsft_assets.specs.study import load_study
from rsft_assets.steps.questions.planning.amounts import estimate, teacher_parameters
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.quantities import Quantity, total, weakest
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.finished_study import finish, finished_home, make, tiny_study

PAPER = load_study()
MAIN = "qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256"
POOL = "openr1-math_qwen3-32b_n32"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("RSFT_PLACEMENT", "RSFT_JUDGES", "RSFT_STUDY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return Store(finished_home(tmp_path_factory))


def figures(study, store, selection, **how):
    return total(estimate(make_plan(study, store, Selection((selection,), **how), assume_inputs=True))).figures


def test_the_papers_pool_is_1_408_000_responses(tmp_path):
    found = figures(PAPER, Store(tmp_path), f"responses/{POOL}", upstream=True)
    assert found["generated_tokens"] == Quantity(44_000 * 32 * 6_000, "assumed")
    assert found["generated_tokens_at_most"] == Quantity(44_000 * 32 * 16_384, "reference")
    by_hand = 44_000 * 32 * 6_000 * 2 * 32.8e9 / (0.10 * 989e12) / 3600
    assert found["gpu_hours"].value == pytest.approx(by_hand)


def test_the_countdown_pool_has_as_many_responses_as_fill_its_set(tmp_path):
    """20,480 rows and a quarter more, one response a query, at the 80 % that are assumed to be correct."""
    lines = estimate(
        make_plan(PAPER, Store(tmp_path), Selection(("datasets/countdown-cot-20k",), upstream=True), assume_inputs=True)
    )
    assert total(lines).figures["generated_tokens"] == Quantity(32_000 * 6_000, "assumed")
    said = "80% of responses correct (assumed), so 32,000 queries fill it with a quarter to spare"
    assert said in " ".join(total(lines).sources)


def test_one_shard_is_a_64th_of_the_pool(tmp_path):
    found = figures(PAPER, Store(tmp_path), f"responses/{POOL}", partitions=["07"])
    assert found["generated_tokens"].value == pytest.approx(22_000 * 6_000)


def test_a_14b_run_is_640_steps_of_256_rows(tmp_path):
    found = figures(PAPER, Store(tmp_path), "checkpoints/qwen3-14b", runs=[MAIN])
    tokens = 640 * 256 * 6_150
    assert found["trained_tokens"] == Quantity(tokens, "assumed")
    assert found["gpu_hours"].value == pytest.approx(6 * 14.77e9 * tokens / (0.40 * 989e12) / 3600)
    assert found["disk_bytes"] == Quantity(8 * 2 * 14_770_000_000, "reference"), "eight kept steps in bf16"


def test_a_run_up_to_a_step_is_trained_that_far_once(tmp_path):
    found = figures(PAPER, Store(tmp_path), "checkpoints/qwen3-14b", runs=[MAIN], steps=[40, 80])
    assert found["trained_tokens"].value == 80 * 256 * 6_150
    kept, state = 4 * 2, 2 * 12  # steps 10 to 80, and the state to go on from beside its successor
    assert found["disk_bytes"].value == (kept + state) * 14_770_000_000


@pytest.mark.parametrize(
    ("made", "saved", "start"),
    [
        ((5, 10), 10, 10),
        ((5, 10), 17, 17),
        ((5, 10), None, 0),
        ((), 5, 5),
        ((), 10, 0),  # past the first checkpoint that is missing: it cannot lead there
    ],
)
def test_a_half_trained_run_counts_the_rest(tmp_path, made, saved, start):
    study, store = tiny_study(), Store(tmp_path)
    finish(study, store, stages=("queries", "responses", "verdicts", "benchmarks", "datasets", "base_models"))
    run = study.runs["tiny-1m_tiny-few_lr1e-3_ep40_bs16"]
    for step in (0, *made):
        make(study, store, Ref("checkpoints/tiny-1m", f"{run.name}|{step}"))
    if saved is not None:
        folder = store.slot(Ref("checkpoints/tiny-1m", run.name)) / ".resume" / f"state-{saved}"
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(json.dumps({"step": saved}))
    (line,) = estimate(
        make_plan(study, store, Selection(("checkpoints/tiny-1m",), runs=(run.name,)), assume_inputs=True)
    )
    assert line.trained == {run.name: (start, 40)}
    assert [ref.step for ref in line.refs] == [step for step in (5, 10, 20, 40) if step not in made]


def test_a_finished_study_costs_nothing(finished):
    study = tiny_study()
    for selection in ("scores/tiny-1m/*", "checkpoints/tiny-*", "responses/tiny-*", "datasets/tiny-*"):
        assert estimate(make_plan(study, finished, Selection((selection,)))) == []


def test_force_counts_what_is_finished(finished):
    study = tiny_study()
    plan = make_plan(study, finished, Selection(("checkpoints/tiny-1m",), force=True))
    lines = estimate(plan)
    assert {ref for line in lines for ref in line.refs} == set(plan.refs)
    assert {start for line in lines for start, _ in line.trained.values()} == {0}


def test_step_0_is_answered_once_for_all_runs(tmp_path):
    benchmark = PAPER.benchmarks["math500"]
    found = figures(PAPER, Store(tmp_path), "scores/qwen3-14b/math500", steps=[0])
    assert found["generated_tokens"].value == 500 * benchmark.sampling.n * rates.TYPICAL_ANSWER.value


def test_judges_are_not_priced_without_a_price(tmp_path, monkeypatch):
    store = Store(tmp_path)
    choice = {"runs": [MAIN], "steps": [640]}
    found = figures(PAPER, store, "scores/qwen3-14b/hex_phi", **choice)
    assert found["judge_tokens"] == Quantity(300 * 2 * 2_900, "assumed")
    assert "judge_usd" not in found
    toml = tmp_path / "judges.toml"
    toml.write_text('[harm]\nendpoint = "http://x/v1"\nmodel = "m"\nusd_per_million_tokens = 5.0\n')
    monkeypatch.setenv("RSFT_JUDGES", str(toml))
    assert figures(PAPER, store, "scores/qwen3-14b/hex_phi", **choice)["judge_usd"].value == pytest.approx(8.7)


def test_judgements_in_store_say_how_long_they_are(tmp_path):
    (tmp_path / "judgements" / "hex_phi").mkdir(parents=True)
    rows = [json.dumps({"tokens": tokens}) for tokens in (1_000, 3_000)]
    (tmp_path / "judgements" / "hex_phi" / "harm-abc.jsonl").write_text("\n".join([*rows, '{"tok']))
    found = figures(PAPER, Store(tmp_path), "scores/qwen3-14b/hex_phi", runs=[MAIN], steps=[640])
    assert found["judge_tokens"].value == 300 * 2 * 2_000


@pytest.mark.parametrize(("repo", "parameters"), [("org/Model-7B", 7e9), ("org/m-1.5b-it", 1.5e9), ("org/nothing", 0)])
def test_a_teachers_size_is_in_its_name(repo, parameters):
    assert teacher_parameters(Teacher(name="other", origin=Hub(repo=repo))) == parameters


def test_a_sum_is_as_good_as_its_weakest_part():
    assert weakest("measured", "assumed", "reference") == "assumed"
    assert Quantity(1, "measured") + Quantity(2, "reference") == Quantity(3, "reference")
