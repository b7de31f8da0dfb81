import pytest

from rsft_assets.steps.scores.grading.task import Item, Sample
from rsft_assets.steps.scores.kinds.halueval import grade_one, prompt, said
from rsft_assets_tests.steps.scores.grading.published import rows
from rsft_assets_tests.steps.small_chain import benchmark

# text, what it says by `strict`, and by the authors' code
CASES = [
    ("", None, None),
    ("Yes", "Yes", "Yes"),
    ("no.", "No", "No"),
    ("Yes, because no", "No", "No"),
    ("I know nothing, yesterday.", None, None),
    ("The answer does not contain errors.", None, "No"),
    ("Unknown.", None, "No"),
    ("It is right.\nNothing is wrong.", None, None),
    ("I said so yesterday.", None, "Yes"),
    ("<think>Yes</think>No", "No", "No"),
    ("<think>Yes</think>I cannot tell.", None, None),
    ("<think>Yes</think>I can tell.", None, "Yes"),
    ("<think>Yes or no?\nYes</think>I cannot tell.", None, None),
    ("<think>Yes, it is", None, "Yes"),
    ("NO\n</think>", None, "No"),
    ("a</think>Yes</think>", None, "Yes"),
    ("Yes <think>or not</think> indeed", None, "Yes"),
    ("#Your Judgement#: YES\n", "Yes", "Yes"),
]


@pytest.mark.parametrize(("text", "strict", "authors"), CASES)
def test_what_was_said(text, strict, authors):
    assert said(text, "strict")[0] == strict
    assert said(text, "authors")[0] == authors


def test_right_is_what_gold_says():
    item = Item("i", "q", "Yes", "qa", {})
    assert [grade_one(Sample(item, 0, text), "strict")[0].value for text in ("Yes", "No", "")] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("subtask", "fields", "end"),
    [
        (
            "qa",
            {"knowledge": "K {x}", "question": "Q"},
            "\n\n#Knowledge: K {x}\n#Question#: Q\n#Answer#: S\n#Your Judgement#:",
        ),
        (
            "dialogue",
            {"knowledge": "K", "dialogue_history": "D"},
            "\n\n#Knowledge: K\n#Dialogue History#: D\n#Response#: S\n#Your Judgement#:",
        ),
        ("summarization", {"document": "D"}, "\n\n#Document#: D\n#Summary#: S\n#Your Judgement#:"),
    ],
)
def test_prompt_holds_the_fields_and_nothing_of_the_gold(subtask, fields, end):
    item = Item("i", "q", "Yes", subtask, {"subtask": subtask, "shown": "S", **fields})
    asked = prompt(item, benchmark("h"))
    assert asked.endswith(end)
    role = {"qa": "an answer", "dialogue": "a response", "summarization": "a summary"}[subtask]
    assert asked.startswith(f"I want you act as {role} judge. Given a")
    assert 'The answer you give MUST be "Yes" or "No"".\n\n#' in asked


def test_prompts_of_published_rows():
    for row in rows("halueval/qa_data_500.jsonl")[:50]:
        fields = {
            "subtask": "qa",
            "shown": row["right_answer"],
            **{name: row[name] for name in ("knowledge", "question")},
        }
        text = prompt(Item("i", row["question"], "No", "qa", fields), benchmark("h"))
        assert text.endswith(f"#Answer#: {row['right_answer']}\n#Your Judgement#:")
        assert row["knowledge"] in text
