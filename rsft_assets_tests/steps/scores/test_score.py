"""The score step end to end: tiny checkpoints, the real engine, the real verifier, real files."""

import collections
import dataclasses
import itertools
import json
import multiprocessing
import threading
import time
from typing import ClassVar

import pyarrow.parquet as pq
import pytest

from rsft_assets.specs.benchmarks import GRADER_VERSIONS
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.judges import ROLES, TRUTH_FORMS
from rsft_assets.specs.lineage import Ref, score_ref
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines.local import LocalEngine
from rsft_assets.steps.processes import hardware
from rsft_assets.steps.records.drift import drift
from rsft_assets.steps.records.manifest import read_manifest
from rsft_assets.steps.records.provenance import command
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.scores import scoring as scoring_module
from rsft_assets.steps.scores.completions import CompletionSet
from rsft_assets.steps.scores.grading import tasks
from rsft_assets.steps.scores.grading.task import ACCURACY, Grade, Task, each
from rsft_assets.steps.scores.score import processes_for, score
from rsft_assets_tests.steps.engines.rude_server import rude_server
from rsft_assets_tests.steps.small_chain import SAMPLING, SUMS, benchmark, publish_upstream, small_study

pytestmark = pytest.mark.usefixtures("quick_verifier")

FORMAT = [{"question": f"Say {c}.", "gold": c, "fields": {"expected": c}} for c in "abcde"]


class Counted(LocalEngine):
    """The engine of these tests, and what was asked of it."""

    log: ClassVar[collections.Counter] = collections.Counter()

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.log["opened"] += 1

    def load(self, folder):
        self.log["loaded"] += 1
        super().load(folder)

    def generate(self, requests):
        for completion in super().generate(requests):
            self.log["generated"] += 1
            yield completion


@pytest.fixture
def counts(monkeypatch):
    monkeypatch.setattr(Counted, "log", collections.Counter())
    monkeypatch.setattr(scoring_module, "open_engine", Counted)
    # What is counted here is counted in this process.
    monkeypatch.setattr(hardware, "cores", lambda: 1)
    return Counted.log


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def refs_of(study, *, runs=("a", "b"), steps=(0, 1), only=None):
    return [
        score_ref(run, step, name)
        for run in study.runs_of("tiny")
        if run.dataset in runs
        for step in steps
        for name in only or study.benchmarks
    ]


def prepared(store, *benchmarks, items, **chosen):
    study = small_study(*benchmarks)
    refs = refs_of(study, **chosen)
    for ref in refs:
        publish_upstream(study, store, ref, items)
    return study, refs


def table(output, name):
    return pq.read_table(output.file(name)).to_pylist()


@pytest.mark.slow
def test_a_list_of_checkpoints_is_scored_by_one_engine(store, counts):
    study, refs = prepared(
        store, benchmark("sums"), benchmark("form", "nano-format"), items={"sums": SUMS, "form": FORMAT}
    )
    outputs = score(study, store, refs)
    assert sorted(str(output.manifest.ref) for output in outputs) == sorted(map(str, refs))
    # Step 0 of both runs has the same weights: three checkpoints to answer, not four.
    assert counts == {"opened": 1, "loaded": 3, "generated": 3 * 2 * (len(SUMS) + len(FORMAT))}


class Interrupted(Exception):
    """Ends a run in the middle of its answers, as a kill does."""


def untrained(store):
    """A study of six benchmarks and its cells. The model's draws are nearly even, so a changed last digit shows."""
    sampling = dataclasses.replace(SAMPLING, max_tokens=48, n=1)
    items = {
        name: [{"question": f"{name * (n % 7)} {n}?", "gold": "x", "fields": {"expected": "x"}} for n in range(60)]
        for name in "abcdef"
    }
    benchmarks = [benchmark(name, "nano-format", sampling=sampling) for name in items]
    return prepared(store, *benchmarks, items=items, runs=("a",), steps=(1,))


@pytest.fixture(scope="module")
def all_at_once(tmp_path_factory):
    """Digests of the answers of its cells, all made in one go."""
    store = Store(tmp_path_factory.mktemp("all at once"))
    study, refs = untrained(store)
    return _digests_of_answers(store, score(study, store, refs))


@pytest.mark.parametrize(
    ("chosen", "stopped_after"),
    [
        ("cab", None),
        ("abcdef", 30),
        *[
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (("a", None), ("fedcba", None), ("abcdef", 100), ("a", 45))
        ],
    ],
)
def test_a_cell_is_the_same_whatever_is_made_beside_it(store, all_at_once, monkeypatch, chosen, stopped_after):
    study, refs = untrained(store)
    wanted = [ref for name in chosen for ref in refs if ref.benchmark == name]
    if stopped_after:
        with monkeypatch.context() as context, pytest.raises(Interrupted):
            context.setattr(CompletionSet, "add", _stopping(stopped_after))
            score(study, store, wanted)
    assert _digests_of_answers(store, score(study, store, wanted)) == {name: all_at_once[name] for name in chosen}


def _digests_of_answers(store, outputs):
    folders = {output.manifest.ref.benchmark: output.stats["completions"]["folder"] for output in outputs}
    return {name: read_manifest(store.home / folder).digest for name, folder in folders.items()}


def _stopping(after):
    add, added = CompletionSet.add, itertools.count(1)

    def adding(self, request, completion):
        if next(added) > after:
            raise Interrupted
        add(self, request, completion)

    return adding


@pytest.mark.slow
def test_checkpoints_scored_side_by_side_come_to_the_same(tmp_path, monkeypatch):
    scored = {}
    for cores in (1, 3):
        store = Store(tmp_path / f"{cores} cores")
        monkeypatch.setattr(hardware, "cores", lambda cores=cores: cores)
        monkeypatch.setattr(hardware, "free_memory", lambda: 64 * hardware.GIB)
        study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS})
        outputs = score(study, store, refs)
        scored[cores] = {str(output.manifest.ref): output.digest for output in outputs}
        assert {output.manifest.made_by["command"] for output in outputs} == {command()}
    assert scored[1] == scored[3]
    assert len(scored[1]) == 4


@pytest.mark.slow
def test_a_process_beside_others_that_dies_says_so(store, monkeypatch):
    monkeypatch.setattr(hardware, "cores", lambda: 2)
    monkeypatch.setattr(hardware, "free_memory", lambda: 64 * hardware.GIB)
    study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS})
    killer = threading.Thread(target=_kill_the_first_child, daemon=True)
    killer.start()
    with pytest.raises(StepError, match="a scoring process died"):
        score(study, store, refs)
    killer.join()
    assert len(score(study, store, refs)) == len(refs)


def _kill_the_first_child():
    while not (children := multiprocessing.active_children()):
        time.sleep(0.01)
    children[0].kill()


@pytest.mark.parametrize(
    ("placement", "needs_gpu", "expected"),
    [
        ({}, False, 4),
        ({"processes": 4}, False, 4),
        ({}, True, 1),
        ({"engines": 2}, False, 1),
        ({"engine": "endpoint"}, False, 1),
    ],
)
def test_how_many_processes_score(monkeypatch, placement, needs_gpu, expected):
    monkeypatch.setattr(hardware, "cores", lambda: 4)
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    monkeypatch.setattr(hardware, "free_memory", lambda: 64 * hardware.GIB)
    assert processes_for(Placement(**placement), needs_gpu=needs_gpu) == expected


def test_what_a_score_holds(store, counts):
    study, [ref] = prepared(store, benchmark("sums"), items={"sums": SUMS}, runs=("a",), steps=(1,))
    [output] = score(study, store, [ref])
    graded, scores = table(output, "graded.parquet"), table(output, "scores.parquet")
    assert len(graded) == len(SUMS) * 2 * 2
    assert {(row["grader"], row["category"]) for row in scores} == {
        (grader, category) for grader in ("strict", "authors") for category in ("all", "even", "odd")
    }
    for row in scores:
        assert row["state"] == "scored"
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
        assert row["samples"] + row["undecided"] == 2 * len(SUMS) // (1 if row["category"] == "all" else 2)
    text = output.stats["completions"]
    manifest = read_manifest(store.home / text["folder"])
    assert manifest.digest == text["digest"]
    assert manifest.stats["tokens_per_second"] > 0
    assert {entry.asset for entry in manifest.inputs} == {"checkpoints/tiny", "benchmarks/sums"}


def test_finished_scores_and_texts_are_kept(store, counts):
    study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS}, runs=("a",), steps=(0,))
    [first] = score(study, store, refs)
    [again] = score(study, store, refs)
    [forced] = score(study, store, refs, force=True)
    assert again.folder == first.folder != forced.folder
    assert forced.digest == first.digest
    assert counts["generated"] == 2 * len(SUMS)


def test_another_version_of_a_grader_grades_the_same_texts_anew(store, counts, monkeypatch):
    study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS}, runs=("a",), steps=(0,))
    [first] = score(study, store, refs)
    monkeypatch.setitem(GRADER_VERSIONS, "math", 2)
    [second] = score(study, store, refs)
    assert second.folder != first.folder
    assert drift(study, store, first) == ["changed since: grader_version (None -> 2)"]
    assert counts["generated"] == 2 * len(SUMS)


def test_a_damaged_score_is_made_again_from_its_texts(store, counts):
    study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS}, runs=("a",), steps=(0,))
    [first] = score(study, store, refs)
    first.file("graded.parquet").unlink()
    [again] = score(study, store, refs)
    assert again.folder != first.folder and again.digest == first.digest
    assert counts["generated"] == 2 * len(SUMS)


def test_another_sampling_is_another_text_but_another_title_is_not(store, counts):
    study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS}, runs=("a",), steps=(0,))
    [first] = score(study, store, refs)
    renamed = small_study(benchmark("sums", title="other words"))
    assert score(renamed, store, refs)[0].folder == first.folder
    hotter = dataclasses.replace(benchmark("sums").sampling, temperature=1.5)
    [other] = score(small_study(benchmark("sums", sampling=hotter)), store, refs)
    assert other.stats["completions"] != first.stats["completions"]
    assert counts["generated"] == 4 * len(SUMS)


def test_a_missing_checkpoint_fails_alone(store, counts):
    study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS}, runs=("a",), steps=(0,))
    missing = refs_of(study, runs=("a",), steps=(2,))
    with pytest.raises(StepError, match=r"1 failed, 1 done(?s:.*)\|2\].*does not exist yet"):
        score(study, store, [*missing, *refs])
    assert store.current(refs[0]) is not None


def test_a_score_without_partition_is_refused(store, counts):
    study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS}, runs=("a",), steps=(0,))
    with pytest.raises(StepError, match="name a partition"):
        score(study, store, [Ref("scores/tiny/sums"), *refs])


def test_a_broken_grader_fails_alone_and_its_texts_are_kept(store, counts, monkeypatch):
    study, refs = prepared(
        store,
        benchmark("sums"),
        benchmark("bad", "broken"),
        items={"sums": SUMS, "bad": FORMAT},
        runs=("a",),
        steps=(0,),
    )
    crash = {"now": True}

    def grade_one(sample, grader):
        if crash["now"]:
            raise KeyError("planted")
        return [Grade("accuracy", 1.0, "fine")]

    broken = Task(lambda item, _: item.question, each(grade_one), (ACCURACY,))
    real = tasks.task
    for place in ("scoring", "grading.tasks"):
        monkeypatch.setattr(
            f"rsft_assets.steps.scores.{place}.task", lambda name: broken if name == "broken" else real(name)
        )
    with pytest.raises(StepError, match=r"1 failed, 1 done(?s:.*)scores/tiny/bad.*KeyError"):
        score(study, store, refs)
    generated = counts["generated"]
    crash["now"] = False
    assert len(score(study, store, refs)) == 2
    assert counts["generated"] == generated


def test_no_access_is_a_state_not_a_zero(store, counts):
    study, refs = prepared(store, benchmark("gated"), items={"gated": []}, runs=("a",), steps=(0,))
    [output] = score(study, store, refs)
    rows = table(output, "scores.parquet")
    assert [(row["grader"], row["state"], row["value"]) for row in rows] == [
        ("strict", "no-access", None),
        ("authors", "no-access", None),
    ]
    assert "ask for access" in rows[0]["reason"]
    assert not counts


def test_a_sensitive_benchmark_leaves_no_text_behind(store, counts, caplog):
    secret = [{"question": "SECRETQUESTION", "gold": "x", "fields": {"expected": "x"}}]
    study, refs = prepared(
        store, benchmark("quiet", "nano-format", sensitive=True), items={"quiet": secret}, runs=("a",), steps=(0,)
    )
    with caplog.at_level("DEBUG"):
        [output] = score(study, store, refs)
    assert {row["extracted"] for row in table(output, "graded.parquet")} == {None}
    assert "examples" not in output.stats
    assert "SECRETQUESTION" not in caplog.text + (output.folder / "manifest.json").read_text()


def test_what_could_not_be_judged_is_judged_when_it_can_be(store, counts, monkeypatch):
    study, refs = prepared(store, benchmark("judged", "odd"), items={"judged": FORMAT}, runs=("a",), steps=(0,))
    reason = {"now": "no judge: none is configured"}
    odd = Task(
        lambda item, _: item.question,
        each(lambda sample, grader: [Grade("accuracy", 1.0, "fine")]),
        (ACCURACY,),
        unavailable=lambda: reason["now"],
    )
    for place in ("scoring", "grading.tasks"):
        monkeypatch.setattr(f"rsft_assets.steps.scores.{place}.task", lambda name: odd)
    [output] = score(study, store, refs)
    [row] = [row for row in table(output, "scores.parquet") if row["grader"] == "strict"]
    assert (row["state"], row["value"], row["not_run"]) == ("not-run", None, 2 * len(FORMAT))
    assert row["reason"] == f"no judge: none is configured ({2 * len(FORMAT)} of {2 * len(FORMAT)} samples)"
    assert score(study, store, refs)[0].folder == output.folder
    reason["now"] = ""
    [judged] = score(study, store, refs)
    assert (judged.stats["state"], judged.stats["value"]) == ("scored", 1.0)
    assert counts["generated"] == 2 * len(FORMAT)


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """A stand-in for the two judges of TruthfulQA, and a way to name another model in their place."""

    def answer(path, body):
        return {"choices": [{"text": "yes" if "one" in body["model"] else "no"}], "usage": {"total_tokens": 1}}

    with rude_server(answer) as server:

        def name(model):
            tables = [f'[{role}]\nendpoint = "{server.url}"\nmodel = "{model}"\n' for role in ("truthful", "helpful")]
            (tmp_path / "judges.toml").write_text("".join(tables))
            monkeypatch.setenv("RSFT_JUDGES", str(tmp_path / "judges.toml"))

        server.name = name
        yield server


def test_another_judge_is_another_score_of_the_same_texts(store, counts, judge, monkeypatch):
    study, refs = prepared(
        store,
        benchmark("tqa", "truthfulqa", metrics=("helpful", "truthful")),
        items={"tqa": FORMAT},
        runs=("a",),
        steps=(0,),
    )
    judge.name("stand-in one")
    [first] = score(study, store, refs)
    asked = len(judge.seen)
    assert (score(study, store, refs)[0].folder, len(judge.seen)) == (first.folder, asked)
    judge.name("stand-in two")
    [second] = score(study, store, refs)
    assert second.folder != first.folder
    assert first.stats["value"] > second.stats["value"] == 0.0
    assert first.stats["completions"] == second.stats["completions"]
    assert (counts["generated"], len(judge.seen)) == (2 * len(FORMAT), 2 * asked)
    assert any("judges.truthful.model" in word for word in drift(study, store, first))
    # Back to the first: its score is there still. Without any: what was judged stays as it is.
    judge.name("stand-in one")
    assert score(study, store, refs)[0].folder == first.folder
    monkeypatch.delenv("RSFT_JUDGES")
    assert score(study, store, refs)[0].folder == first.folder
    assert len(judge.seen) == 2 * asked


def test_other_words_to_a_judge_are_another_score(store, counts, judge, monkeypatch):
    study, refs = prepared(
        store,
        benchmark("tqa", "truthfulqa", metrics=("helpful", "truthful")),
        items={"tqa": FORMAT},
        runs=("a",),
        steps=(0,),
    )
    judge.name("stand-in one")
    [first] = score(study, store, refs)
    asked = {body["prompt"] for _, body in judge.seen}
    reworded = {role: dataclasses.replace(was, wording="other words") for role, was in ROLES["truthfulqa"].items()}
    monkeypatch.setitem(ROLES, "truthfulqa", reworded)
    monkeypatch.setitem(TRUTH_FORMS, "strict", ("{question} -- {answer}", " -- {word}?"))
    [second] = score(study, store, refs)
    assert second.folder != first.folder
    assert any(body["prompt"].endswith("True?") for _, body in judge.seen if body["prompt"] not in asked)
    assert counts["generated"] == 2 * len(FORMAT)


def test_the_headline_is_in_the_stats(store, counts):
    study, refs = prepared(store, benchmark("sums"), items={"sums": SUMS}, runs=("a",), steps=(0,))
    stats = score(study, store, refs)[0].stats
    assert {"metric", "value", "low", "high", "items", "undecided", "truncated", "mean_tokens"} <= stats.keys()
    assert len(stats["examples"]) == 3
    assert json.loads(stats["examples"][0])["item_id"] == "i0"
