"""Building the database: only what changed, failures contained and named, readers never in the way."""

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.build_results import build_results
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.publishing import database_path, open_results, read_results
from rsft_assets.steps.results.sql_files import sql_folder
from rsft_assets_tests.finished_study import make

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"


@pytest.fixture
def sql(tmp_path):
    """The SQL folder, to change."""
    return Path(shutil.copytree(sql_folder(), tmp_path / "sql"))


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


def test_a_run_that_is_no_longer_declared_is_left_out_by_name(study, copied):
    fewer = replace(study, runs={name: run for name, run in study.runs.items() if name != RUN})
    build_results(fewer, copied)
    with open_results(copied) as db:
        assert db.execute("SELECT count(*) FROM marts.benchmark_scores WHERE run = ?", [RUN]).fetchall() == [(0,)]
        words = db.execute("SELECT place, problem FROM marts.problems ORDER BY place").fetchall()
    assert words[0] == (f"checkpoints/tiny-1m {RUN}", "5 outputs of a run that the study no longer declares")
    assert len(words) == 4


def test_an_empty_home_gives_empty_tables(study, tmp_path):
    store = Store(tmp_path / "nothing")
    results = build_results(study, store)
    assert results.failures == ()
    assert results.outputs == 0
    assert results.table("marts.benchmark_scores").rows == 0
    assert results.table("marts.dip_and_recovery").rows > 0, "the paper's numbers are there from the start"
    assert results.table("marts.coverage").rows > 0


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


def test_a_broken_query_names_file_line_and_cause_and_others_are_built(study, copied, sql):
    path = sql / "marts" / "response_length.sql"
    text = path.read_text().replace("r.median_tokens,", "r.no_such_column,")
    path.write_text(text)
    line = next(i for i, words in enumerate(text.splitlines(), 1) if "no_such_column" in words)
    results = build_results(study, copied, folder=sql)
    broken = results.table("marts.response_length")
    assert broken.state == "failed"
    assert f"response_length.sql: line {line}" in broken.problem
    assert "no_such_column" in broken.problem
    assert results.table("marts.score_trajectories").state == "kept"
    # The test that reads it says that it could not run; it does not pass.
    assert next(test for test in results.tests if test.name == "lengths_add_up").state == "skipped"
    with open_results(copied) as db, pytest.raises(duckdb.CatalogException):
        db.execute("FROM marts.response_length")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELEC 1", "bad.sql"),
        ("SELECT * FROM", "bad.sql"),
        ("SELECT 1 AS a; DROP TABLE x", "one SELECT"),
        ("CREATE TABLE t AS SELECT 1", "one SELECT"),
        ("-- Nothing\nSELECT *\nFROM somewhere", "line 3: table 'somewhere' needs its schema"),
        ("SELECT *\nFROM staging.item_score", "line 2: no table staging.item_score; did you mean staging.item_scores"),
    ],
)
def test_sql_that_a_user_broke_is_answered_in_words(study, copied, sql, text, words):
    (sql / "marts" / "bad.sql").write_text(text)
    results = build_results(study, copied, folder=sql)
    assert results.table("marts.bad").state == "failed"
    assert words in results.table("marts.bad").problem
    assert {table.state for table in results.tables if table.name != "bad"} == {"kept"}


def test_what_reads_a_broken_table_is_left_out_by_name(study, copied, sql):
    path = sql / "staging" / "item_scores.sql"
    path.write_text(path.read_text().replace("avg(value)", "avg(valeu)"))
    results = build_results(study, copied, folder=sql)
    assert results.table("staging.item_scores").state == "failed"
    assert results.table("staging.paired_differences").state == "skipped"
    assert "staging.item_scores" in results.table("staging.paired_differences").problem
    assert results.table("marts.benchmark_scores").state == "kept"


def test_a_table_of_the_users_own_is_built_like_ours(study, copied, sql):
    (sql / "marts" / "my_best.sql").write_text(
        "-- The best step of each run.\n-- grain: run\nSELECT run, max(value) AS best\n"
        "FROM marts.benchmark_scores\nGROUP BY run\n"
    )
    results = build_results(study, copied, folder=sql)
    mine = results.table("marts.my_best")
    assert (mine.state, mine.rows) == ("built", 5)
    assert mine.lineage == {
        "run": [["marts.benchmark_scores", "run"]],
        "best": [["marts.benchmark_scores", "value"]],
    }
    (sql / "marts" / "my_best.sql").unlink()
    build_results(study, copied, folder=sql)
    with open_results(copied) as db, pytest.raises(duckdb.CatalogException):
        db.execute("FROM marts.my_best")


def test_tables_that_read_each_other_in_a_circle_are_refused(study, copied, sql):
    (sql / "marts" / "a.sql").write_text("SELECT * FROM marts.b")
    (sql / "marts" / "b.sql").write_text("SELECT * FROM marts.a")
    with pytest.raises(Exception, match=r"circle: marts\.\w -> marts\.\w"):
        build_results(study, copied, folder=sql)


@pytest.mark.parametrize(
    ("test", "harm"),
    [
        ("scores_within_bounds", "UPDATE marts.benchmark_scores SET value = 1.5 WHERE unit = 'share'"),
        ("scores_agree_with_items", "UPDATE staging.score_points SET value = value + 0.01"),
        ("one_score_per_cell", "INSERT INTO marts.benchmark_scores FROM marts.benchmark_scores LIMIT 1"),
        (
            "items_are_complete",
            "DELETE FROM staging.item_scores WHERE item_id = (SELECT min(item_id) FROM records.items)",
        ),
        ("every_sample_is_graded", "UPDATE staging.item_scores SET samples = samples + 1"),
        ("benchmark_versions_are_not_mixed", "UPDATE marts.benchmark_scores SET benchmark_version = 2"),
        ("training_rows_are_verified", "UPDATE staging.dataset_rows SET verdict = 'wrong' WHERE row = 3"),
        ("one_row_per_query", "UPDATE staging.dataset_rows SET query_id = 'q'"),
        ("verdicts_match_responses", "DELETE FROM records.responses WHERE sample = 0"),
        ("inputs_are_current", "UPDATE marts.lineage_edges SET input_is_current = false"),
        ("records_are_sound", "INSERT INTO marts.problems VALUES ('somewhere', 'something')"),
        ("metrics_are_declared", "UPDATE marts.benchmark_scores SET is_headline = NULL WHERE benchmark = 'tiny-dot'"),
        ("lengths_add_up", "UPDATE marts.response_length SET growth = growth + 1"),
    ],
)
def test_each_test_of_the_folder_fails_on_a_planted_row(finished, tmp_path, test, harm):
    place = tmp_path / "planted.duckdb"
    shutil.copyfile(database_path(finished), place)
    query = (sql_folder() / "tests" / f"{test}.sql").read_text().rstrip().rstrip(";")
    with duckdb.connect(str(place)) as db:
        assert db.execute(query).fetchall() == []
        db.execute(harm)
        assert db.execute(query).fetchall() != []


def test_the_table_of_planted_rows_covers_every_test_of_the_folder():
    here = test_each_test_of_the_folder_fails_on_a_planted_row.pytestmark[0].args[1]
    assert {name for name, _ in here} == {path.stem for path in (sql_folder() / "tests").glob("*.sql")}


def test_every_file_runs_by_hand_on_the_published_database(finished):
    paths = sorted(sql_folder().glob("*/*.sql"))
    assert len(paths) > 35
    with open_results(finished) as db:
        for path in paths:
            db.execute(path.read_text())


def test_readers_and_publishing_do_not_meet(study, copied):
    errors, seen, stop = [], [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                with open_results(copied) as db:
                    seen.append(db.execute("SELECT count(*) FROM marts.benchmark_scores").fetchall()[0][0])
            except Exception as error:
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(3):
        build_results(study, copied)
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert len(seen) > 4 and len(set(seen)) == 1


def test_the_database_is_read_only_and_a_stale_wal_is_moved_aside(study, copied):
    place = database_path(copied)
    assert place.stat().st_mode & 0o777 == 0o444
    wal = place.with_name(place.name + ".wal")
    wal.write_bytes(b"left by a killed process")
    build_results(study, copied)
    assert not wal.exists()
    assert list(copied.home.glob(".results.duckdb.wal.stale-*"))
    with open_results(copied) as db:
        assert db.execute("SELECT count(*) FROM marts.coverage").fetchall()[0][0] > 0


def test_a_database_that_cannot_be_read_is_built_anew(study, copied):
    place = database_path(copied)
    place.chmod(0o644)
    place.write_bytes(b"not a database")
    results = build_results(study, copied)
    assert results.failures == ()
    assert {table.state for table in results.tables} == {"built"}


def test_a_killed_build_leaves_the_published_database_as_it_was(study, copied):
    before = database_path(copied).read_bytes()
    code = (
        "import sys, os\n"
        "from rsft_assets.steps import build_results as b\n"
        "from rsft_assets.steps.results import publishing\n"
        "from rsft_assets.steps.records.store import Store\n"
        "from rsft_assets_tests.finished_study import tiny_study\n"
        "publishing.publish = lambda *a: os._exit(9)\n"
        "b.build_results(tiny_study(), Store(__import__('pathlib').Path(sys.argv[1])), force=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(copied.home)], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert database_path(copied).read_bytes() == before
    assert build_results(study, copied).failures == ()
    assert not (copied.home / ".results.building.duckdb").exists()


def test_two_snapshots_can_be_attached_and_compared(finished, study, copied, tmp_path):
    slot = copied.slot(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40"))
    (slot / "current.json").unlink()
    build_results(study, copied)
    with duckdb.connect() as db:
        db.execute(f"ATTACH '{database_path(finished)}' AS before (READ_ONLY)")
        db.execute(f"ATTACH '{database_path(copied)}' AS after (READ_ONLY)")
        gone = db.execute(
            "SELECT DISTINCT trace FROM before.marts.benchmark_scores "
            "EXCEPT SELECT trace FROM after.marts.benchmark_scores"
        ).fetchall()
    assert gone == [(f"scores/tiny-1m/tiny-dot[{RUN}|40]",)]


def test_too_little_memory_is_answered_in_words_and_nothing_is_published(study, copied):
    before = database_path(copied).read_bytes()
    with pytest.raises(StepError, match="published database is as it was"):
        build_results(study, copied, force=True, memory="1MB")
    assert database_path(copied).read_bytes() == before


def test_manifests_of_a_newer_version_are_named_and_not_read(study, copied):
    output = copied.require(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40"))
    manifest = json.loads((output.folder / "manifest.json").read_text())
    (output.folder / "manifest.json").write_text(json.dumps({**manifest, "schema": manifest["schema"] + 1}))
    build_results(study, copied)
    with open_results(copied) as db:
        words = db.execute("SELECT problem FROM marts.problems").fetchall()
    assert len(words) == 1 and "newer version" in words[0][0]
