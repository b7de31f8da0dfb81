"""pass@k and majority@k in the tables, against counting every draw of k samples."""

import itertools
import statistics
from collections import Counter, defaultdict

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.results.publishing import open_results
from rsft_assets.steps.results.sql_files import sql_folder
from rsft_assets.steps.scores.grading.tally import Tally

SAMPLES = 10
SQL = (
    *("staging/item_scores", "staging/vote_counts", "staging/majority_shares", "staging/sample_groups"),
    "marts/pass_at_k",
)


def rows_of(db, query, *values):
    cursor = db.execute(query, list(values))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def graded_row(item, sample, value, **more):
    return {
        **{"output_id": 1, "item_id": str(item), "sample": sample, "grader": "strict", "metric": "m", "weight": 1.0},
        **{"state": "undecided" if value is None else "scored", "value": value, "reason": "", "category": None},
        **{"response_tokens": 1, "truncated": False, "extracted_hash": None},
        **more,
    }


def made_up(items=40):
    """Samples of items between hardly and nearly always solved; some undecided, one item in whole.

    Correct answers are written in two ways, wrong ones are of three kinds or none.
    """
    rng = np.random.default_rng(7)
    rows = []
    for item in range(items):
        chance = rng.beta(0.4, 0.6)
        for sample in range(SAMPLES):
            value = None if item == 0 or rng.random() < 0.05 else float(rng.random() < chance)
            answer = int(rng.integers(0, 2)) if value else [None, 2, 3, 4][rng.choice(4, p=(0.1, 0.6, 0.2, 0.1))]
            rows.append(graded_row(item, sample, value, extracted_hash=answer))
    return rows


def pass_at_k(graded, more=(), *, is_voted=True, unit="share"):
    """The mart over graded samples of one output, by (rule, k)."""
    tally = Tally()
    for row in graded:
        tally.add(row)
    score = tally.rows()[0]
    texts = ("study", "model", "dataset", "schedule", "arm", "run", "title", "benchmark_group", "trace")
    point = {
        **dict.fromkeys(texts, "x"),
        **{"source": "ours", "point_id": 1, "benchmark": "b", "seed": 1, "step": 0, "is_last": False, "position": 1},
        **{"grader": "strict", "metric": "m", "is_headline": True, "is_default": True, "unit": "share"},
        **{"lower_is_better": False, "items": score["items"], "benchmark_version": 1, "protocol": "p"},
    }
    tables = {
        "records.graded": [*graded, *more],
        "staging.score_outputs": [{"output_id": 1, "benchmark": "b"}, {"output_id": 2, "benchmark": "b"}],
        "staging.score_points": [point],
        "records.outputs": [{"output_id": 1, "benchmark": "b"}],
        "declared.benchmarks": [{"benchmark": "b", "samples": SAMPLES}],
        "declared.metrics": [{"benchmark": "b", "metric": "m", "is_voted": is_voted, "unit": unit}],
    }
    with duckdb.connect() as db:
        for schema in ("records", "declared", "staging", "marts", "seeds"):
            db.execute(f"CREATE SCHEMA {schema}")
        for name, content in tables.items():
            content = pa.Table.from_pylist(content)
            db.execute(f"CREATE TABLE {name} AS FROM content")
        student_t = sql_folder() / "seeds" / "student_t.csv"
        db.execute(f"CREATE TABLE seeds.student_t AS FROM read_csv('{student_t}', header = true, comment = '#')")
        for name in SQL:
            text = (sql_folder() / f"{name}.sql").read_text()
            db.execute(f"CREATE TABLE {name.replace('/', '.')} AS {text}")
        found = rows_of(db, "FROM marts.pass_at_k")
    return {(row["rule"], row["k"]): row for row in found}, score


def scored_by_item(graded):
    by_item = defaultdict(list)
    for row in graded:
        if row["value"] is not None:
            by_item[row["item_id"]].append(row)
    return by_item


def test_pass_at_k_is_the_mean_over_every_draw():
    graded = made_up()
    found, _ = pass_at_k(graded)
    assert sorted(k for rule, k in found if rule == "pass") == [1, 2, 4, 8, 10]
    for (rule, k), row in found.items():
        if rule == "pass":
            shares = [
                statistics.fmean(max(r["value"] for r in draw) for draw in itertools.combinations(rows, k))
                for rows in scored_by_item(graded).values()
                if len(rows) >= k
            ]
            assert row["value"] == pytest.approx(statistics.fmean(shares), abs=1e-11), k
            assert row["items"] == len(shares)
            assert row["left_out"] == len(scored_by_item(graded)) - len(shares)
            assert 0 <= row["low"] < row["value"] < row["high"] <= 1


def majority(draw):
    """The share of correct answers among those with the most votes; 0 where nobody votes."""
    votes = Counter("correct" if row["value"] else row["extracted_hash"] for row in draw)
    votes.pop(None, None)
    first = [answer for answer, count in votes.items() if count == max(votes.values())]
    return ("correct" in first) / len(first) if first else 0.0


def test_majority_at_k_is_the_mean_over_every_draw():
    graded = made_up()
    found, _ = pass_at_k(graded)
    assert sorted(k for rule, k in found if rule == "majority") == [1, 2, 4, 8, 10]
    for (rule, k), row in found.items():
        if rule == "majority":
            shares = [
                statistics.fmean(majority(draw) for draw in itertools.combinations(rows, k))
                for rows in scored_by_item(graded).values()
                if len(rows) >= k
            ]
            assert row["value"] == pytest.approx(statistics.fmean(shares), abs=1e-11), k
            assert row["items"] == len(shares)


def test_many_samples_are_not_counted_draw_by_draw():
    """Of 64 samples there are 1.8e18 ways to draw half: the counts must stay exact, and quick."""
    rng = np.random.default_rng(3)
    graded = [graded_row(0, sample, float(sample < 4), extracted_hash=1 + sample % 20) for sample in range(64)]
    found, _ = pass_at_k(graded)
    draws = [majority([graded[i] for i in rng.permutation(64)[:32]]) for _ in range(4_000)]
    assert found["majority", 64]["value"] == pytest.approx(1)
    assert found["majority", 32]["value"] == pytest.approx(statistics.fmean(draws), abs=0.02)


def test_a_metric_that_reads_no_answer_has_no_majority():
    assert {rule for rule, _ in pass_at_k(made_up(), is_voted=False)[0]} == {"pass"}


def test_one_sample_gives_the_score_itself_with_its_interval():
    found, score = pass_at_k(made_up())
    for column in ("value", "low", "high"):
        assert found["pass", 1][column] == pytest.approx(score[column], abs=2e-4), column


def test_all_samples_give_an_interval_of_one_answer_an_item():
    """Where every item has n samples, pass@n is 0 or 1 for each: Wilson's interval for as many answers as items."""
    graded = [row for row in made_up() if row["value"] is not None]
    graded = [row for rows in scored_by_item(graded).values() if len(rows) == SAMPLES for row in rows]
    found, _ = pass_at_k(graded)
    best = [graded_row(item, 0, max(r["value"] for r in rows)) for item, rows in scored_by_item(graded).items()]
    tally = Tally()
    for row in best:
        tally.add(row)
    for column in ("value", "low", "high"):
        assert found["pass", SAMPLES][column] == pytest.approx(tally.rows()[0][column], abs=1e-7), column


def test_a_benchmark_whose_values_lie_between_has_no_pass_at_k():
    between = [graded_row(0, 0, 0.5, output_id=2)]
    assert pass_at_k(made_up(), between)[0] == {}


def test_a_scale_whose_values_are_all_at_its_lower_end_has_no_pass_at_k():
    assert pass_at_k([graded_row(item, 0, 1.0) for item in range(3)], unit="scale")[0] == {}


def test_the_built_table_agrees_with_the_graded_samples(finished):
    run = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
    with open_results(finished) as db:
        rows = rows_of(db, "FROM pass_at_k WHERE run = ? AND step = 20 AND benchmark = 'tiny-sums'", run)
        described = db.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE table_name IN ('pass_at_k', 'sample_groups') "
            "AND comment IS NULL"
        ).fetchall()
    assert described == []
    path = finished.require(Ref("scores/tiny-1m/tiny-sums", f"{run}|20")).file("graded.parquet")
    graded = [row for row in pq.read_table(path).to_pylist() if row["grader"] == "strict"]
    solved = Counter(max(r["value"] for r in rs) for rs in scored_by_item(graded).values() if len(rs) == 2)
    both = next(row for row in rows if row["rule"] == "pass" and row["k"] == 2)
    assert both["value"] == pytest.approx(solved[1.0] / solved.total())
