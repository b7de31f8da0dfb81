"""Finished sets taken over: the authors' layouts, and traces of one's own in a folder with other column names."""

import gzip
import json

import pytest

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study_file import read_study_file
from rsft_assets.steps.benchmarks.lock import lock_benchmark
from rsft_assets.steps.datasets.build import build_dataset
from rsft_assets.steps.questions.tracing.links import output_node
from rsft_assets.steps.questions.tracing.node import as_tree
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.data_study import SUMS_TEST, mirror_parquet, rows_of, study

pytestmark = pytest.mark.usefixtures("quick_verifier")

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
    assert output.manifest.adopted_from["revision"] is None
    assert "None" not in as_tree(output_node(output)), "a folder of one's own has no revision"


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


OWN = (("question", "problem"), ("answer", "final"), ("response", "output"))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Traces of one's own in a file, declared with other column names, as a data set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traces").mkdir()

    def run(file, rows, columns=OWN, force=False):
        hub = Hub(repo="./traces", kind="dataset", file=file, columns=columns)
        one = Dataset(name="own", recipe="published", rows=rows, published=hub)
        small = study(sources=(), pools=(), datasets=(one,), benchmarks=(SUMS_TEST,))
        store = Store(tmp_path / "home")
        lock_benchmark(small, store, Ref("benchmarks/sums-test"))
        return build_dataset(small, store, Ref("datasets/own"), force=force)

    return run


TRACES = [
    {"problem": "What is 1+1?", "final": "2", "output": "<think>\n1\n</think>\n\n\\boxed{2}"},
    {"problem": "What is 2+2?", "final": "0.50", "output": "<think>\n2\n</think>\n\n\\boxed{\\frac12}"},
    {"problem": "What is 3+3?", "final": 6, "output": "<think>\n3\n</think>\n\n\\boxed{7}"},
    {"problem": "What is 4+4?", "output": "no answer to judge by, a NUL \0 and half a sign \ud800"},
]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize("file", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_own_traces_in_several_kinds_of_file(own, tmp_path, file):
    rows = TRACES
    if file == "a.parquet":
        rows = [{**row, "final": str(row["final"])} for row in TRACES[:3]]
        mirror_parquet(tmp_path, "traces", file, rows)
    else:
        content = lines(rows)
        (tmp_path / "traces" / file).write_bytes(gzip.compress(content, mtime=0) if file.endswith(".gz") else content)
    examples = rows_of(own(file, len(rows)), "examples.parquet")
    assert [row["verdict"] for row in examples] == ["correct", "correct", "wrong", None][: len(rows)]
    assert [row["answer"] for row in examples] == ["2", "0.50", "6", ""][: len(rows)]
    assert [row["question"] for row in examples] == [row["problem"] for row in rows]
    assert examples[-1]["response"].startswith(rows[-1]["output"][:20])


GOOD = lines(TRACES[:1])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD + b'{"problem": "Q", "output": null}\n', r"row 1: .*nothing in .*response"),
        (GOOD + b'{"problem": "Q", "out', r"a\.jsonl, row 1: .*correct that line"),
        (GOOD + b"[" * 5_000, r"a\.jsonl, row 1: .*correct that line"),
        (
            GOOD + b'{"problem": "Q\xff", "output": "x"}\n' + GOOD,
            r"a\.jsonl, row 1: 'utf-8' codec can't decode byte 0xff",
        ),
        (GOOD + b"[1, 2]\n", r"a\.jsonl, row 1: a list where an object is needed"),
        (b'{"problem": "Q", "final": 1, "reply": "x"}\n', r"row 0: no column 'output'; valid: final, problem, reply"),
        (b"", r"0 rows in \./traces where 2 are declared; it is empty"),
        (GOOD, r"1 rows in \./traces where 2 are declared; declare rows = 1"),
    ],
    ids=["null", "cut off", "too deep", "not utf-8", "no object", "other column", "empty", "too few"],
)
def test_bad_rows_of_own_traces_are_named(own, tmp_path, content, words):
    (tmp_path / "traces" / "a.jsonl").write_bytes(content)
    with pytest.raises(StepError, match=words):
        own("a.jsonl", 2)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a.parquet", b"PAR1 and no more", r"a\.parquet: unreadable after row 0"),
        ("a.jsonl.gz", gzip.compress(GOOD * 9, mtime=0)[:-9], r"a\.jsonl\.gz, row \d"),
        ("a.txt", b"x", r"cannot read '\.txt' files"),
    ],
)
def test_files_that_cannot_be_read_are_named(own, tmp_path, file, content, words):
    (tmp_path / "traces" / file).write_bytes(content)
    with pytest.raises(StepError, match=words):
        own(file, 1)


def test_a_file_that_changed_is_said_and_read_when_forced(own, tmp_path, caplog):
    path = tmp_path / "traces" / "a.jsonl"
    path.write_bytes(GOOD)
    first = own("a.jsonl", 1)
    assert own("a.jsonl", 1).folder == first.folder and not caplog.records
    path.write_bytes(lines(TRACES[2:3]))
    assert own("a.jsonl", 1).folder == first.folder
    assert "has changed since" in caplog.text and "--force" in caplog.text
    assert rows_of(own("a.jsonl", 1, force=True), "examples.parquet")[0]["verdict"] == "wrong"
    path.unlink()
    assert own("a.jsonl", 1).stats["rows"] == 1


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
    tables = read_study_file(tmp_path / "study.toml").entries
    assert tables["datasets"][0].published.columns == (("response", "output"),)


def test_without_a_place_it_is_refused():
    with pytest.raises(SpecError, match="field published"):
        study(datasets=(Dataset(name="adopted", recipe="published", rows=2),))
