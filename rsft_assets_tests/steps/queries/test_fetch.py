"""Query sources: real column layouts in, filtered queries with stable ids out."""

import json

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.queries.columns import Raw, problem_with
from rsft_assets.steps.queries.fetch import fetch_queries, query_id
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.data_study import make_all, mirror_parquet, rows_of, source, study

OPENR1 = "open-r1/OpenR1-Math-220k"
NUMINA = "AI-MO/NuminaMath-1.5"
COUNTDOWN = "Jiayi-Pan/Countdown-Tasks-3to4-Unique"


def openr1_row(problem, answer, question_type="math-word-problem", **fields):
    return {
        "problem": problem,
        "solution": "Add.",
        "answer": answer,
        "problem_type": "Algebra",
        "question_type": question_type,
        "source": "olympiads",
        "uuid": "u",
        "generations": ["<think>…</think>"],
        **fields,
    }


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))

    def run(repo, rows, **fields):
        mirror_parquet(tmp_path / "mirror", repo, "data/train-00000-of-00001.parquet", rows)
        small = study(sources=(source(repo, **fields),), pools=(), datasets=(), benchmarks=())
        output = fetch_queries(small, Store(tmp_path / "home"), Ref("queries/real"))
        return rows_of(output, "queries.parquet"), {s["filter"]: s["removed"] for s in output.stats["filters"]}, output

    return run


def test_openr1_math(fetch):
    rows, removed, output = fetch(
        OPENR1,
        [
            openr1_row("What is $1+1$?", "2"),
            openr1_row("what  is $1+1$?", "2"),
            openr1_row("", "3"),
            openr1_row("Prove it.", "proof", "proof"),
            openr1_row("Pick.\n(A) 1 (B) 2", "B", "MCQ"),
            openr1_row("Pick.\n(A) 1 (B) 2", "B"),
            openr1_row("Name the vertex of ABC that is farthest.", "B"),
            openr1_row("Unknown", None),
            openr1_row("What is $2+2$?", "4"),
        ],
    )
    assert [row["gold"] for row in rows] == ["2", "B", "4"]
    assert (
        rows[0]["prompt"] == "What is $1+1$?\nPlease reason step by step, and put your final answer within \\boxed{}."
    )
    assert (rows[0]["solution"], rows[0]["source_row"], rows[2]["source_row"]) == ("Add.", 0, 8)
    assert json.loads(rows[0]["fields"])["source"] == "olympiads"
    kept = {"read": 0, "empty-question": 1, "no-gold": 1, "proof": 1, "multiple-choice": 2, "duplicate": 1}
    assert {name: removed[name] for name in kept} == kept
    assert output.stats["filters"][-1]["left"] == output.stats["rows"] == 3


def test_numinamath_says_which_problems_are_invalid(fetch):
    row = {
        **{"problem": "P", "solution": "S", "answer": "1", "question_type": "math-word-problem", "source": "x"},
        **{"problem_is_valid": "Yes", "solution_is_valid": "Yes", "synthetic": False, "problem_type": "Algebra"},
    }
    rows, removed, _ = fetch(NUMINA, [row, {**row, "problem": "Q", "problem_is_valid": "No"}])
    assert [row["question"] for row in rows] == ["P"]
    assert removed["invalid-problem"] == 1


def test_countdown_gold_is_numbers_and_target(fetch):
    rows, removed, _ = fetch(
        COUNTDOWN, [{"target": 98, "nums": [44, 19, 35]}, {"target": None, "nums": [1, 2, 3]}], kind="countdown"
    )
    assert [json.loads(row["gold"]) for row in rows] == [{"numbers": [44, 19, 35], "target": 98}]
    assert "Numbers: [44, 19, 35]\nTarget: 98\n" in rows[0]["question"]
    assert removed["unsolvable-numbers"] == 1


def test_limit_keeps_the_first_in_the_sources_order(fetch):
    rows, _, output = fetch(OPENR1, [openr1_row(f"What is {n}?", str(n)) for n in range(9)], limit=4)
    assert [row["gold"] for row in rows] == ["0", "1", "2", "3"]
    assert output.stats["filters"][-1] == {"filter": "limit", "removed": None, "left": 4}


def test_columns_of_a_source_of_ones_own(fetch):
    rows, _, _ = fetch("me/mine", [{"question": "Q", "final_answer": 7, "level": 3}])
    assert (rows[0]["question"], rows[0]["gold"], json.loads(rows[0]["fields"])) == ("Q", "7", {"level": 3})


def test_missing_columns_are_named_with_row_and_repository(fetch):
    with pytest.raises(StepError, match=r"me/mine, row 0: columns text.*question"):
        fetch("me/mine", [{"text": "Q"}])


def test_nothing_usable_is_refused(fetch):
    with pytest.raises(StepError, match=r"queries/real.*proof"):
        fetch(OPENR1, [openr1_row("Prove it.", "proof", "proof")])


def test_ids_come_from_content(fetch, tmp_path):
    first, _, _ = fetch(OPENR1, [openr1_row("A", "1"), openr1_row("B", "2")])
    assert first[1]["query_id"] == query_id("math", "B", "2")
    assert first[1]["query_id"] != query_id("math", "B", "3")


def test_odd_text_is_kept_as_it_is(fetch):
    question = "ζ \x00 \u202e {" * 50
    rows, _, _ = fetch(OPENR1, [openr1_row(question, "{" * 10_000)])
    assert (rows[0]["question"], rows[0]["gold"]) == (question.strip(), "{" * 10_000)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (Raw("Q", "12"), None),
        (Raw("Q", "  "), "no-gold"),
        (Raw("Q", "NotFound"), "no-gold"),
        (Raw("Q", "Proof"), "proof"),
        (Raw("A. one B. two", "(C)"), "multiple-choice"),
        (Raw("Let A. and B. be sets; |A|?", "3"), None),
    ],
)
def test_problems_of_a_math_query(raw, problem):
    assert problem_with(raw, "math") == problem


def test_generated_queries_are_the_same_again(tmp_path):
    small = study(pools=(), datasets=(), benchmarks=())
    make_all(small, Store(tmp_path / "a"))
    make_all(small, Store(tmp_path / "b"))
    ref = Ref("queries/sums")
    assert Store(tmp_path / "a").require(ref).digest == Store(tmp_path / "b").require(ref).digest
