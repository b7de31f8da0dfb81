"""What the marts say about a study whose curves are known."""

import math

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.results.publishing import open_results, read_results
from rsft_assets.steps.results.sql_files import macros, sql_folder, tables

COT = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
NOCOT = "tiny-1m_tiny-nocot_lr1e-3_ep4_bs16"


@pytest.fixture
def ask(finished):
    def one(query, *values):
        with open_results(finished) as db:
            cursor = db.execute(query, list(values))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return one


def test_every_table_is_built_and_every_test_passes(finished):
    results = read_results(finished)
    assert len(results.tables) >= 28
    assert {table.state for table in results.tables} == {"built"}
    assert {test.state for test in results.tests} == {"passed"}
    assert len(results.tests) >= 12


def test_each_declared_score_of_the_study_has_one_row_per_grader(ask, study):
    rows = ask("SELECT run, step, benchmark, grader FROM marts.benchmark_scores")
    wanted = {
        (run.name, step, benchmark.name, grader)
        for run in study.runs.values()
        if study.member_of[("runs", run.name)] == "tiny"
        for step in study.steps_of(run)
        for benchmark in study.benchmarks_of(run.model)
        for grader in ("strict", "authors")
    }
    assert len(rows) == len(wanted)
    assert {tuple(row.values()) for row in rows} == wanted


def test_a_score_names_what_it_stands_on(ask, finished):
    row = ask(
        "SELECT * FROM marts.benchmark_scores WHERE run = ? AND step = 20 AND benchmark = 'tiny-dot' "
        "AND grader = 'strict'",
        COT,
    )[0]
    output = finished.require(Ref("scores/tiny-1m/tiny-dot", f"{COT}|20"))
    used = {link.asset.split("/")[0]: link.digest for link in output.manifest.inputs}
    assert row["score_digest"] == output.digest
    assert row["checkpoint_digest"] == used["checkpoints"]
    assert row["benchmark_digest"] == used["benchmarks"]
    assert row["completions_digest"] == output.stats["completions"]["digest"]
    assert row["trace"] == str(output.manifest.ref)
    assert row["samples"] == 120
    assert 0 < row["truncation_rate"] < 0.2


def item_means(store, step, run=COT):
    table = pq.read_table(store.require(Ref("scores/tiny-1m/tiny-sums", f"{run}|{step}")).file("graded.parquet"))
    values = {}
    for row in table.to_pylist():
        if row["grader"] == "authors":
            values.setdefault(row["item_id"], []).append(row["value"])
    return {item: np.mean(found) for item, found in values.items()}


def test_differences_are_paired_by_item(ask, finished):
    row = ask(
        "SELECT * FROM marts.score_trajectories WHERE source = 'ours' AND run = ? AND step = 10 "
        "AND benchmark = 'tiny-sums' AND grader = 'authors'",
        COT,
    )[0]
    now, base = item_means(finished, 10), item_means(finished, 0)
    changes = np.array([now[item] - base[item] for item in now])
    assert row["difference"] == pytest.approx(changes.mean())
    # Agresti and Min's two pseudo-pairs, one up and one down, each less than a pair: there are two samples an item.
    n = len(changes) + 2
    centre = changes.sum() / n
    se = math.sqrt(((changes**2).sum() + 1 / math.sqrt(2)) / n - centre**2) / math.sqrt(n)
    half = stats.t.ppf(0.975, n - 1) * se
    assert row["difference_low"] == pytest.approx(centre - half, abs=1e-5)
    assert row["difference_high"] == pytest.approx(centre + half, abs=1e-5)
    assert row["method"] == "paired items"


def test_the_dip_is_found_where_it_was_put(ask):
    rows = ask(
        "SELECT run, shape, dip_step, recovery_step, is_dip_beyond_noise, seeds, arm_valley_step, arm_valley_seeds "
        "FROM marts.dip_and_recovery WHERE source = 'ours' AND benchmark = 'tiny-sums' AND grader = 'strict'"
    )
    by_run = {row.pop("run"): row for row in rows}
    assert by_run[COT] == {
        "shape": "dips and recovers",
        "dip_step": 10,
        "recovery_step": 20,
        "is_dip_beyond_noise": True,
        "seeds": 2,
        "arm_valley_step": 10,
        "arm_valley_seeds": 2,
    }
    assert by_run[NOCOT]["is_dip_beyond_noise"] is False
    assert by_run[NOCOT]["seeds"] == 1


def test_the_corrected_interval_is_wider_than_that_of_one_difference(ask):
    row = ask(
        "SELECT d.fall_high - d.fall_low AS corrected, 2 * x.t95 * x.se AS single, x.freedom, d.steps "
        "FROM marts.dip_and_recovery d JOIN staging.deepest_falls f USING (source, run, benchmark, grader, metric) "
        "JOIN staging.differences x ON x.point_id = f.dip_id AND x.other_point_id = f.peak_id "
        "AND x.grader = f.grader AND x.metric = f.metric "
        "WHERE run = ? AND benchmark = 'tiny-sums' AND grader = 'strict'",
        COT,
    )[0]
    assert row["steps"] == 5 and row["freedom"] > 40
    max_t = stats.studentized_range.isf(0.05, 5, row["freedom"]) / math.sqrt(2)
    assert row["corrected"] / row["single"] == pytest.approx(max_t / stats.t.isf(0.025, row["freedom"]), rel=0.02)


def test_a_score_has_one_interval_wherever_it_stands(ask):
    rows = ask(
        "SELECT t.low, t.high, t.arm_low, t.seeds, s.low AS own_low, s.high AS own_high "
        "FROM marts.score_trajectories t JOIN marts.benchmark_scores s USING (run, step, benchmark, grader, metric) "
        "WHERE t.source = 'ours'"
    )
    assert len(rows) == 150
    assert all((row["low"], row["high"]) == (row["own_low"], row["own_high"]) for row in rows)
    assert all(row["arm_low"] == row["low"] for row in rows if row["seeds"] == 1)


def test_length_growth_is_split_into_its_causes(ask):
    row = ask("SELECT * FROM marts.response_length WHERE run = ? AND step = 40 AND benchmark = 'tiny-sums'", COT)[0]
    parts = ("growth_real", "growth_loops", "growth_cut", "growth_no_end_token")
    assert row["growth"] == pytest.approx(sum(row[part] for part in parts))
    assert row["growth_loops"] > 0 and row["growth_real"] > row["growth_loops"]


def test_yield_counts_every_stage(ask, finished):
    rows = ask("SELECT stage, amount FROM marts.data_yield WHERE dataset = 'tiny-cot'")
    amounts = {row["stage"]: row["amount"] for row in rows}
    assert amounts["queries"] == 200
    assert amounts["responses"] == 800
    assert sum(amounts[f"responses {v}"] for v in ("correct", "wrong", "unparseable", "undecided")) == 800
    assert amounts["rows of the set"] == amounts["rows judged correct"] == 160


def test_thinking_costs_safety_and_the_table_says_how_much(ask):
    rows = ask("SELECT * FROM marts.safety_tradeoff WHERE source = 'ours' AND study = 'tiny' AND grader = 'strict'")
    of = {row["run"]: row for row in rows}
    assert of[COT]["is_harm_beyond_noise"] and of[COT]["harm_low"] > 0.2
    assert not of[NOCOT]["is_harm_beyond_noise"]
    assert of[COT]["reasoning_gain_low"] > of[NOCOT]["reasoning_gain_high"]


def test_regimes_of_a_run_that_rises_and_of_one_that_becomes_less_safe(ask):
    rows = ask(
        "SELECT run, benchmark, regime FROM marts.optimization_regimes "
        "WHERE source = 'ours' AND study = 'tiny' AND grader = 'strict'"
    )
    of = {(row["run"], row["benchmark"]): row["regime"] for row in rows}
    assert of[COT, "tiny-harm"] == "under-fitted"
    assert of[COT, "tiny-dot"] == "optimal"


# Base, then three trained steps; the standard error of a difference is 2 points.
COURSES = {
    "optimal": (0.3, 0.2, 0.45, 0.5),
    "over-fitted": (0.3, 0.2, 0.5, 0.4),
    "under-fitted": (0.5, 0.1, 0.2, 0.4),
    # As the paper's smallest model on GPQA: all steps 4.9 points below the base or nearer to it, within noise.
    "undecided: not told from the base": (0.3, 0.25, 0.27, 0.27),
    "undecided: too few steps": (0.3, 0.5, 0.6),
}


def regimes_of(courses, lower_is_better=False):
    """Run -> regime; every run is scored on one benchmark at as many steps as its course has."""
    keys = {"source": "ours", "benchmark": "b", "grader": "strict", "metric": "m", "protocol": "p"}
    best_steps, differences, runs = [], [], []
    for number, (run, course) in enumerate(courses.items()):
        values = [1 - value if lower_is_better else value for value in course]
        first, last = 100 * number, len(values) - 1
        best = max(range(1, len(values)), key=lambda step: course[step])
        best_steps.append(
            {**keys, "run": run, "trained_steps": last, "end_step": last, "end_id": first + last, "base_id": first}
            | {"best_step": best, "best_id": first + best}
        )
        differences += [
            {"point_id": first + a, "other_point_id": first + b, "grader": "strict", "metric": "m", "se": 0.02}
            | {"difference": values[a] - values[b], "centre": values[a] - values[b], "freedom": 300}
            for a, b in {(last, 0), (best, 0), (last, best)}
        ]
        runs.append(
            {"study": "s", "run": run, "model": "m", "dataset": "d", "schedule": "s", "arm": run, "seed": 1, "lr": 1e-3}
            | {"epochs": 1.0, "decay": "cosine", "total_steps": last}
        )
    tables = {
        "staging.best_steps": best_steps,
        "staging.differences": differences,
        "declared.metrics": [{"benchmark": "b", "metric": "m", "lower_is_better": lower_is_better}],
        "declared.runs": runs,
        "declared.benchmarks": [
            {"study": "s", "benchmark": "b", "title": "B", "benchmark_group": "general", "position": 1}
            | {"headline_metric": "m"}
        ],
    }
    with duckdb.connect() as db:
        db.execute(macros())
        for schema in ("staging", "declared", "seeds"):
            db.execute(f"CREATE SCHEMA {schema}")
        for name, content in tables.items():
            content = pa.Table.from_pylist(content)
            db.execute(f"CREATE TABLE {name} AS FROM content")
        max_t = sql_folder() / "seeds" / "max_t.csv"
        db.execute(f"CREATE TABLE seeds.max_t AS FROM read_csv('{max_t}', header = true, comment = '#')")
        db.execute(f"CREATE TABLE staging.step_widths AS {(sql_folder() / 'staging' / 'step_widths.sql').read_text()}")
        query = (sql_folder() / "marts" / "optimization_regimes.sql").read_text()
        return dict(db.execute(f"SELECT run, regime FROM ({query})").fetchall())


@pytest.mark.parametrize(("regime", "course"), [*COURSES.items(), ("over-fitted", (0.5, 0.2, 0.7, 0.3))])
@pytest.mark.parametrize("lower_is_better", [False, True])
def test_a_regime_is_told_by_levels_against_the_base(regime, course, lower_is_better):
    assert regimes_of({"r": course}, lower_is_better) == {"r": regime}


@pytest.mark.parametrize(
    ("regime", "course", "among_many"),
    [
        # By themselves 3.2 standard errors and more, of six pairs of steps.
        ("optimal", (0.3, 0.3, 0.3, 0.365), "undecided: not told from the base"),
        ("under-fitted", (0.365, 0.3, 0.3, 0.3), "undecided: not told from the base"),
        # The end stands clearly above the base; only the fall to it is not clear enough.
        ("over-fitted", (0.3, 0.3, 0.665, 0.6), "optimal"),
    ],
)
def test_a_regime_among_many_runs_must_be_clearer(regime, course, among_many):
    assert regimes_of({"r": course})["r"] == regime
    others = {f"flat{number}": (0.3, 0.3, 0.3, 0.3) for number in range(40)}
    found = regimes_of({"r": course, **others})
    assert found.pop("r") == among_many
    assert set(found.values()) == {"undecided: not told from the base"}


def test_schedules_are_compared_at_equal_steps(ask):
    rows = ask("SELECT * FROM marts.schedule_comparison WHERE source = 'ours' AND grader = 'strict'")
    few = "tiny-1m_tiny-few_lr1e-3_ep40_bs16"
    assert {row["total_steps"] for row in rows} == {40}
    # The second seed of one setting has no partner in the other, and is not compared with another seed's.
    assert {(row["run"], row["reference_run"]) for row in rows} == {(COT, few), (few, few), (f"{COT}_seed2", None)}
    assert {row["method"] for row in rows if row["reference_run"] is None} == {"reference not scored"}


def test_of_settings_that_read_as_much_the_one_that_the_study_uses_most_is_the_reference():
    [mart] = [table for table in tables() if table.table == "marts.schedule_comparison"]
    ranked = mart.text[mart.text.index("WITH") : mart.text.index("referred AS")].rstrip().removesuffix(",")
    db = duckdb.connect()
    db.execute("CREATE SCHEMA declared")
    db.execute("CREATE TABLE declared.datasets AS SELECT 'd' AS dataset, 'all' AS recipe, NULL AS based_on")
    rows = [("m", schedule, lr, 8) for schedule, lr in (("a-hasty", 1e-3), ("usual", 1e-4), ("z-slow", 1e-5))]
    rows += [("n", "usual", 1e-4, 8), ("m", "more", 1e-3, 16), ("k", "more", 1e-3, 16)]
    runs = pd.DataFrame(rows, columns=["model", "schedule", "lr", "epochs"])
    runs["arm"] = runs["model"] + "_" + runs["schedule"]
    same = {"study": "s", "dataset": "d", "seed": 1, "rows": 640, "precision": "fp32", "batch_size": 8}
    runs = runs.assign(**same, decay="cosine", run=runs["arm"], total_steps=runs["epochs"] * 80)
    db.execute("CREATE TABLE declared.runs AS FROM runs")
    found = dict(db.execute(f"{ranked} SELECT arm, reference FROM ranked").fetchall())
    assert found == {
        **dict.fromkeys(("m_a-hasty", "m_usual", "m_z-slow"), "m_usual"),
        **{"n_usual": "n_usual", "m_more": "m_more", "k_more": "k_more"},
    }


def test_lineage_edges_lead_from_a_score_to_its_queries(ask):
    rows = ask(
        """WITH RECURSIVE below AS (
               SELECT input_asset, input_folder FROM marts.lineage_edges
               WHERE asset = 'scores/tiny-1m/tiny-dot' AND partition = ?
               UNION
               SELECT e.input_asset, e.input_folder
               FROM marts.lineage_edges e
               JOIN below b ON e.folder = b.input_folder
           ) SELECT input_asset FROM below""",
        f"{COT}|10",
    )
    assert {row["input_asset"] for row in rows} >= {
        *("checkpoints/tiny-1m", "datasets/tiny-cot", "verdicts/tiny-sums_n4", "responses/tiny-sums_n4"),
        *("queries/tiny-sums", "benchmarks/tiny-dot", "completions/tiny-dot"),
    }
    assert "datasets/tiny-nocot" not in {row["input_asset"] for row in rows}, "another run's data"


@pytest.mark.slow
def test_every_table_has_one_row_for_each_of_its_grain(ask):
    found = ask("SELECT schema || '.' || name AS full_name, grain FROM build.tables")
    assert len(found) > 30
    for table in found:
        columns = ", ".join(f'"{column}"' for column in table["grain"].split(", "))
        twice = f"SELECT {columns} FROM {table['full_name']} GROUP BY ALL HAVING count(*) > 1"
        assert ask(twice) == [], table["full_name"]


def test_columns_know_where_they_come_from(finished):
    table = read_results(finished).table("marts.score_trajectories")
    assert table.columns["difference_low"] == "DOUBLE"
    assert ["staging.differences", "low"] in table.lineage["difference_low"]
    assert all(table.lineage[column] for column in ("value", "run", "trace"))
