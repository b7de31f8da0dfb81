"""Small copies of the ten benchmarks as their publishers lay them out: files, columns and README; the rows are ours."""

import base64
import csv
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

from rsft_assets_tests.steps.data_study import mirror_json_lines, mirror_parquet

STDIN_CODE = "n = int(input())\nprint(2 * n)\n"
STARTER = "class Solution:\n    def doubled(self, values: List[int]) -> List[int]:\n        "
FUNCTION_CODE = f"{STARTER}return [2 * v for v in values]\n"
GPQA_COLUMNS = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
HEX_PHI_FILES = (1, 3, 4, 5, 6, 7, 8, 9, 10, 11)
"""There is no second category: its prompts were withdrawn."""


def math500(mirror: Path) -> None:
    rows = [
        {
            "problem": f"What is ${n} + {n}$?",
            "solution": f"Together \\boxed{{{2 * n}}}.",
            "answer": str(2 * n),
            "subject": ("Algebra", "Geometry")[n % 2],
            "level": 1 + n,
            "unique_id": f"test/algebra/{n}.json",
        }
        for n in range(4)
    ]
    mirror_json_lines(mirror, "HuggingFaceH4/MATH-500", "test.jsonl", rows)


def aime24(mirror: Path) -> None:
    rows = [
        {
            "id": 60 + n,
            "problem": f"What is ${n} + 10$?",
            "solution": f"\\boxed{{{n + 10}}}",
            "answer": f"{n + 10:03}",
            "url": "https://example.org",
            "year": "2024",
        }
        for n in range(3)
    ]
    mirror_parquet(mirror, "HuggingFaceH4/aime_2024", "data/train-00000-of-00001.parquet", rows)


def lcb_v2(mirror: Path) -> None:
    """Private tests are a pickled string of JSON, compressed, in base64; release_v2 is the first two files."""
    repo = "livecodebench/code_generation_lite"
    stdin = [{"input": f"{n}\n", "output": f"{2 * n}\n", "testtype": "stdin"} for n in range(5)]
    called = [{"input": f"[{n}, 1]", "output": f"[{2 * n}, 2]", "testtype": "functional"} for n in range(5)]
    mirror_json_lines(mirror, repo, "test.jsonl", [_lcb_row("1", "Double a number.", stdin, "", {})])
    functional = _lcb_row("2", "Double every number.", called, STARTER, {"func_name": "doubled"})
    mirror_json_lines(mirror, repo, "test2.jsonl", [functional])
    mirror_json_lines(mirror, repo, "test3.jsonl", [_lcb_row("3", "Not of this release.", stdin, "", {})])
    (mirror / repo / "code_generation_lite.py").write_text("raise SystemExit('code of the repository')\n")


def _lcb_row(number: str, content: str, tests: list[dict[str, str]], starter: str, metadata: dict[str, Any]) -> dict:
    return {
        "question_title": f"title {number}",
        "question_content": content,
        "platform": "leetcode" if starter else "atcoder",
        "question_id": number,
        "contest_id": f"contest{number}",
        "contest_date": "2023-08-21T00:00:00",
        "starter_code": starter,
        "difficulty": "easy",
        "public_test_cases": json.dumps(tests[:1]),
        "private_test_cases": packed(json.dumps(tests)),
        "metadata": json.dumps(metadata),
    }


def packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def gpqa_diamond(mirror: Path) -> None:
    repo = "Idavidrein/gpqa"
    rows = [
        [f"Which number is {n}?\n", f"{n}\n", f"{n + 1}", f"{n + 2}", f"{n + 3}", f"rec{n}", "Physics"]
        for n in range(3)
    ]
    for name, kept in (("gpqa_diamond", rows), ("gpqa_main", rows[:1])):
        _csv(mirror / repo / f"{name}.csv", [[*GPQA_COLUMNS, "Record ID", "High-level domain"], *kept])
    _readme(mirror / repo, {name: {"train": f"{name}.csv"} for name in ("gpqa_main", "gpqa_diamond")})


def mmlu_pro(mirror: Path) -> None:
    repo = "TIGER-Lab/MMLU-Pro"
    rows = [
        {
            "question_id": 70 + n,
            "question": f"Which number is {n}?",
            "options": [str(n + k) for k in range(10 - n)],
            "answer": "A",
            "answer_index": 0,
            "cot_content": "",
            "category": ("law", "math")[n % 2],
            "src": "ours",
        }
        for n in range(4)
    ]
    mirror_parquet(mirror, repo, "data/test-00000-of-00001.parquet", rows)
    mirror_parquet(mirror, repo, "data/validation-00000-of-00001.parquet", rows[:1])
    _readme(mirror / repo, {"default": {"test": "data/test-*", "validation": "data/validation-*"}})


def ifeval(mirror: Path) -> None:
    rows = [
        {
            "key": 1000,
            "prompt": "Say something without a comma.",
            "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{"num_words": None, "relation": None}],
        },
        {
            "key": 1001,
            "prompt": "Say something short in small letters.",
            "instruction_id_list": ["change_case:english_lowercase", "length_constraints:number_words"],
            "kwargs": [{"num_words": None, "relation": None}, {"num_words": 20, "relation": "less than"}],
        },
    ]
    mirror_json_lines(mirror, "google/IFEval", "ifeval_input_data.jsonl", rows)


def alpacaeval(mirror: Path) -> None:
    folder = mirror / "tatsu-lab/alpaca_eval"
    folder.mkdir(parents=True)
    rows = [
        {"dataset": "helpful_base", "instruction": f"Name {n} things.", "output": "None.", "generator": "reference"}
        for n in range(3)
    ]
    (folder / "alpaca_eval.json").write_text(json.dumps(rows, indent=1))
    (folder / "alpaca_eval.py").write_text("raise SystemExit('code of the repository')\n")


def halueval(mirror: Path) -> None:
    repo = "pminervini/HaluEval"
    shown = {
        "qa": {"knowledge": "K {x}", "question": "Who?", "answer": "She."},
        "dialogue": {"knowledge": "K", "dialogue_history": "[Human]: Who?", "response": "She."},
        "summarization": {"document": "A long {text}.", "summary": "Short."},
    }
    configs = {}
    for subtask, row in shown.items():
        answered = list(row)[-1]
        rows = [{**row, answered: f"{row[answered]} {n}", "hallucination": ("yes", "no")[n]} for n in range(2)]
        mirror_parquet(mirror, repo, f"{subtask}_samples/data-00000-of-00001.parquet", rows)
        configs[f"{subtask}_samples"] = {"data": f"{subtask}_samples/data-*"}
    _readme(mirror / repo, configs)


def truthfulqa(mirror: Path) -> None:
    repo = "truthfulqa/truthful_qa"
    row = {
        "type": "Adversarial",
        "category": "Misconceptions",
        "question": "Is it so?",
        "best_answer": "No",
        "correct_answers": ["No", "It is not"],
        "incorrect_answers": ["Yes"],
        "source": "https://example.org",
    }
    mirror_parquet(mirror, repo, "generation/validation-00000-of-00001.parquet", [row, {**row, "question": "Why?"}])
    mirror_parquet(mirror, repo, "multiple_choice/validation-00000-of-00001.parquet", [{"question": "Other?"}])
    paths = {name: {"validation": f"{name}/validation-*"} for name in ("generation", "multiple_choice")}
    _readme(mirror / repo, paths)


def hex_phi(mirror: Path) -> None:
    """A file a category, a prompt a line, without a header; stand-ins here."""
    folder = mirror / "LLM-Tuning-Safety/HEx-PHI"
    for number in HEX_PHI_FILES:
        lines = [[f"(a stand-in, of category {number})"], ["(another stand-in)"]]
        _csv(folder / f"category_{number}.csv", lines)
    _readme(folder, {"default": {f"Category_{number}": f"category_{number}.csv" for number in HEX_PHI_FILES}})


def _csv(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _readme(folder: Path, configs: dict[str, dict[str, str]]) -> None:
    """The head of a data set's README, which says what its configurations are."""
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        lines += [line for split, path in splits.items() for line in (f"  - split: {split}", f"    path: {path}")]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")


LAYOUTS = {
    "math500": (math500, 4),
    "aime24": (aime24, 3),
    "lcb_v2": (lcb_v2, 2),
    "gpqa_diamond": (gpqa_diamond, 3),
    "mmlu_pro": (mmlu_pro, 4),
    "ifeval": (ifeval, 2),
    "alpacaeval": (alpacaeval, 3),
    "halueval": (halueval, 6),
    "truthfulqa": (truthfulqa, 2),
    "hex_phi": (hex_phi, 20),
}
"""Benchmark -> what writes its small copy, and how many items that holds."""
