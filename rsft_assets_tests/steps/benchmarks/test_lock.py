"""Locked benchmarks: published layouts, counts, and no access as a state."""

import csv
import json
import os
from pathlib import Path

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.benchmarks.lock import lock_benchmark
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.data_study import benchmark, mirror_json_lines, mirror_parquet, rows_of, study

REAL = Path(os.environ.get("RSFT_TEST_DATA", "../shared/data"))
CODE = {
    **{"question_title": "t", "question_content": "Add two numbers.", "platform": "atcoder", "question_id": "1"},
    **{
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": "[]",
        "private_test_cases": "eJw=",
        "metadata": "{}",
    },
}
GPQA = {
    **{"Question": " Why? ", "Correct Answer": "Because\n", "Incorrect Answer 1": "No", "Incorrect Answer 2": "Never"},
    **{"Incorrect Answer 3": "Maybe", "High-level domain": "Physics", "Record ID": "rec1"},
}
HALU_QA = {"knowledge": "K", "question": "Q?", "right_answer": "R", "hallucinated_answer": "H"}
HALU_DIALOGUE = {"knowledge": "K", "dialogue_history": "D", "right_response": "R", "hallucinated_response": "H"}
HALU_SUMMARY = {"document": "D", "right_summary": "R", "hallucinated_summary": "H"}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def lock(tmp_path, declared, **options):
    small = study(sources=(), pools=(), datasets=(), benchmarks=(declared,))
    return lock_benchmark(small, Store(tmp_path / "home"), Ref(f"benchmarks/{declared.name}"), **options)


def items_of(output):
    return [{**row, "fields": json.loads(row["fields"])} for row in rows_of(output, "items.parquet")]


def declared(task, items, **changes):
    """The paper's benchmark of a task, its count replaced."""
    from dataclasses import replace

    one = next(b for b in load_study().benchmarks.values() if b.task == task)
    return replace(one, items=items, **changes)


@pytest.mark.parametrize(
    ("task", "file", "row", "expected"),
    [
        (
            "math",
            "test.jsonl",
            {"problem": "P", "solution": "S", "answer": "7", "subject": "Algebra", "level": 2, "unique_id": "u"},
            {"question": "P", "gold": "7", "category": "Algebra"},
        ),
        ("code", "test.jsonl", CODE, {"question": "Add two numbers.", "gold": None, "category": "easy"}),
        ("gpqa", "gpqa_diamond/train.jsonl", GPQA, {"question": "Why?", "gold": "Because", "category": "Physics"}),
        (
            "mmlu_pro",
            "data/test-00000-of-00001.jsonl",
            {"question": "Q", "options": ["a", "b"], "answer": "B", "category": "law", "question_id": 3, "src": "x"},
            {"question": "Q", "gold": "B", "category": "law"},
        ),
        (
            "ifeval",
            "train.jsonl",
            {"key": 1, "prompt": "Write.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"n": None}]},
            {"question": "Write.", "gold": None, "category": "punctuation"},
        ),
        (
            "truthfulqa",
            "generation/validation.jsonl",
            {
                "question": "Q?",
                "best_answer": "A",
                "correct_answers": ["A"],
                "incorrect_answers": ["B"],
                "category": "c",
            },
            {"question": "Q?", "gold": None, "category": "c"},
        ),
        ("hex_phi", "train.jsonl", {"prompt": "(a stand-in)"}, {"question": "(a stand-in)", "gold": None}),
    ],
)
def test_published_layouts(tmp_path, mirror, task, file, row, expected):
    one = declared(task, 2 if task == "code" else 1)
    mirror_json_lines(mirror, one.origin.repo, file, [row])
    if task == "code":
        mirror_json_lines(mirror, one.origin.repo, "test2.jsonl", [row])
    output = lock(tmp_path, one)
    item = items_of(output)[0]
    assert {name: item[name] for name in expected} == expected
    assert output.stats["access"] == "open"


def test_what_graders_need_is_in_fields(tmp_path, mirror):
    one = declared("gpqa", 1)
    mirror_json_lines(mirror, one.origin.repo, "gpqa_diamond/train.jsonl", [GPQA])
    assert items_of(lock(tmp_path, one))[0]["fields"]["options"] == ["Because", "No", "Never", "Maybe"]


def test_halueval_shows_a_right_or_a_hallucinated_answer(tmp_path, mirror):
    one = declared("halueval", None)
    for subtask, row in (("qa", HALU_QA), ("dialogue", HALU_DIALOGUE), ("summarization", HALU_SUMMARY)):
        rows = [{name: f"{value}{n}" for name, value in row.items()} for n in range(20)]
        mirror_parquet(mirror, one.origin.repo, f"{subtask}/data-00000-of-00001.parquet", rows)
    items = items_of(lock(tmp_path, one))
    assert len(items) == 60
    assert {item["category"] for item in items} == {"qa", "dialogue", "summarization"}
    assert all(item["fields"]["shown"].startswith({"Yes": "H", "No": "R"}[item["gold"]]) for item in items)
    assert {item["gold"] for item in items} == {"Yes", "No"}


def test_halueval_samples_say_what_they_show(tmp_path, mirror):
    one = declared("halueval", None)
    shown = {"qa": ("question", "answer"), "dialogue": ("dialogue_history", "response")}
    for subtask, (asked, answered) in {**shown, "summarization": ("document", "summary")}.items():
        rows = [
            {"knowledge": "K", asked: f"{n}", answered: "A", "hallucination": ("yes", "no")[n % 2]} for n in range(4)
        ]
        mirror_parquet(mirror, one.origin.repo, f"{subtask}_samples/data-00000-of-00001.parquet", rows)
    items = items_of(lock(tmp_path, one))
    assert [item["gold"] for item in items] == ["Yes", "No"] * 6
    assert {item["fields"]["shown"] for item in items} == {"A"}


def test_mmlu_pro_subset_is_even_over_categories_and_the_same_again(tmp_path, mirror):
    one = declared("mmlu_pro", 30)
    sizes = {"law": 200, "math": 100, "other": 5}
    rows = [
        {"question": f"{name} {n}", "options": ["a"], "answer": "A", "category": name, "question_id": n, "src": ""}
        for name, size in sizes.items()
        for n in range(size)
    ]
    mirror_json_lines(mirror, one.origin.repo, "test.jsonl", rows)
    output = lock(tmp_path, one)
    assert output.stats["categories"] == {"law": 13, "math": 12, "other": 5}
    assert lock(tmp_path, one, force=True).digest == output.digest


def test_no_access_is_a_state_and_is_asked_again(tmp_path, mirror):
    one = benchmark("owner/gated", "math", 1)
    first = lock(tmp_path, one)
    assert first.stats["access"] == "none"
    assert "owner/gated" in first.stats["reason"]
    assert items_of(first) == []
    assert lock(tmp_path, one).folder == first.folder
    mirror_json_lines(mirror, "owner/gated", "train.jsonl", [{"problem": "P", "answer": 1}])
    opened = lock(tmp_path, one)
    assert (opened.stats["access"], opened.stats["items"]) == ("open", 1)


def test_items_are_never_replaced_by_no_access(tmp_path, mirror):
    one = benchmark("owner/gated", "math", 1)
    mirror_json_lines(mirror, "owner/gated", "train.jsonl", [{"problem": "P", "answer": 1}])
    first = lock(tmp_path, one)
    (mirror / "owner").rename(mirror / "elsewhere")
    with pytest.raises(StepError, match=r"benchmarks/.*: owner/gated.*; the items that were locked before are kept"):
        lock(tmp_path, one, force=True)
    assert lock(tmp_path, one).folder == first.folder


def test_another_cause_of_no_access_is_told(tmp_path, mirror, monkeypatch):
    one = benchmark("owner/gated", "math", 1)
    first = lock(tmp_path, one)
    monkeypatch.setenv("RSFT_MIRROR_ONLY", "1")
    second = lock(tmp_path, one)
    assert "no revision is known" in first.stats["reason"]
    assert "holds no owner/gated" in second.stats["reason"] and second.digest == first.digest
    assert lock(tmp_path, one).folder == second.folder


def test_wrong_count_is_refused_unless_none_is_declared(tmp_path, mirror):
    mirror_json_lines(mirror, "owner/name", "train.jsonl", [{"problem": "P", "answer": 1}] * 3)
    with pytest.raises(StepError, match="3 items where 2 are declared"):
        lock(tmp_path, benchmark("owner/name", "math", 2))
    output = lock(tmp_path, benchmark("owner/name", "math", None))
    ids = [item["item_id"] for item in items_of(output)]
    assert len(set(ids)) == 3
    assert output.stats["repeated_items"] == 2


def test_a_row_that_changed_is_told_when_the_benchmark_is_locked_again(tmp_path, mirror, caplog):
    def locked(answer, **options):
        rows = [{"problem": "What is 1+1?", "answer": answer}]
        mirror_json_lines(mirror, "HuggingFaceH4/MATH-500", "test.jsonl", rows)
        return lock(tmp_path, declared("math", 1, name="math500"), **options)

    first = locked("2")
    assert locked("3").digest == first.digest
    assert not caplog.records
    again = locked("3", force=True)
    assert again.stats["content_before"] == first.stats["content_sha256"]
    assert "not those that were locked before" in caplog.text
    assert "content_before" not in locked("3", force=True).stats


def test_missing_column_is_named_with_its_row(tmp_path, mirror):
    mirror_json_lines(mirror, "owner/name", "train.jsonl", [{"problem": "P"}])
    with pytest.raises(StepError, match=r"owner/name, row 0: KeyError 'answer'; columns are problem"):
        lock(tmp_path, benchmark("owner/name", "math", None))


def test_what_has_no_revision_is_a_state_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.delenv("RSFT_MIRROR", raising=False)
    output = lock(tmp_path, benchmark("owner/name", "math", None))
    assert (output.stats["access"], output.stats["items"]) == ("none", 0)
    assert "no revision is known; run `rsft lock`" in output.stats["reason"]


@pytest.mark.parametrize("name", ["nano-math-test", "nano-dot", "nano-format", "nano-refusal"])
def test_nano_benchmarks(tmp_path, name):
    study = load_study()
    items = items_of(lock_benchmark(study, Store(tmp_path), Ref(f"benchmarks/{name}")))
    assert len({item["item_id"] for item in items}) == len(items) == study.benchmarks[name].items
    if name == "nano-format":
        assert all(item["fields"]["expected"] == item["gold"] for item in items)
    if name == "nano-refusal":
        assert {item["fields"]["forbidden"] for item in items} == {True, False}


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data at RSFT_TEST_DATA={REAL}")
@pytest.mark.parametrize(
    ("task", "from_file", "to_file", "count"),
    [
        ("math", "math500/test.jsonl", "test.jsonl", 500),
        ("ifeval", "ifeval/input_data.jsonl", "train.jsonl", 541),
        ("mmlu_pro", "mmlu_pro/mmlu_pro_sample.jsonl", "test.jsonl", 980),
        ("truthfulqa", "truthfulqa/TruthfulQA.csv", "generation/validation.csv", 817),
    ],
)
def test_real_items(tmp_path, mirror, task, from_file, to_file, count):
    one = declared(task, count)
    path = mirror / one.origin.repo / to_file
    path.parent.mkdir(parents=True)
    if to_file.endswith(".csv"):
        with (REAL / from_file).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_bytes((REAL / from_file).read_bytes())
    output = lock(tmp_path, one)
    assert output.stats["items"] == count
    assert all(item["question"] for item in items_of(output))
