"""Files of responses: every row keeps its place, whatever stands in it, and nothing is published by halves."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rsft_assets.commands.cli import main
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.verdicts.verifier.limits import Limits
from rsft_assets.steps.verdicts.verify_file import verify_file

pytestmark = pytest.mark.usefixtures("quick_verifier")

LINES = (
    json.dumps({"id": "a", "query_id": "q", "gold": "5", "response": r"\boxed{5}", "more": [1, {"b": 2}]}).encode(),
    b'{"gold": "5", "response": "\xff\xfe \\\\boxed{5}"}',
    b"{broken",
    b"[1]",
    b'{"gold": null, "response": "5"}',
    b'{"gold": "5"}',
    b'{"gold": 5, "response": "\\u0000 6"}',
    b'{"gold": "5", "response": "\\ud800 5"}',
    b'{"gold": "5", "response": "<think> x", "finish_reason": "length"}',
    json.dumps({"gold": "5", "response": "word " * 1_000_000 + r"\boxed{5}"}).encode(),
)
REASONS = (
    *("equal", "equal", "row-unreadable", "row-unreadable", "gold-missing", "response-missing", "different", "equal"),
    *("cut-off", "equal"),
)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(LINES))
    return path


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_every_row_keeps_its_place(source, name):
    target = source.with_name(name)
    counts = verify_file(source, target, workers=1)
    assert counts == {
        **{"correct": 4, "wrong": 1, "unparseable": 5, "correct/equal": 4, "wrong/different": 1},
        **{"unparseable/row-unreadable": 2, "unparseable/gold-missing": 1, "unparseable/response-missing": 1},
        **{"unparseable/cut-off": 1},
    }
    rows = read(target)
    assert [row["reason"] for row in rows] == list(REASONS)
    assert rows[0]["query_id"] == "q" and rows[0]["extracted"] == "5"
    assert "broken" in json.dumps(rows[2]) and "row 3" in json.dumps(rows[2])
    assert sorted(path.name for path in source.parent.iterdir()) == sorted(["in.jsonl", name])


@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz"])
def test_a_byte_order_mark_costs_no_row(tmp_path, name):
    lines = b"\xef\xbb\xbf" + LINES[0] + b"\n" + LINES[1]
    (tmp_path / name).write_bytes(gzip.compress(lines) if name.endswith("gz") else lines)
    assert verify_file(tmp_path / name, tmp_path / "out.jsonl", workers=1)["correct"] == 2
    assert read(tmp_path / "out.jsonl")[0]["query_id"] == "q"


BAD = {
    "prose for gold": ("the set of all primes", r"\boxed{2}", {"different", "gold-unreadable"}),
    "prose for both": ("the set of all primes", r"\boxed{the set of all primes}", {"equal"}),
    "braces": ("5", "{" * 10_000 + "}" * 10_000, {"no-answer"}),
    "braces in a box": ("5", r"\boxed{" + "{" * 10_000 + "5" + "}" * 10_001, {"time", "memory", "answer-unread"}),
    "empty boxes": ("5", "So \\[ \\boxed{} \\]\n" * 3_000, {"no-answer"}),
    "one sentence": ("5", "So the answer is the same. " * 5_000, {"no-answer"}),
    "factorials": ("5", r"\boxed{10000000!/9999999!}", {"time", "memory"}),
    "binomial": ("5", r"\boxed{\binom{10^9}{5\cdot 10^8}}", {"time", "memory"}),
    "towers": ("5", r"\boxed{9^{9^{9^{9}}}}", {"time", "memory"}),
    "code": ("5", r"\boxed{__import__('os')}", {"answer-unread", "different"}),
}


@pytest.mark.slow
def test_what_weak_models_write_gets_a_verdict_and_the_rest_goes_on(tmp_path):
    lines = [json.dumps({"id": name, "gold": gold, "response": text}) for name, (gold, text, _) in BAD.items()]
    between = json.dumps({"id": "ok", "gold": "5", "response": r"\boxed{5}"})
    (tmp_path / "in.jsonl").write_text("\n".join(f"{line}\n{between}" for line in lines))
    verify_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", workers=2, limits=Limits(seconds=2))
    rows = read(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [name for bad in BAD for name in (bad, "ok")]
    assert {row["verdict"] for row in rows if row["id"] == "ok"} == {"correct"}
    unexpected = {row["id"]: row["reason"] for row in rows[::2] if row["reason"] not in BAD[row["id"]][2]}
    assert not unexpected


def read(path):
    if path.name.endswith(".parquet"):
        return pq.read_table(path).to_pylist()
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rt") as file:
        return [json.loads(line) for line in file]


def test_parquet_keeps_its_columns_and_types(tmp_path):
    table = pa.table(
        {
            "gold": pa.array([{"numbers": [1, 2], "target": 3}] * 200),
            "response": ["<answer>1 + 2</answer>", None] * 100,
            "weight": pa.array(range(200), pa.int16()),
            "verdict": ["old"] * 200,
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    verify_file(tmp_path / "in.parquet", tmp_path / "deep" / "out.parquet", kind="countdown", workers=1)
    result = pq.read_table(tmp_path / "deep" / "out.parquet")
    assert result.schema.names == ["gold", "response", "weight", "verdict", "extracted", "reason", "seconds"]
    assert result.schema.field("weight").type == pa.int16()
    assert result.column("verdict").to_pylist() == ["correct", "unparseable"] * 100


def test_text_that_is_not_utf8_in_parquet_is_judged(tmp_path):
    raw = pa.array([b"\xff \\boxed{5}"], pa.binary())
    response = pa.StringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"gold": ["5"], "response": response}), tmp_path / "in.parquet")
    assert verify_file(tmp_path / "in.parquet", tmp_path / "out.jsonl", workers=1)["correct"] == 1


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b'{"question": "x"}\n', "in.jsonl", "no row has a column gold or response"),
        (b"PAR1 nothing", "in.parquet", "damaged"),
        (gzip.compress(b'{"gold": "5", "response": "5"}\n' * 9_999)[:-40], "in.jsonl.gz", "after row"),
        (b"", "in.csv", "format is read from the name"),
    ],
)
def test_files_that_cannot_be_judged_are_named_and_nothing_is_published(tmp_path, content, name, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StepError, match=words) as raised:
        verify_file(tmp_path / name, tmp_path / "out.jsonl", workers=1)
    assert name in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("source_name", "target_name", "words"),
    [
        ("folder.jsonl", "out.jsonl", "folder.jsonl is a folder"),
        ("in.jsonl", "folder.jsonl", "folder.jsonl is a folder"),
        ("in.jsonl", "in.jsonl/out.jsonl", "in.jsonl: File exists"),
        ("in.jsonl", "in.jsonl/deeper/out.jsonl", "Not a directory"),
    ],
)
def test_places_that_cannot_be_used_are_named_before_anything_is_judged(source, source_name, target_name, words):
    (source.parent / "folder.jsonl").mkdir()
    judged: list[int] = []
    with pytest.raises(StepError, match=words):
        verify_file(source.parent / source_name, source.parent / target_name, workers=1, progress=judged.append)
    assert not judged


def test_columns_missing_from_parquet_are_named(tmp_path):
    pq.write_table(pa.table({"gold": ["5"], "text": ["5"]}), tmp_path / "in.parquet")
    with pytest.raises(StepError, match=r"no column response; it has gold, text"):
        verify_file(tmp_path / "in.parquet", tmp_path / "out.parquet", workers=1)


def test_the_command_prints_counts_and_its_status_tells(source, monkeypatch, capsys):
    def status(*words):
        monkeypatch.setattr("sys.argv", ["rsft", "verify", *map(str, words)])
        try:
            main()
        except SystemExit as stopped:
            return stopped.code
        return 0

    target = source.with_name("out.jsonl")
    assert status(source, target, "--workers", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["correct"] == 4
    assert status(source, source, "--workers", "1") == 1
    assert status() == 2
