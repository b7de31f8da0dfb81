"""Building the database: only what changed, and what is missing, half made or damaged is named."""

import os
from dataclasses import replace

import pytest

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.columns import KINDS
from rsft_assets.steps.records.rows import write_rows
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.write import answers_of
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results, read_results
from rsft_assets_tests.finished_study import make

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"


def contents(store):
    """Every table of the folder as sorted rows, without what names a build."""
    with open_results(store) as db:
        names = db.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
            "WHERE schema_name IN ('staging', 'marts', 'records', 'declared') ORDER BY ALL"
        ).fetchall()
        assert len(names) > 30
        return {name: sorted(map(plain, db.execute(f"FROM {name}").fetchall())) for (name,) in names}


def plain(row):
    """Sums made in parallel differ in their last digits."""
    return repr([float(f"{value:.9g}") if isinstance(value, float) else value for value in row])


def test_nothing_changed_so_nothing_is_built_again(study, copied):
    again = build_results(study, copied)
    assert {table.state for table in again.tables} == {"kept"}
    assert again.build_id == read_results(copied).build_id


@pytest.mark.slow
def test_one_new_checkpoint_gives_what_a_build_from_nothing_gives(study, copied):
    slot = copied.slot(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40"))
    (slot / "current.json").rename(slot / "aside")
    without = build_results(study, copied)
    (slot / "aside").rename(slot / "current.json")
    extended = build_results(study, copied)
    assert without.table("staging.item_scores").rows < extended.table("staging.item_scores").rows
    assert extended.table("staging.item_scores").state == "extended"
    assert extended.table("staging.paired_differences").state == "extended"
    assert extended.table("staging.pool_queries").state == "kept"
    grown = contents(copied)
    anew = build_results(study, copied, force=True)
    assert anew.table("staging.item_scores").state == "built"
    assert contents(copied) == grown


@pytest.mark.slow
def test_an_output_made_again_replaces_its_rows(study, copied):
    make(study, copied, Ref("benchmarks/tiny-dot"), force=True, version=2)
    make(study, copied, Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40"))
    results = build_results(study, copied)
    with open_results(copied) as db:
        rows = db.execute(
            "SELECT step, benchmark_version FROM marts.benchmark_scores "
            "WHERE run = ? AND benchmark = 'tiny-dot' AND grader = 'strict' ORDER BY step",
            [RUN],
        ).fetchall()
        words = db.execute(
            "SELECT method, difference FROM marts.score_trajectories WHERE source = 'ours' AND run = ? "
            "AND benchmark = 'tiny-dot' AND step = 40 AND grader = 'strict'",
            [RUN],
        ).fetchall()
    assert rows == [(0, 2), (5, 2), (10, 2), (20, 2), (40, 1)]
    assert words == [("base not scored under this version of the benchmark", None)]
    mixed = next(test for test in results.tests if test.name == "benchmark_versions_are_not_mixed")
    assert mixed.state == "warned"
    assert results.failures == ()


@pytest.mark.slow
def test_a_run_that_is_no_longer_declared_is_left_out_by_name(study, copied):
    fewer = replace(study, runs={name: run for name, run in study.runs.items() if name != RUN})
    build_results(fewer, copied)
    with open_results(copied) as db:
        assert db.execute("SELECT count(*) FROM marts.benchmark_scores WHERE run = ?", [RUN]).fetchall() == [(0,)]
        words = db.execute("SELECT place, problem FROM marts.problems ORDER BY place").fetchall()
    assert words[0] == (f"checkpoints/tiny-1m {RUN}", "5 outputs of a run that the study no longer declares")
    assert len(words) == 4


@pytest.mark.slow
def test_an_empty_home_gives_empty_tables(study, tmp_path):
    store = Store(tmp_path / "nothing")
    results = build_results(study, store)
    assert results.failures == ()
    assert results.outputs == 0
    assert results.table("marts.benchmark_scores").rows == 0
    assert results.table("marts.dip_and_recovery").rows > 0, "the paper's numbers are there from the start"
    assert results.table("marts.coverage").rows > 0


@pytest.mark.slow
def test_a_run_half_trained_is_told_by_what_it_waits_for(study, tmp_path):
    from rsft_assets_tests.finished_study import finish

    store = Store(tmp_path)
    finish(study, store, stages=("queries", "responses", "verdicts", "datasets", "base_models", "benchmarks"))
    make(study, store, Ref("checkpoints/tiny-1m", f"{RUN}|5"))
    build_results(study, store)
    with open_results(store) as db:
        rows = db.execute(
            "SELECT step, state, waiting_for FROM marts.coverage WHERE run = ? AND benchmark = 'tiny-dot' "
            "AND step IN (5, 10) ORDER BY step",
            [RUN],
        ).fetchall()
    assert rows == [
        (5, "not made", f"scores/tiny-1m/tiny-dot[{RUN}|5]"),
        (10, "not made", f"checkpoints/tiny-1m[{RUN}|10]"),
    ]


@pytest.mark.slow
def test_a_benchmark_without_access_is_told_by_coverage_and_report(study, tmp_path):
    store = Store(tmp_path)
    with store.build(study, Ref("benchmarks/tiny-dot")) as build:
        write_rows(build.folder / "items.parquet", "items", [])
        build.publish({"access": "none", "reason": "ask for it", "items": 0})
    build_results(study, store)
    with open_results(store) as db:
        rows = db.execute(
            "SELECT DISTINCT benchmark = 'tiny-dot', state, reason FROM marts.coverage WHERE study = 'tiny' ORDER BY 1"
        ).fetchall()
        (trusted,) = (answer for answer in answers_of(db, "tiny") if answer.name == "trusted")
    assert rows == [(False, "not made", ""), (True, "no-access", "ask for it")]
    assert "No access: tiny-dot (ask for it)." in trusted.missing


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["cut", "garbage", "missing", "manifest"])
def test_a_damaged_file_is_named_and_costs_only_itself(study, copied, harm):
    output = copied.require(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40"))
    path = output.file("graded.parquet")
    size = path.stat().st_size
    if harm == "cut":
        path.write_bytes(path.read_bytes()[: size // 2])
    elif harm == "garbage":
        path.write_bytes(os.urandom(size))
    elif harm == "missing":
        path.unlink()
    else:
        (output.folder / "manifest.json").write_text("{")
    results = build_results(study, copied, force=True)
    assert results.failures == ()
    place = str(output.folder.relative_to(copied.home))
    assert any(place.startswith(where) for where, _ in results.problems)
    with open_results(copied) as db:
        steps = db.execute(
            "SELECT step FROM marts.benchmark_scores WHERE run = ? AND benchmark = 'tiny-dot' "
            "AND grader = 'strict' ORDER BY step",
            [RUN],
        ).fetchall()
    assert steps == [(0,), (5,), (10,), (20,)]


@pytest.mark.slow
def test_curves_that_were_written_before_a_column_was_added_are_read(study, copied, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setitem(KINDS, "curves", tuple(column for column in KINDS["curves"] if not column.is_added))
        make(study, copied, Ref("checkpoints/tiny-1m", f"{RUN}|40"), force=True)
    # Alone, then in one batch with files that have the column.
    for force in (False, True):
        build_results(study, copied, force=force)
        with open_results(copied) as db:
            counted = "SELECT count(loss), count(entropy) FROM marts.training_curves WHERE run = ?"
            assert db.execute(counted, [RUN]).fetchall() == [(40, 0)]
            assert db.execute(counted, [f"{RUN}_seed2"]).fetchall() == [(40, 40)]
            assert db.execute("SELECT count(*) FROM records.problems").fetchall() == [(0,)]
