"""Made-up arms with shares that are known, and the tables that judge them."""

import duckdb
import numpy as np
import pandas as pd

from rsft_assets.steps.results.sql_files import macros, tables

STEPS = (0, 10, 20, 40, 80, 160)
ITEMS = 400
CLEAN = (0.50, 0.20, 0.60, 0.70, 0.70, 0.80)
TABLES = (
    *("seeds.max_t", "seeds.student_t", "staging.step_widths", "staging.deepest_falls", "staging.best_steps"),
    *("staging.valleys", "staging.valley_pairs", "staging.comparisons", "staging.paired_differences"),
    *("staging.differences", "staging.arm_differences", "staging.valley_changes", "staging.arm_verdicts"),
    "marts.dip_and_recovery",
)


def shifted(rates, by):
    return tuple(None if rate is None else rate + by for rate in rates)


def three(rates):
    return rates, shifted(rates, 0.01), shifted(rates, -0.01)


# Arm -> the share solved at each step, of each training seed; None where there is no score.
ARMS = {
    "clean": three(CLEAN),
    "eroding": three((0.30, 0.50, 0.70, 0.60, 0.50, 0.40)),
    "both": three((0.50, 0.30, 0.60, 0.70, 0.40, 0.20)),
    "noise": three((0.50, 0.49, 0.50, 0.51, 0.50, 0.5075)),
    "rising": three((0.20, 0.30, 0.40, 0.50, 0.60, 0.70)),
    "partial": three((0.70, 0.20, 0.30, 0.40, 0.40, 0.40)),
    "disagreeing": ((0.50, 0.10, *CLEAN[2:]), (0.50, 0.52, *CLEAN[2:]), (0.50, 0.55, *CLEAN[2:])),
    "unevenly": ((0.50, 0.40, *CLEAN[2:]), (0.50, 0.30, *CLEAN[2:]), (0.50, 0.15, *CLEAN[2:])),
    "alone": (CLEAN,),
    "unlike": (CLEAN, CLEAN, (0.50, None, *CLEAN[2:])),
    "short": ((0.50, 0.20, 0.60, None, None, None), (0.50, None, 0.60, None, None, None)),
    "harm": three(CLEAN),
}


def judged(*names, rewards=False):
    """A database with the tables that judge these arms, from scores that have exactly the shares above.

    As rewards, every item has the same one, the mean.
    """
    unit = "reward" if rewards else "share"
    db = duckdb.connect()
    db.execute(macros())
    db.execute("CREATE SCHEMA declared; CREATE SCHEMA staging; CREATE SCHEMA marts; CREATE SCHEMA seeds")
    # What another benchmark calls by the same name is another metric.
    db.execute(
        f"CREATE TABLE declared.metrics AS FROM (VALUES ('b', 'accuracy', '{unit}'), ('other', 'accuracy', 'reward')) "
        "t(benchmark, metric, unit)"
    )
    points, items = [], []
    for name in names:
        base = len(points) + 1
        for seed, rates in enumerate(ARMS[name], 1):
            # Only the first run has scored the base; the others take it from there.
            trajectory = [(s, r) for s, r in zip(STEPS, rates, strict=True) if r is not None and (s or seed == 1)]
            for step, rate in trajectory:
                points.append(point(name, seed, step, rate, point_id=len(points) + 1, base_point_id=base))
                points[-1] |= {"is_last": step == trajectory[-1][0], "unit": unit}
                items.append(solved(points[-1]))
                if rewards:
                    items[-1]["value"] = rate
    for table, frame in (("score_points", pd.DataFrame(points)), ("item_scores", pd.concat(items))):
        db.register("made_up", frame)
        db.execute(f"CREATE TABLE staging.{table} AS FROM made_up")
    db.execute("CREATE SCHEMA records")
    db.execute("CREATE TABLE records.outputs AS SELECT point_id AS output_id, benchmark FROM staging.score_points")
    for entry in tables():
        if entry.table in TABLES:
            text = f"FROM read_csv('{entry.path}', comment = '#')" if entry.schema == "seeds" else entry.text
            db.execute(f"CREATE TABLE {entry.table} AS {text}")
    db.execute(
        "CREATE TABLE marts.optimization_regimes AS SELECT source, grader, is_headline, study, run, title, "
        "benchmark_group, trained_steps, 'optimal' AS regime FROM staging.score_points "
        "JOIN staging.best_steps USING (source, run, benchmark, grader, metric, protocol)"
    )
    return db


def point(name, seed, step, rate, **ids):
    worse = name == "harm"
    value = 1 - rate if worse else rate
    return {
        **{"source": "ours", "study": "made-up", "model": name, "dataset": "d", "schedule": "s", "arm": f"{name}_d_s"},
        **{"seed": seed, "run": f"{name}_d_s" + (f"_seed{seed}" if seed > 1 else ""), "step": step, "value": value},
        **{"benchmark": "b", "title": "Sums", "benchmark_group": "in-domain", "run_group": "in-domain", "position": 1},
        **{"protocol": "p", "grader": "strict", "metric": "accuracy", "is_headline": True, "unit": "share"},
        **{"lower_is_better": worse, "se": 0.02, "items": ITEMS, "trace": f"{name}[{seed}|{step}]"},
        **ids,
    }


def solved(row):
    """The items that are solved: the easiest mostly, so that steps and seeds share most of them."""
    hard = np.random.default_rng(7).random(ITEMS)
    luck = np.random.default_rng([row["seed"], row["step"], len(row["model"])]).random(ITEMS)
    order = np.argsort(0.8 * hard + 0.2 * luck)
    values = np.zeros(ITEMS)
    values[order[: round(row["value"] * ITEMS)]] = 1.0
    shared = {"output_id": row["point_id"], "grader": "strict", "metric": "accuracy", "weight": 1.0, "scored": 1}
    return pd.DataFrame({**shared, "samples": 1, "item_id": [f"i{i}" for i in range(ITEMS)], "value": values})


def rows_of(db, query):
    return db.execute(query).df().to_dict("records")


def or_none(value):
    return None if pd.isna(value) else int(value)
