"""Damaged records: every reader names the file, none ends in a traceback, none takes it for true."""

import dataclasses
import json
import logging
import os
import re
import shutil

import dagster as dg
import pyarrow.parquet as pq
import pytest

from rsft_assets.defs import results as results_defs
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.processes.hardware import Capabilities
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.questions.cleanup import survey
from rsft_assets.steps.questions.doctor import examine
from rsft_assets.steps.questions.planning.measured import Measured
from rsft_assets.steps.questions.trace import trace
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.write import check_report, make_report
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.outputs_found import find_outputs
from rsft_assets.steps.results.publishing import database_path, open_results, read_results
from rsft_assets_tests.finished_study import make

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
SCORE = Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40")
CHECKPOINT = Ref("checkpoints/tiny-1m", f"{RUN}|40")


def machine(placement):
    return Capabilities(place="here", gpus=(), cores=2, memory=8 << 30, slots=1)


def problems(store, *, content=False):
    return [f"{one.what}: {one.words}" for one in examine(store, machine, content=content) if one.state == "problem"]


def edit_manifest(output, **fields):
    path = output.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def flip(path, position=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


@pytest.fixture(scope="module")
def shared(finished, tmp_path_factory):
    """A copy that is changed and put right again by each test."""
    return Store(shutil.copytree(finished.home, tmp_path_factory.mktemp("shared") / "home"))


@pytest.mark.parametrize(
    "edit",
    [
        {"fingerprint": "0" * 64},
        {"digest": "0" * 64},
        {"digest": 7},
        {"inputs": []},
        {"asset": "checkpoints/tiny-3m"},
        {"asset": None},
        {"stats": {"step": 39}},
        {"stats": None},
        {"made_by": None},
    ],
)
def test_an_edited_manifest_is_named_by_every_reader(study, shared, edit):
    output = shared.require(CHECKPOINT)
    before = (output.folder / "manifest.json").read_bytes()
    path = edit_manifest(output, **edit)
    try:
        assert any(str(path) in words for words in problems(shared))
        assert any(str(path) in words for words in trace(study, shared, SCORE.asset, SCORE.partition).problems)
        assert any(str(path) in words for _, words in find_outputs(shared)[1])
        assert States(study, shared).of(CHECKPOINT).kind == "missing"
        assert CHECKPOINT not in [made.ref for made in Measured(study, shared).manifests(CHECKPOINT.asset)]
        assert not any(item.safe for item in survey(study, shared))
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("content", ["[" * 100_000, json.dumps({"output": "../20/0123456789ab"}), None])
def test_a_damaged_pointer_is_named_by_every_reader(study, copied, content):
    path = copied.slot(SCORE) / "current.json"
    path.unlink()
    path.write_text(content) if content else path.mkdir()
    assert any(str(path) in words for words in problems(copied))
    assert any(str(path) in words for words in trace(study, copied, SCORE.asset, SCORE.partition).problems)
    assert any(str(path) in words for _, words in find_outputs(copied)[1])
    # The output itself is sound: it is kept, and keeping it mends a pointer that is a file.
    assert States(study, copied).of(SCORE).kind == "kept"
    if content is None:
        with pytest.raises(StepError, match=re.escape(str(path))):
            copied.keep(copied.identity(study, SCORE))
    else:
        assert copied.keep(copied.identity(study, SCORE)).folder == copied.current(SCORE).folder


@pytest.mark.parametrize("dangling", [False, True])
def test_outputs_whose_pointer_is_gone_are_named(study, copied, dangling):
    path = copied.slot(SCORE) / "current.json"
    path.unlink()
    if dangling:
        path.symlink_to("nowhere")
    assert [words for words in problems(copied) if str(path) in words]
    assert any(str(path) in words for _, words in find_outputs(copied)[1])
    assert States(study, copied).of(SCORE).kind == "missing"


def test_homes_of_before_are_read_and_counted(copied):
    paths = sorted(copied.home.rglob("current.json"))
    for path in paths:
        path.write_text(json.dumps({"output": json.loads(path.read_text())["output"]}))
    [note] = [one for one in examine(copied, machine) if one.what == "manifests"]
    assert note.state == "note" and note.words.startswith(f"{len(paths)} have no hash of their manifest")
    assert problems(copied) == []


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_rows_seen_that_cannot_be_read_are_named(study, copied, harm):
    path = copied.require(CHECKPOINT).file("seen.parquet")
    os.truncate(path, 100) if harm == "cut" else path.unlink()
    for ref in (CHECKPOINT, SCORE):
        assert any(str(path) in words for words in trace(study, copied, ref.asset, ref.partition).problems)


@pytest.mark.parametrize("named", [True, False])
def test_a_score_may_name_its_completions_by_their_folder_alone(study, copied, named):
    output = copied.require(SCORE)
    (copied.slot(SCORE) / "current.json").write_text(json.dumps({"output": output.folder.name}))
    place = output.stats["completions"]["folder"] if named else "completions/else/0123456789ab"
    edit_manifest(output, stats={"completions": place})
    found = trace(study, copied, SCORE.asset, SCORE.partition).problems
    assert found == [] if named else [words.startswith("completions: ") for words in found] == [True]
    assert bool(problems(copied)) == (not named)


def flip_unnoticed(path):
    """Flip one bit so that Parquet reads the file without a complaint, but other numbers."""
    before, content = pq.read_table(path), path.read_bytes()
    for position in range(4, len(content)):
        flip(path, position)
        try:
            table = pq.read_table(path)
            if table.schema == before.schema and table["value"] != before["value"]:
                return
        except Exception:
            pass
        path.write_bytes(content)
    raise AssertionError("every flip was noticed")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scores", pytest.param("graded", marks=pytest.mark.slow)])
def test_a_flipped_byte_changes_no_number(study, copied, name):
    path = copied.require(SCORE).file(f"{name}.parquet")
    flip_unnoticed(path)
    results = build_results(study, copied, force=True)
    assert any(str(path) in words for _, words in results.problems)
    with open_results(copied) as db:
        query = "SELECT count(*) FROM marts.benchmark_scores WHERE run = ? AND benchmark = 'tiny-dot' AND step = 40"
        assert db.execute(query, [RUN]).fetchall() == [(0,)]


@pytest.mark.slow
def test_content_is_read_of_what_is_not_in_use_too(study, copied):
    old = copied.require(Ref("benchmarks/tiny-dot"))
    make(study, copied, Ref("benchmarks/tiny-dot"), force=True, version=2)
    texts = copied.home / copied.require(SCORE).stats["completions"]["folder"]
    assert problems(copied, content=True) == []
    flip(old.file("items.parquet"))
    flip(texts / "completions.parquet")
    found = problems(copied, content=True)
    assert len(found) == 2
    assert all(any(str(place) in words for words in found) for place in (old.folder, texts))


def test_completions_that_are_gone_are_a_problem(copied):
    texts = copied.home / copied.require(SCORE).stats["completions"]["folder"]
    shutil.rmtree(texts)
    assert [words for words in problems(copied) if str(texts) in words and words.startswith(str(SCORE))]


def zero_a_page(path, page=4096):
    content = path.read_bytes()
    place = next(at for at in range(len(content) * 2 // 3, len(content), page) if any(content[at : at + page]))
    path.chmod(0o644)
    path.write_bytes(content[:place] + b"\0" * page + content[place + page :])


@pytest.mark.slow
def test_a_zeroed_page_of_the_database_is_said_and_built_again(study, copied, caplog):
    caplog.set_level(logging.WARNING)
    zero_a_page(database_path(copied))
    results = build_results(study, copied)
    assert {table.state for table in results.tables} == {"built"}
    assert "results.duckdb has changed since it was published (digest differs); building anew" in caplog.text
    assert {table.state for table in build_results(study, copied).tables} == {"kept"}


@pytest.mark.slow
def test_an_unchanged_database_is_not_read_to_be_kept(study, copied, monkeypatch):
    build_results(study, copied, force=True)
    read = []
    monkeypatch.setattr("rsft_assets.steps.results.publishing.bytes_digest", lambda path: read.append(path.name) or "x")
    assert {table.state for table in build_results(study, copied).tables} == {"kept"}
    assert read == [".results.building.duckdb"], "only what is published is read, for its digest"


def test_a_database_that_was_only_copied_is_kept(study, copied):
    assert {table.state for table in build_results(study, copied).tables} == {"kept"}


@pytest.mark.slow
def test_a_database_without_an_account_is_built_again(study, copied, caplog):
    (copied.home / "results.json").write_bytes(b"\xff\xfe")
    assert {table.state for table in build_results(study, copied).tables} == {"built"}
    assert "cannot be checked" in caplog.text


def test_a_reader_of_a_damaged_database_gets_words(copied):
    path = database_path(copied)
    path.chmod(0o644)
    size = path.stat().st_size
    with path.open("r+b") as file:
        for place in range(size // 4, size, 1 << 14):
            file.seek(place)
            file.write(b"\0" * 4096)
    with pytest.raises(StepError, match=r"results\.duckdb .*build it again"), open_results(copied) as db:
        for (name,) in db.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall():
            db.execute(f"FROM {name}").fetchall()


@pytest.mark.parametrize("harm", ["picture", "receipt"])
def test_a_figure_that_changed_does_not_match(study, copied_report, harm):
    assert {finding.state for finding in check_report(study, copied_report)} == {"match"}
    folder = copied_report.require(Ref("figures/dip_and_recovery")).folder
    path = folder / "tiny.png" if harm == "picture" else folder / "receipt.json"
    path.write_bytes(path.read_bytes()[:-2] + b"\xff\xfe")
    bad = [finding for finding in check_report(study, copied_report) if finding.state != "match"]
    assert [finding.what for finding in bad] == ["figures/dip_and_recovery"] and str(path) in bad[0].words
    node = trace(study, copied_report, "figures/dip_and_recovery")
    assert any(str(path) in words for words in node.problems)
    with pytest.raises(StepError, match=path.name):
        make_report(study, copied_report, force=True)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["failed", "warned"])
def test_a_failed_sql_test_fails_the_command(study, finished, monkeypatch, state):
    results = read_results(finished)
    tests = tuple(dataclasses.replace(test, state=state, rows=1, sample="row=1") for test in results.tests[:1])
    monkeypatch.setenv("RSFT_HOME", str(finished.home))
    monkeypatch.setattr(results_defs, "_build", lambda context: dataclasses.replace(results, tests=tests))
    done = dg.materialize([results_defs.results_assets(study)], raise_on_error=False)
    assert done.success == (state == "warned")
    assert len(done.get_asset_materialization_events()) == len(results.tables)
