"""SQL that a user wrote or broke: file, line and cause are named, and all other tables are built."""

import duckdb
import pytest

from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"


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
        pytest.param("SELECT * FROM", "bad.sql", marks=pytest.mark.slow),
        ("SELECT 1 AS a; DROP TABLE x", "one SELECT"),
        pytest.param("CREATE TABLE t AS SELECT 1", "one SELECT", marks=pytest.mark.slow),
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


@pytest.mark.slow
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
    with pytest.raises(Exception, match=r"cycle: marts\.\w -> marts\.\w"):
        build_results(study, copied, folder=sql)
