"""A benchmark of a new kind is one file and one line in the table of tasks: it is locked, scored and in the results."""

import sys

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref, score_ref
from rsft_assets.steps.benchmarks.lock import lock_benchmark
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results
from rsft_assets.steps.scores.grading.tasks import TASKS
from rsft_assets.steps.scores.score import score
from rsft_assets_tests.steps.data_study import mirror_json_lines
from rsft_assets_tests.steps.small_chain import benchmark, publish_upstream, small_study

KIND = '''
"""Lists: does an answer name the items asked for, and how long is it."""

from rsft_assets.steps.scores.grading.task import Grade, Locked, Metric, Task, each

METRICS = (Metric("missed", lower_is_better=True, headline=True), Metric("characters", "reward"))


def read(row):
    return Locked(row["ask"], None, row["sort"], {"wanted": row["wanted"]})


def prompt(item, benchmark):
    return f"{item.question} One a line."


def grade_one(sample, grader):
    missed = [word for word in sample.item.fields["wanted"] if word not in sample.text]
    shares = len(missed) / len(sample.item.fields["wanted"])
    return [Grade("missed", shares, "counted"), Grade("characters", 5.0 + len(sample.text), "counted")]


TASK = Task(prompt, each(grade_one), METRICS, lambda published: published.items(read, "lists.jsonl"))
'''
ROWS = [{"ask": f"Name {n} things.", "sort": "things", "wanted": ["no such word"]} for n in range(1, 5)]


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """The file of a new kind, its line in the table, and a benchmark whose items lie in a folder."""

    def prepare(kind=KIND, metrics=("missed", "characters")):
        (tmp_path / "kind_of_lists.py").write_text(kind)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "kind_of_lists", raising=False)
        monkeypatch.setitem(TASKS, "lists", "kind_of_lists")
        mirror_json_lines(tmp_path, "published", "lists.jsonl", ROWS)
        origin = Hub(repo=str(tmp_path / "published"), kind="dataset")
        study = small_study(benchmark("lists", "lists", origin=origin, items=len(ROWS), metrics=metrics))
        return study, Store(tmp_path / "home")

    return prepare


def scored(study, store):
    ref = score_ref(study.runs_of("tiny")[0], 0, "lists")
    lock_benchmark(study, store, Ref("benchmarks/lists"))
    publish_upstream(study, store, ref, {})
    return score(study, store, [ref])[0]


def test_one_file_and_one_line_make_a_benchmark(prepared):
    study, store = prepared()
    output = scored(study, store)
    assert (output.stats["state"], output.stats["metric"], output.stats["value"]) == ("scored", "missed", 1.0)
    build_results(study, store)
    with open_results(store) as db:
        rows = db.execute(
            "SELECT metric, unit, lower_is_better, is_headline, value > 1, pass_at_k FROM marts.benchmark_scores "
            "WHERE grader = 'strict' AND benchmark = 'lists' ORDER BY is_headline DESC"
        ).fetchall()
    assert rows == [("missed", "share", True, True, False, 1.0), ("characters", "reward", False, False, True, None)]


def test_a_metric_that_its_file_does_not_declare_is_refused(prepared):
    study, store = prepared(KIND.replace('Metric("characters", "reward")', ""), metrics=("missed",))
    with pytest.raises(StepError, match=r"task 'lists': .* gives 'characters', .*; declare it in kind_of_lists"):
        scored(study, store)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (("missed", "charcters"), "'charcters' is no metric of task 'lists': did you mean characters"),
        (("characters", "missed"), "name 'missed' first, the headline of task 'lists'"),
        ((), "name 'missed' first, the headline of task 'lists'"),
    ],
)
def test_metrics_that_the_kind_does_not_have_are_named_when_it_is_locked(prepared, metrics, message):
    study, store = prepared(metrics=metrics)
    with pytest.raises(StepError, match=f"benchmarks 'lists': field metrics: {message}"):
        lock_benchmark(study, store, Ref("benchmarks/lists"))


@pytest.mark.parametrize("headlines", [(False, False), (True, True)])
def test_a_kind_has_one_headline(prepared, headlines):
    first, second = (f", headline={on}" for on in headlines)
    study, store = prepared(KIND.replace(", headline=True", first).replace('"reward")', f'"reward"{second})'))
    with pytest.raises(ValueError, match="metrics missed, characters: mark exactly one as the headline"):
        lock_benchmark(study, store, Ref("benchmarks/lists"))


def test_published_items_need_a_reader(prepared):
    study, store = prepared(KIND.replace(', lambda published: published.items(read, "lists.jsonl")', ""))
    with pytest.raises(StepError, match=r"task 'lists' has no `items`.*kind_of_lists"):
        lock_benchmark(study, store, Ref("benchmarks/lists"))
