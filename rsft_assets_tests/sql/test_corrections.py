"""How verdicts are corrected: for having picked the steps (max-T), and for many arms and benchmarks (Holm)."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rsft_assets.steps.report import outcomes
from rsft_assets.steps.report.answer import Answer, Tables
from rsft_assets.steps.report.enough import long_enough
from rsft_assets.steps.results.publishing import open_results
from rsft_assets.steps.results.sql_files import macros, sql_folder
from rsft_assets_tests.benchmarks.step_intervals import largest
from rsft_assets_tests.sql.made_up_arms import ARMS, CLEAN, judged, or_none, rows_of, three

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


@pytest.mark.parametrize(
    ("mart", "column", "other"),
    [
        ("data_comparison", "arm_gain", "p.base_point_id"),
        ("data_comparison", "arm_difference", "reference_run"),
        ("schedule_comparison", "arm_difference", "reference_run"),
        ("safety_tradeoff", "arm_harm", "p.base_point_id"),
        ("safety_tradeoff", "harm_over_twin", "twin_run"),
    ],
)
def test_a_family_holds_each_arm_and_benchmark_once_whatever_its_seeds(finished, mart, column, other):
    safety = mart == "safety_tradeoff"
    benchmark = "safety_benchmark" if safety else "benchmark"
    apart = "m.is_headline" if safety else "m.is_headline, m.benchmark_group = 'safety'"
    ends = f"SELECT point_id FROM staging.score_points o WHERE o.run = m.{other} AND o.is_last AND o.grader = p.grader "
    ends += "AND o.source = p.source AND o.benchmark = p.benchmark AND o.metric = p.metric"
    with open_results(finished) as db:
        tests = db.execute(f"""
            SELECT (m.source, m.study, m.grader, {apart})::VARCHAR AS family,
                (p.arm, p.benchmark, p.metric, p.protocol)::VARCHAR AS test, a.arm_p, m.{column}_holm_p AS corrected
            FROM marts.{mart} m JOIN staging.score_points p
                ON p.source = m.source AND p.run = m.run AND p.is_last AND p.benchmark = m.{benchmark}
                AND p.grader = m.grader AND p.metric = m.metric
            JOIN staging.arm_differences a ON a.point_id = p.point_id AND a.grader = p.grader AND a.metric = p.metric
                AND a.other_point_id = {other if other.startswith("p.") else f"({ends})"}
            WHERE a.arm_p IS NOT NULL{" AND m.reading IS NOT NULL" if safety else ""}""").df()
    once = tests.drop_duplicates()
    assert len(once) > 0 and not once.duplicated(["family", "test"]).any()
    # The one arm with two seeds, and so with two rows, is the reference of the others and has no twin.
    assert (len(tests) > len(once)) == (column in ("arm_gain", "arm_harm"))
    for _, family in once.groupby("family"):
        assert np.allclose(family.corrected, textbook(family.arm_p.to_numpy()), rtol=1e-9)


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


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("course", [CLEAN, (0.3,) * 6])
def test_what_changes_every_item_by_as_much_has_no_interval(monkeypatch, course, seeds):
    """Rewards without any spread: nothing is known of noise, so nothing is beyond it."""
    monkeypatch.setitem(ARMS, "even", (course,) * seeds)
    db = judged("even", rewards=True)
    found = rows_of(
        db, "SELECT * FROM staging.differences JOIN staging.arm_differences USING (point_id, other_point_id)"
    )
    assert len(found) >= 5 * seeds
    for row in found:
        assert (row["method"], row["arm_method"]) == ("no interval", "no interval")
        assert np.isnan([row[name] for name in ("low", "high", "arm_low", "arm_high", "arm_p")]).all()
        assert not row["beyond_noise"] and not row["arm_beyond_noise"]
    answer = long_enough(Tables(db, "made-up"))
    if course is CLEAN:
        assert answer.missing[0] == "1 arm-benchmark pair cannot be judged for want of an interval."
    else:
        assert answer.short.startswith("Of 1 score curve, 0 dip and then recover; 0 end below")


@pytest.mark.parametrize(("best", "said"), [(0.7, True), (0.535, False)])
def test_a_gain_on_the_way_holds_although_its_step_was_chosen(monkeypatch, best, said):
    """Both gains leave 0 out of the interval of their own step, and both are lost again beyond noise."""
    monkeypatch.setitem(ARMS, "passing", three((0.5, best, 0.5, 0.4, 0.3, 0.2)))
    db = judged("passing", "rising", "noise")
    db.execute(
        "CREATE TABLE marts.score_trajectories AS "
        "SELECT p.* REPLACE ('ood-reasoning' AS benchmark_group), seeds, arm_difference AS arm_gain, "
        "arm_low AS arm_gain_low, arm_high AS arm_gain_high FROM staging.score_points p "
        "JOIN staging.arm_differences a USING (point_id, grader, metric) WHERE other_arm = 'base'"
    )
    [gain] = rows_of(
        db, "SELECT DISTINCT arm_gain_low FROM marts.score_trajectories WHERE arm = 'passing_d_s' AND step = 10"
    )
    assert gain["arm_gain_low"] > 0
    [fall] = rows_of(db, "SELECT * FROM marts.dip_and_recovery WHERE run = 'passing_d_s'")
    assert (fall["is_arm_erosion_confirmed"], fall["arm_erosion_step"]) == (True, 10)
    answer = Answer("generalised", "?")
    outcomes._on_the_way(Tables(db, "made-up"), answer)
    assert len(answer.sentences) == said
    assert all("passing_d_s on Sums stood +20.0 points" in sentence for sentence in answer.sentences)


def test_without_one_of_its_two_differences_no_over_fitting_is_tested(every):
    every.execute(
        "CREATE TABLE declared.runs AS SELECT DISTINCT study, run, model, dataset, schedule, arm, seed, 1e-3 AS lr, "
        "8 AS epochs, 'cosine' AS decay, 160 AS total_steps FROM staging.score_points;"
        "CREATE TABLE declared.benchmarks AS SELECT 'made-up' AS study, 'b' AS benchmark, 'Sums' AS title, "
        "'in-domain' AS benchmark_group, 1 AS position, 'accuracy' AS headline_metric;"
        "ALTER TABLE declared.metrics ADD COLUMN lower_is_better BOOLEAN"
    )
    mart = (sql_folder() / "marts" / "optimization_regimes.sql").read_text()
    query = f"SELECT over_fitted_holm_p, regime FROM ({mart}) WHERE source = 'ours' AND run = 'eroding_d_s'"
    [known] = rows_of(every, query)
    assert known["regime"] == "over-fitted" and known["over_fitted_holm_p"] < 0.001
    try:
        every.execute("BEGIN")
        every.execute(
            "UPDATE staging.differences SET se = NULL WHERE (other_point_id, point_id) IN "
            "(SELECT (best_id, end_id) FROM staging.best_steps WHERE run = 'eroding_d_s')"
        )
        [unknown] = rows_of(every, query)
    finally:
        every.execute("ROLLBACK")
    assert unknown["regime"] == "optimal" and np.isnan(unknown["over_fitted_holm_p"])


@pytest.mark.slow
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
