"""Finished sets taken over: the authors' layouts, and traces of one's own in a folder with other column names."""

import json

import pytest

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study_file import read_study_file
from rsft_assets.steps.build_dataset import build_dataset
from rsft_assets.steps.lock_benchmark import lock_benchmark
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.data_study import SUMS_TEST, mirror_parquet, rows_of, study

AUTHORS = {
    "data_source": "math",
    "question": "What is 1+1?",
    "answer": "2",
    "message": [{"role": "user", "content": "What is 1+1?\nPlease reason."}],
    "response": "<think>\n1+1\n</think>\n\n\\boxed{2}",
    "response_length": 9,
    "advantage": 1.0,
}


@pytest.fixture
def adopt(tmp_path):
    def run(rows, published=None, **fields):
        path = mirror_parquet(tmp_path, "mine", "train.parquet", rows)
        hub = published or Hub(repo=str(path.parent), kind="dataset", **fields)
        one = Dataset(name="adopted", recipe="published", rows=len(rows), published=hub)
        small = study(sources=(), pools=(), datasets=(one,), benchmarks=(SUMS_TEST,))
        store = Store(tmp_path / "home")
        lock_benchmark(small, store, Ref("benchmarks/sums-test"))
        return build_dataset(small, store, Ref("datasets/adopted"))

    return run


def test_the_authors_columns(adopt):
    wrong = {**AUTHORS, "question": "What is 2+2?", "answer": "5", "response": "<think>\n4\n</think>\n\n\\boxed{4}"}
    output = adopt([AUTHORS, wrong])
    first, second = rows_of(output, "examples.parquet")
    assert first["message"] == AUTHORS["message"]
    assert (first["verdict"], second["verdict"]) == ("correct", "wrong")
    assert (output.manifest.origin, output.manifest.adopted_from["from"]) == (
        "adopted",
        output.manifest.adopted_from["repo"],
    )


def test_countdown_rows_with_numbers_and_target(adopt):
    row = {
        "prompt": "Numbers: [1, 2]\nTarget: 3",
        "answer": {"numbers": [1, 2], "target": 3},
        "response": "<think>\na\n</think>\n\n\\boxed{1+2}",
    }
    (example,) = rows_of(adopt([row]), "examples.parquet")
    assert example["verdict"] == "correct"
    assert json.loads(example["answer"]) == {"numbers": [1, 2], "target": 3}
    assert example["message"] == [{"role": "user", "content": row["prompt"]}]


def test_other_column_names_are_mapped_and_missing_ones_named(adopt):
    row = {"query": "What is 1+1?", "output": "<think>\nx\n</think>\n\n2"}
    columns = (("question", "query"), ("response", "output"))
    output = adopt([row], columns=columns)
    (example,) = rows_of(output, "examples.parquet")
    assert example["message"][0]["content"].startswith("What is 1+1?\nPlease reason step by step")
    assert (example["answer"], example["verdict"]) == ("", None)
    with pytest.raises(StepError, match=r"no column 'reply'"):
        adopt([row], columns=(("response", "reply"),))
    with pytest.raises(StepError, match="columns output, query; response"):
        adopt([row])


def test_flaws_of_a_published_set_are_shown_and_block_nothing(adopt):
    item = {"question": "What is 4+4+4+4?", "answer": "16", "response": "no thinking"}
    output = adopt([item, item])
    checks = output.stats["checks"]
    assert checks["duplicate_queries"] == {"passed": False, "value": 1, "expected": 0, "blocking": False}
    assert (checks["malformed_thinking"]["value"], checks["malformed_thinking"]["blocking"]) == (2, False)
    assert checks["rows"]["blocking"]


def test_overlap_with_a_benchmark_is_counted(adopt, tmp_path):
    adopt([AUTHORS])
    held = rows_of(Store(tmp_path / "home").require(Ref("benchmarks/sums-test")), "items.parquet")[0]["question"]
    output = adopt([{**AUTHORS, "question": held}, AUTHORS])
    assert output.stats["checks"]["contaminated"]["value"] == 1


def test_declared_in_a_study_file(tmp_path):
    (tmp_path / "study.toml").write_text(
        """
        [datasets.mine]
        recipe = "published"
        rows = 2
        published = { repo = "./traces", kind = "dataset", file = "a.jsonl", columns = [["response", "output"]] }
        """
    )
    _, tables, _ = read_study_file(tmp_path / "study.toml")
    assert tables["datasets"][0].published.columns == (("response", "output"),)


def test_without_a_place_it_is_refused():
    with pytest.raises(SpecError, match="field published"):
        study(datasets=(Dataset(name="adopted", recipe="published", rows=2),))
