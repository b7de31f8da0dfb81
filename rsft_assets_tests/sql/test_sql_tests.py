"""The tests in the SQL folder: each finds a planted row, and every file runs by hand."""

import shutil

import duckdb
import pytest

from rsft_assets.steps.results.publishing import database_path, open_results
from rsft_assets.steps.results.sql_files import sql_folder

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"


@pytest.mark.parametrize(
    ("test", "harm"),
    [
        ("scores_within_bounds", "UPDATE marts.benchmark_scores SET value = 1.5 WHERE unit = 'share'"),
        ("scores_agree_with_items", "UPDATE staging.score_points SET value = value + 0.01"),
        ("one_score_per_cell", "INSERT INTO marts.benchmark_scores FROM marts.benchmark_scores LIMIT 1"),
        ("items_are_complete", "UPDATE staging.graded_counts SET items = items - 1"),
        ("every_sample_is_graded", "UPDATE staging.graded_counts SET samples = samples + 1"),
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
