"""Which stages a change of which file drifts: every file of the package is changed, and none is forgotten."""

import ast
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from rsft_assets.specs.lineage import TABLE_OF, Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.code_version import PACKAGE, PLUMBING, Code, _shape, code_of
from rsft_assets.steps.records.drift import drift
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores.grading.tasks import TASKS
from rsft_assets_tests.finished_study import finish, tiny_study

NO_STAGE = (
    *("", "commands", "defs", "defs/on_ray", "deploy", "docs", "runs", "specs", "steps"),
    *("steps/processes", "steps/questions", "steps/questions/planning", "steps/questions/tracing"),
    *("steps/results", "steps/figures", "steps/report", "steps/publish"),
)
"""Folders that make nothing of a stage; nor do base models that come with the package, whose digests are recorded."""
STAGES_OF = {
    "steps/queries": {"queries"},
    "steps/responses": {"responses"},
    "steps/verdicts": {"verdicts"},
    "steps/verdicts/verifier": {"verdicts", "audits", "datasets", "scores"},
    "steps/audits": {"audits"},
    "steps/datasets": {"datasets"},
    "steps/base_models": {"base_models"},
    "steps/checkpoints": {"checkpoints"},
    "steps/checkpoints/training": {"checkpoints", "base_models"},
    "steps/benchmarks": {"benchmarks"},
    "steps/scores": {"scores"},
    "steps/scores/grading": {"scores"},
    "steps/scores/kinds": {"scores", "benchmarks"},
    "steps/scores/sandbox": {"scores"},
    "steps/engines": {"responses", "scores", "base_models"},
    "steps/nano": {"queries", "responses", "audits", "base_models", "benchmarks", "scores"},
}
"""Folder -> the stages that a change of any of its files drifts."""
READING = ("steps/scores/grading/task.py", "steps/scores/grading/tasks.py")
"""Of `grading`, what a lock uses too."""
KINDS_HELPERS = ("steps/scores/kinds/choice.py",)
"""What kinds of benchmarks share to grade; no lock uses it."""
RECORDS = {
    "hub": {"queries", "responses", "datasets", "base_models", "checkpoints", "benchmarks"},
    "hub_client": {"queries", "responses", "datasets", "base_models", "checkpoints", "benchmarks"},
    "ids": {"queries", "responses", "audits", "datasets"},
    "tokenizers": {"responses", "base_models", "checkpoints", "scores"},
    "rows": {"queries", "responses", "verdicts", "audits", "datasets", "base_models", "benchmarks", "scores"},
}
"""Files of `records` that make content -> the stages that use them."""


def expected(path: str) -> set[str]:
    folder, _, name = path.rpartition("/")
    if folder == "steps/records":
        stem = name.removesuffix(".py")
        return set() if stem in (*PLUMBING, "__init__") else RECORDS[stem]
    if path == "steps/scores/kinds/__init__.py":
        return set()
    if path in KINDS_HELPERS:
        return {"scores"}
    if path in READING:
        return {"scores", "benchmarks"}
    return set() if folder in NO_STAGE or path.startswith("shipped/") else STAGES_OF[folder]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package that may be changed."""
    copy = tmp_path_factory.mktemp("code") / "rsft_assets"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "dbt_like_sql"))
    (copy / "__pycache__").mkdir()  # where readings are kept
    return copy


def versions(package: Path) -> dict[str, str]:
    code = Code(package)
    return {stage: code.version(stage) for stage in TABLE_OF}


@pytest.mark.slow
def test_every_file_drifts_exactly_the_stages_that_it_makes(package):
    before = versions(package)
    files = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert len(files) > 240, "the walk must see the package"
    wrong = {}
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content + b"\nCHANGED = 1\n")
        after = versions(package)
        path.write_bytes(content)
        name = path.relative_to(package).as_posix()
        drifted = {stage for stage in TABLE_OF if after[stage] != before[stage]}
        if drifted != expected(name):
            wrong[name] = (drifted, expected(name))
    assert not wrong
    assert versions(package) == before


def test_every_stage_drifts_by_something():
    named = set().union(*STAGES_OF.values())
    assert named == set(TABLE_OF)
    assert not PLUMBING.keys() & RECORDS.keys()
    assert all(len(why) > 10 for why in PLUMBING.values())


def by_task(package: Path, tasks: Iterable[str] = TASKS) -> dict[tuple[str, str], str]:
    """The versions of the locks and of the scores of each task."""
    code = Code(package)
    return {(stage, task): code.version(stage, task) for task in tasks for stage in ("benchmarks", "scores")}


def drifted_by(package: Path, path: str) -> set[tuple[str, str]]:
    """What a change of one file drifts."""
    before = by_task(package)
    text = (package / path).read_text()
    (package / path).write_text(f"{text}\nCHANGED = 1\n")
    after = by_task(package)
    (package / path).write_text(text)
    return {which for which in before if after[which] != before[which]}


@pytest.mark.parametrize("kind", TASKS.values(), ids=TASKS)
def test_the_file_of_a_benchmark_drifts_its_own_locks_and_scores_alone(package, kind):
    path = "/".join(kind.split(".")[1:]) + ".py"
    mine = {task for task, module in TASKS.items() if module == kind}
    assert drifted_by(package, path) == {(stage, task) for task in mine for stage in ("benchmarks", "scores")}


@pytest.mark.parametrize(
    ("path", "stages", "tasks"),
    [
        ("steps/scores/kinds/choice.py", {"scores"}, {"gpqa", "mmlu_pro"}),
        ("steps/scores/grading/tally.py", {"scores"}, set(TASKS)),
        ("steps/verdicts/verifier/verifier.py", {"scores"}, set(TASKS)),
        ("steps/records/hub.py", {"benchmarks"}, set(TASKS)),
        ("steps/scores/grading/task.py", {"benchmarks", "scores"}, set(TASKS)),
    ],
)
def test_what_grades_drifts_no_lock_and_what_fetches_drifts_no_score(package, path, stages, tasks):
    assert drifted_by(package, path) == {(stage, task) for task in tasks for stage in stages}


def test_a_new_kind_of_benchmark_drifts_nothing(package):
    table, kind = package / "steps/scores/grading/tasks.py", package / "steps/scores/kinds/new.py"
    text, before = table.read_text(), by_task(package)
    line = '    "new": "rsft_assets.steps.scores.kinds.new",\n'
    table.write_text(text.replace("TASKS = {\n", "TASKS = {\n" + line))
    assert table.read_text() != text
    kind.write_text((package / "steps/scores/kinds/math.py").read_text())
    assert by_task(package) == before
    first = by_task(package, ["new"])
    kind.write_text(kind.read_text() + "CHANGED = 1\n")
    changed = by_task(package, ["new"])
    table.write_text(text)
    kind.unlink()
    assert all(first[which] != changed[which] for which in first)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Judges answers', '"""Gives a verdict on answers'),
        ("\nfrom typing", "\n# why: a comment\nfrom typing"),
        ("    def close(self)", "\n    def close(self)"),
    ],
)
def test_words_for_people_drift_nothing(package, old, new):
    before = versions(package)
    path = package / "steps/verdicts/verifier/verifier.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    after = versions(package)
    path.write_text(text)
    assert after == before


def test_a_data_file_of_a_room_counts(package):
    before = versions(package)
    path = package / "steps/nano/words.json"
    path.write_text("[]")
    after = versions(package)
    path.unlink()
    assert {stage for stage in TABLE_OF if after[stage] != before[stage]} == STAGES_OF["steps/nano"]


def test_what_editors_leave_does_not_count(package):
    before = versions(package)
    left = [package / "steps/nano" / name for name in (".DS_Store", "words.py~", ".words.py.swp")]
    for path in left:
        path.write_text("x")
    after = versions(package)
    for path in left:
        path.unlink()
    assert after == before


def test_a_version_does_not_depend_on_fields_that_a_newer_python_adds():
    tree = ast.parse("def f(a, b=None):\n    return [a, None, '', 0, f'{b!r:>{a}}']\n")
    older = _shape(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.type_params = []
            node._fields = (*node._fields, "type_params")
    assert _shape(tree) == older
    assert "Constant()" in older and "Constant(value='')" in older and "Constant(value=0)" in older


def test_an_output_of_other_code_drifts_in_words(tmp_path):
    study, store = tiny_study(), Store(tmp_path)
    finish(study, store, stages=("queries",))
    output = store.current(Ref("queries/tiny-sums"))
    assert drift(study, store, output) == []
    older = replace(output.manifest, made_by={**output.manifest.made_by, "code": "0123456789"})
    now = code_of(study, output.manifest.ref)
    assert drift(study, store, Output(output.folder, older)) == [
        f"the code of queries has changed since (was 0123456789, is {now})"
    ]


@pytest.mark.parametrize("stage", ["scores/qwen3-14b", "benchmarks"])
def test_two_kinds_of_benchmarks_have_versions_of_their_own(stage):
    study = load_study()
    partition = "" if stage == "benchmarks" else f"{study.runs_of('qwen3-14b')[0].name}|640"
    math, aime, gpqa = (code_of(study, Ref(f"{stage}/{b}", partition)) for b in ("math500", "aime24", "gpqa_diamond"))
    assert math == aime != gpqa
