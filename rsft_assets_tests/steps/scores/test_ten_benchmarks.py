"""The paper's ten benchmarks from small copies in their published layouts, through lock and score, to their states.

The judges are a stand-in on this machine that gives one fixed reply in every role.
"""

import functools
import json
import os
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref, score_ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.benchmarks.lock import lock_benchmark
from rsft_assets.steps.engines.protocol import Completion
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.scores import scoring as scoring_module
from rsft_assets.steps.scores.grading.task import Item
from rsft_assets.steps.scores.grading.tasks import task
from rsft_assets.steps.scores.kinds.gpqa import options_of
from rsft_assets.steps.scores.sandbox import pool as sandbox
from rsft_assets.steps.scores.score import score
from rsft_assets_tests.steps import small_chain
from rsft_assets_tests.steps.engines.rude_server import rude_server
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model
from rsft_assets_tests.steps.published_layouts import FUNCTION_CODE, LAYOUTS, STDIN_CODE, packed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_verifier")]
pytest.importorskip("lm_eval", reason="IFEval's checks are lm-evaluation-harness's")
JUDGE_ROLES = ("truthful", "helpful", "harm", "self_jailbreak", "reward_rb2", "reward_skywork_v2", "reward_rm_mistral")
JUDGED = {"alpacaeval", "truthfulqa", "hex_phi"}
needs_isolation = pytest.mark.skipif(bool(problem := sandbox.isolation_problem()), reason=problem)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    for write, _ in LAYOUTS.values():
        write(folder)
    monkeypatch.setenv("RSFT_MIRROR", str(folder))
    return folder


@pytest.fixture
def judges(tmp_path, monkeypatch):
    def answer(path, body):
        if path.endswith("/classify"):
            return {"data": [{"probs": [1.5]}]}
        said = "#thereason: stand-in #thescore: 5 #verdict: no" if "messages" in body else "yes"
        return {"choices": [{"text": said, "message": {"content": said}}], "usage": {"total_tokens": 5}}

    with rude_server(answer) as server:
        tables = [f'[{role}]\nendpoint = "{server.url}"\nmodel = "stand-in-judge"\n' for role in JUDGE_ROLES]
        rubric = tmp_path / "rubric.txt"
        rubric.write_text("Score this from 1 to 5.\n{instruction}\n{response}\n")
        tables = [table.replace("[harm]", f'[harm]\nrubric = "{rubric.name}"') for table in tables]
        (tmp_path / "judges.toml").write_text("".join(tables))
        monkeypatch.setenv("RSFT_JUDGES", str(tmp_path / "judges.toml"))
        yield


@pytest.fixture
def locked(tmp_path, mirror, monkeypatch):
    """A function that locks all ten, makes a tiny checkpoint, and gives (study, store, refs)."""
    # Prompts of the real benchmarks are longer than the other tests' models read.
    monkeypatch.setattr(small_chain, "make_tiny_model", functools.partial(make_tiny_model, context=4_096))

    def lock():
        paper = load_study().benchmarks
        small = [
            replace(paper[name], items=count, sampling=replace(paper[name].sampling, n=2, max_tokens=24))
            for name, (_, count) in LAYOUTS.items()
        ]
        study, store = small_chain.small_study(*small), Store(tmp_path / "home")
        for name in LAYOUTS:
            lock_benchmark(study, store, Ref(f"benchmarks/{name}"))
        refs = [score_ref(study.runs_of("tiny")[0], 0, name) for name in LAYOUTS]
        small_chain.publish_upstream(study, store, refs[0], {})
        return study, store, refs

    return lock


def states(outputs):
    return {output.manifest.ref.benchmark: output.stats["state"] for output in outputs}


def table(output):
    return pq.read_table(output.file("scores.parquet")).to_pylist()


@needs_isolation
def test_all_ten_are_scored_by_a_real_engine(locked, judges):
    study, store, refs = locked()
    outputs = score(study, store, refs)
    assert states(outputs) == dict.fromkeys(LAYOUTS, "scored")
    for output in outputs:
        items = LAYOUTS[output.manifest.ref.benchmark][1]
        rows = [row for row in table(output) if row["category"] == "all" and row["grader"] == "authors"]
        assert rows
        graded = pq.read_table(output.file("graded.parquet")).to_pylist()
        assert {row["item_id"] for row in graded} and len({row["item_id"] for row in graded}) == items
        assert all(row["state"] in ("scored", "undecided") for row in graded)


class Oracle:
    """An engine that knows the answer to every prompt."""

    fingerprint, description = "oracle", {"engine": "oracle"}

    def __init__(self, answers):
        self.answers = answers

    def load(self, folder):
        pass

    def render(self, turns, sampling):
        return turns[0]["content"]

    def generate(self, requests):
        for request in requests:
            yield Completion(request.id, self.answers[request.prompt], 3, 4, "stop", True, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def right_answer(name, item):
    if name == "gpqa_diamond":
        return f"\\boxed{{{'ABCD'[options_of(item).index(item.gold)]}}}"
    if name == "lcb_v2":
        return f"```python\n{FUNCTION_CODE if item.fields['starter_code'] else STDIN_CODE}```"
    if item.gold is not None:
        return item.gold if name == "halueval" else f"\\boxed{{{item.gold}}}"
    return "something short in small letters"


def knowing_all(study, store):
    answers = {}
    for name, benchmark in study.benchmarks.items():
        items = store.require(Ref(f"benchmarks/{name}")).file("items.parquet")
        for item in map(Item.of, pq.read_table(items).to_pylist()):
            thought = f"<think>Let me see.</think>{right_answer(name, item)}"
            answers[task(benchmark.task).prompt(item, benchmark)] = thought
    return Oracle(answers)


@needs_isolation
def test_right_answers_are_right_in_all_ten(locked, judges, monkeypatch):
    study, store, refs = locked()
    oracle = knowing_all(study, store)
    monkeypatch.setattr(scoring_module, "open_engine", lambda *_: oracle)
    outputs = score(study, store, refs)
    assert states(outputs) == dict.fromkeys(LAYOUTS, "scored")
    values = {output.manifest.ref.benchmark: output.stats["value"] for output in outputs}
    assert values == {**dict.fromkeys(LAYOUTS, 1.0), "alpacaeval": 1.5}
    for output in outputs:
        assert {row["state"] for row in table(output)} == {"scored"}
        assert output.stats.get("judges", {}).keys() <= set(JUDGE_ROLES)


def test_what_cannot_be_had_or_judged_is_a_state_and_no_number(locked, mirror, monkeypatch):
    monkeypatch.delenv("RSFT_JUDGES", raising=False)
    monkeypatch.setattr(sandbox, "supported", lambda: "no sandbox on this machine")
    for gated in ("Idavidrein/gpqa", "LLM-Tuning-Safety/HEx-PHI"):
        (mirror / gated).rename(mirror / gated.replace("/", "_"))
    study, store, refs = locked()
    outputs = score(study, store, refs)
    expected = dict.fromkeys(LAYOUTS, "scored")
    expected |= dict.fromkeys(("gpqa_diamond", "hex_phi"), "no-access")
    expected |= dict.fromkeys(("lcb_v2", "alpacaeval", "truthfulqa"), "not-run")
    assert states(outputs) == expected
    for output in outputs:
        for row in table(output):
            assert (row["value"] is None) == (row["state"] != "scored")
            assert row["state"] == "scored" or row["reason"]


def test_a_pickle_that_would_run_something_stops_its_benchmark_only(locked, mirror, tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    file = mirror / "livecodebench/code_generation_lite/test.jsonl"
    row = json.loads(file.read_text())
    file.write_text(json.dumps({**row, "private_test_cases": packed(Evil())}) + "\n")
    study, store, refs = locked()
    oracle = knowing_all(study, store)
    monkeypatch.setattr(scoring_module, "open_engine", lambda *_: oracle)
    kept = [ref for ref in refs if ref.benchmark in ("lcb_v2", "math500")]
    if sandbox.isolation_problem():
        pytest.skip("no sandbox here, so tests are never read")
    with pytest.raises(StepError, match=r"1 failed, 1 done(?s:.*)private_test_cases cannot be read.*only text is read"):
        score(study, store, kept)
    assert not (tmp_path / "ran").exists()
    assert store.current(kept[0]).stats["value"] == 1.0
