"""How verdicts are corrected: for having picked the steps (max-T), and for many arms and benchmarks (Holm)."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rsft_assets.steps.report.answer import Tables
from rsft_assets.steps.report.enough import long_enough
from rsft_assets.steps.results.sql_files import macros, sql_folder
from rsft_assets_tests.benchmarks.step_intervals import largest
from rsft_assets_tests.sql.made_up_arms import ARMS, judged, or_none, rows_of

MAX_T = pd.read_csv(sql_folder() / "seeds" / "max_t.csv", comment="#")


@pytest.fixture(scope="module")
def every():
    return judged(*ARMS)


def arm_of(every, name):
    query = f"""
        SELECT a.* FROM staging.arm_differences a JOIN staging.valleys v
        ON v.valley_id = a.point_id AND v.peak_id = a.other_point_id WHERE v.arm = '{name}_d_s' LIMIT 1"""
    [arm] = rows_of(every, query)
    return arm


@pytest.mark.parametrize("name", ["clean", "unevenly", "disagreeing", "alone"])
def test_the_interval_is_that_of_the_arm_widened_for_all_pairs_of_steps(every, name):
    [row] = rows_of(every, f"SELECT * FROM marts.dip_and_recovery WHERE run = '{name}_d_s'")
    arm = arm_of(every, name)
    half = (row["arm_fall_high"] - row["arm_fall_low"]) / 2
    assert (row["arm_fall_high"] + row["arm_fall_low"]) / 2 == pytest.approx(arm["arm_centre"])
    below = max(tenths for tenths in MAX_T.tenths if tenths <= arm["arm_freedom"] * 10)
    assert half == pytest.approx(MAX_T.loc[(MAX_T.steps == 6) & (MAX_T.tenths == below), "t"].item() * arm["arm_se"])
    if arm["arm_freedom"] > 30:
        assert half < 0.985 * stats.t.isf(0.025 / 15, arm["arm_freedom"]) * arm["arm_se"], "narrower than Bonferroni's"


@pytest.mark.parametrize("name", ["clean", "unevenly", "disagreeing", "alone", "noise"])
def test_the_p_value_is_students_over_all_pairs_of_steps(every, name):
    arm = arm_of(every, name)
    [found] = rows_of(every, f"SELECT p FROM staging.valley_changes WHERE run = '{name}_d_s' AND part = 'fall'")
    exact = 15 * 2 * stats.t.sf(abs(arm["arm_centre"]) / arm["arm_se"], np.floor(arm["arm_freedom"]))
    assert found["p"] == pytest.approx(min(exact, 1), rel=1e-6, abs=1e-12)


def textbook(p):
    """Holm's corrected p values, in the textbook's steps."""
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate((len(p) - np.arange(len(p))) * np.sort(p)), 1)
    return corrected


@pytest.mark.parametrize("ties", [False, True])
def test_the_macro_corrects_as_the_textbook_does(ties):
    rng = np.random.default_rng(11)
    p = rng.choice([0.001, 0.004, 0.02, 0.3], 60) if ties else rng.random(60) ** 4
    tests = pd.DataFrame({"id": range(60), "p": p})
    # Every test stands there twice, as an arm does that has two seeds; without a p value there is no test.
    more = pd.DataFrame({"id": [60], "p": [np.nan]})
    with duckdb.connect() as db:
        db.execute(macros())
        rows = pd.concat([tests, tests, more])
        db.register("rows", rows)
        found = db.execute(
            "SELECT DISTINCT id, holm(p::DOUBLE, list(DISTINCT {p: p::DOUBLE, id: id}) OVER ()) AS corrected FROM rows "
            "ORDER BY id"
        ).df()
    assert list(found.id) == list(range(61)) and np.isnan(found.corrected[60])
    assert np.allclose(found.corrected[:60], textbook(p), rtol=1e-12)
    assert (textbook(p) <= 0.05).sum() < (p <= 0.05).sum()


@pytest.mark.parametrize("freedom", [1, 2, 5, 6.7, 47, 300.2, 5_000, np.inf])
@pytest.mark.parametrize("t", [0, -0.7, 2.1, 6])
def test_the_macro_gives_students_p_value(t, freedom):
    with duckdb.connect() as db:
        db.execute(macros())
        [(p, without)] = db.execute("SELECT student_p(?, ?), student_p(NULL::DOUBLE, 5)", [t, freedom]).fetchall()
    assert p == pytest.approx(2 * stats.t.sf(abs(t), min(np.floor(freedom), 1_000)), rel=1e-6, abs=1e-12)
    assert without is None


def test_holms_correction_runs_once_over_all_arms(every):
    """The runs of an arm are one question, unscored trajectories none."""
    columns = "arms_asked, arm_valley_p, arm_valley_holm_p, arm_erosion_p, arm_erosion_holm_p"
    query = f"SELECT DISTINCT model, {columns} FROM marts.dip_and_recovery WHERE arm_steps >= 3"
    found = pd.DataFrame(rows_of(every, query))
    assert set(found.arms_asked) == {len(found)} == {len(ARMS) - 1}, "all but the one with two steps"
    for which in ("valley", "erosion"):
        assert np.allclose(found[f"arm_{which}_holm_p"], textbook(found[f"arm_{which}_p"]))
    short = "SELECT arm_valley_holm_p FROM marts.dip_and_recovery WHERE model = 'short'"
    assert {or_none(row["arm_valley_holm_p"]) for row in rows_of(every, short)} == {None}


# A fall of 5.5 points: beyond noise in one arm, one in some hundreds by chance.
FAINT = (0.5, 0.445, 0.6, 0.7, 0.7, 0.8)


@pytest.mark.parametrize(("others", "confirmed"), [(0, True), (40, False)])
def test_what_one_arm_shows_must_be_clearer_among_many(monkeypatch, others, confirmed):
    for number in range(others):
        monkeypatch.setitem(ARMS, f"rising{number}", (ARMS["rising"][0],))
    monkeypatch.setitem(ARMS, "faint", (FAINT,))
    names = ["faint", *(name for name in ARMS if name.startswith("rising") and name != "rising")]
    db = judged(*names)
    [row] = rows_of(db, "SELECT * FROM marts.dip_and_recovery WHERE model = 'faint'")
    assert row["arm_fall_high"] < 0 < row["arm_rise_low"]
    assert row["is_arm_valley_beyond_noise"]
    assert row["is_arm_valley_confirmed"] == confirmed
    answer = long_enough(Tables(db, "made-up"))
    assert (f"{1 if confirmed else 0} dip" in answer.short) and (
        "alone the two numbers would be 1 " in answer.sentences[0]
    )
    faint = [sentence for sentence in answer.sentences if sentence.startswith("Not confirmed: faint_d_s on Sums: from")]
    assert len(faint) == (0 if confirmed else 1)
    if faint:
        assert f"beyond noise by itself, but not as one of {others + 1} (p = " in faint[0]


def test_the_critical_values_are_between_tukeys_and_bonferronis():
    pairs = MAX_T.steps * (MAX_T.steps - 1) / 2
    bonferroni = stats.t.isf(0.025 / pairs, MAX_T.tenths / 10)
    assert (MAX_T.t < bonferroni + 1e-4).all()
    # Tukey's range has one standard error for all pairs: its values are too small where that is estimated.
    tukey = np.array([stats.studentized_range.isf(0.05, steps, np.inf) / np.sqrt(2) for steps in MAX_T.steps])
    assert (MAX_T.t > 0.999 * tukey).all()
    most = (MAX_T.tenths == MAX_T.tenths.max()) & (MAX_T.steps <= 40)
    assert np.allclose(MAX_T.t[most], tukey[most], rtol=1e-3)
    few = MAX_T.tenths < 40
    assert np.allclose(MAX_T.t[few], bonferroni[few], atol=1e-4)


def test_widths_grow_with_steps_and_shrink_with_degrees_of_freedom(every):
    grid = MAX_T.pivot(index="steps", columns="tenths", values="t")
    assert (grid.diff().iloc[1:] > 0).all(axis=None) and (grid.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)
    widths = pd.DataFrame(rows_of(every, "SELECT * FROM staging.step_widths ORDER BY steps, freedom"))
    assert set(widths.steps) == set(range(2, 101)), "of every number of steps up to a hundred"
    for _, of in widths.groupby("steps"):
        assert list(of.freedom) == [tenths / 10 for tenths in grid.columns]
        assert list(of.next_freedom) == [*of.freedom[1:], np.inf]
    # Between two rows the wider one.
    assert list(widths[widths.steps == 17].t) == list(grid.loc[18])


@pytest.mark.parametrize(("steps", "freedom"), [(4, 6), (9, 4), (9, 20), (9, 300)])
def test_one_in_twenty_trajectories_without_a_change_is_beyond_noise(steps, freedom):
    found = largest(np.random.default_rng(5), steps, freedom, 8_000, np.eye(steps))
    t = MAX_T.loc[(MAX_T.steps == steps) & (MAX_T.tenths == 10 * freedom), "t"].item()
    assert (found > t).mean() == pytest.approx(0.05, abs=0.01)
