"""Does an arm dip and recover, does it end below where it was? Made-up trajectories, and what is said of each."""

from itertools import combinations

import numpy as np
import pytest

from rsft_assets.steps.report.answer import Tables
from rsft_assets.steps.report.enough import long_enough
from rsft_assets_tests.sql.made_up_arms import ARMS, CLEAN, STEPS, judged, or_none, rows_of

# Steps of peak, valley and top, beyond noise, seeds with both; step before the erosion, beyond noise, its seeds.
EXPECTED = {
    "clean": ((0, 10, 160), True, 3, None, False, 0),
    "eroding": ((None, None, None), False, 0, 20, True, 3),
    "both": ((0, 10, 40), True, 3, 40, True, 3),
    "noise": ((0, 10, 40), False, 2, 40, False, 3),
    "rising": ((None, None, None), False, 0, None, False, 0),
    "partial": ((0, 10, 40), True, 3, 0, True, 3),
    "disagreeing": ((0, 10, 160), False, 1, None, False, 0),
    "unevenly": ((0, 10, 160), False, 3, None, False, 0),
    "alone": ((0, 10, 160), True, 1, None, False, 0),
    "unlike": ((None, None, None), False, 0, None, False, 0),
    "short": ((None, None, None), False, 0, None, False, 0),
    "harm": ((0, 10, 160), True, 3, None, False, 0),
}


@pytest.fixture(scope="module")
def every():
    return judged(*ARMS)


@pytest.fixture(scope="module")
def rows(every):
    found = {}
    for row in rows_of(every, "SELECT * FROM marts.dip_and_recovery ORDER BY model, seed"):
        found.setdefault(row["model"], []).append(row)
    return found


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_told_by_its_mean_and_its_seeds(rows, name):
    assert len(rows[name]) == len(ARMS[name])
    for row in rows[name]:
        steps = tuple(or_none(row[f"arm_{where}_step"]) for where in ("peak", "valley", "top"))
        told = steps, row["is_arm_valley_beyond_noise"], row["arm_valley_seeds"]
        lost = or_none(row["arm_erosion_step"]), row["is_arm_erosion_beyond_noise"], row["arm_erosion_seeds"]
        assert (*told, *lost) == EXPECTED[name]
        assert row["seeds"] == len(ARMS[name])
        assert not row["is_arm_undecided"]


def test_only_steps_that_every_seed_has_are_looked_at(rows):
    assert {row["arm_steps"] for row in rows["clean"]} == {6}
    assert {row["arm_steps"] for row in rows["unlike"]} == {5}
    assert {row["arm_steps"] for row in rows["short"]} == {2}
    # By itself each of the first two runs dips.
    assert [row["is_dip_beyond_noise"] for row in rows["unlike"]] == [True, False, False]


def test_a_recovery_in_part_is_not_said_to_regain_the_peak(rows):
    assert {name: rows[name][0]["arm_regains"] for name in ("clean", "both", "partial", "harm")} == {
        **{"clean": True, "both": True, "partial": False, "harm": True}
    }


def test_better_and_worse_follow_the_metric(rows):
    harm, clean = rows["harm"][0], rows["clean"][0]
    assert harm["arm_fall"] == pytest.approx(clean["arm_fall"], abs=0.01)
    assert harm["arm_fall_low"] < harm["arm_fall"] < harm["arm_fall_high"] < 0
    assert 0 < harm["arm_rise_low"] < harm["arm_rise"] < harm["arm_rise_high"]


def test_seeds_that_differ_leave_few_degrees_of_freedom(every):
    few = "SELECT count(*) AS n FROM staging.arm_differences WHERE seeds = 3 AND arm_freedom < 4"
    assert rows_of(every, few)[0]["n"] > 0


def test_each_pair_is_pooled_once(every):
    key = "point_id, other_point_id, grader, metric"
    assert rows_of(every, f"SELECT {key} FROM staging.arm_differences GROUP BY ALL HAVING count(*) > 1") == []
    wrong = """
        SELECT * FROM staging.valley_changes c JOIN staging.valleys v USING (source, run, benchmark, grader, metric)
        JOIN staging.arm_differences a ON a.point_id = v.valley_id AND a.other_point_id = v.peak_id
        WHERE a.seeds <> v.seeds"""
    assert rows_of(every, wrong) == []


def said(*names):
    answer = long_enough(Tables(judged(*names), "made-up"))
    return answer.sentences, answer.missing


def test_the_answer_counts_arms_and_tells_each_dip():
    sentences, missing = said("clean", "both", "eroding", "noise", "unevenly", "alone", "partial", "harm", "short")
    assert sentences[0].startswith(
        "Of 8 arm-benchmark pairs, 5 dip and rise again beyond noise (in every seed in 4 of 4 with several training "
        "seeds), 3 end beyond noise below an earlier step (2 do both) and 2 do neither. "
    )
    assert "max-T's for having picked the steps" in sentences[0] and "Holm's for the number" in sentences[0]
    assert "at the top, 4 of 5 are at least as good as at the peak, on the mean" in sentences[1]
    assert sentences[2].startswith("In domain: of 8 arm-benchmark pairs, 5 dip and rise again")
    told = [sentence for sentence in sentences if " on Sums: from step " in sentence]
    assert len(told) == 5
    assert told[0].startswith(("clean_d_s", "harm_d_s", "alone_d_s"))
    [clean] = [sentence for sentence in told if sentence.startswith("clean")]
    assert clean.startswith("clean_d_s on Sums: from step 0 to step 10 -30.0 points (95 % interval -")
    assert ", from there to step 160 +60.0 points (95 % interval +" in clean
    assert clean.endswith(", in 3 of 3 seeds.")
    assert next(sentence for sentence in told if sentence.startswith("alone")).endswith(", with one training seed.")
    [over] = [sentence for sentence in sentences if sentence.startswith("At the end beyond noise below")]
    assert "eroding_d_s on 1 of 1 benchmark (in every seed on 1)" in over and "both_d_s" in over
    assert "partial_d_s" not in over, "its best step was the base"
    assert missing[0].startswith("1 arm-benchmark pair cannot be judged, with fewer than three steps")
    assert missing[1].startswith("1 arm here has one training seed only")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("clean",), "Of 1 arm-benchmark pair, 1 dips and rises again beyond noise (in every seed in 1 of 1 with "),
        (("eroding",), "Of 1 arm-benchmark pair, 0 dip and rise again beyond noise, 1 ends beyond noise below an "),
        (("noise", "rising"), "Of 2 arm-benchmark pairs, 0 dip and rise again beyond noise, 0 end beyond noise below "),
        (("both",), "below an earlier step (1 does both) and 0 do neither."),
        (("disagreeing",), "0 end beyond noise below an earlier step and 1 does neither."),
    ],
)
def test_one_and_many_are_told_apart(names, words):
    assert words in said(*names)[0][0]


def test_where_nothing_can_be_judged_nothing_is_claimed():
    sentences, missing = said("short")
    assert sentences == []
    assert missing == [
        "No arm has three steps yet that are scored in all of its seeds, so no trajectory can be judged."
    ]


def test_beyond_six_dips_the_rest_are_counted(monkeypatch):
    names = [f"clean{number}" for number in range(8)]
    for name in names:
        monkeypatch.setitem(ARMS, name, (CLEAN,))
    sentences, _ = said(*names)
    assert sum(" on Sums: from step " in sentence for sentence in sentences) == 6
    assert "2 more dip and rise again beyond noise." in sentences


def test_two_windows_find_what_a_search_of_every_triple_finds(monkeypatch):
    rng = np.random.default_rng(3)
    # Tenths, so that there are many ties.
    made_up = {f"random{number}": (tuple(rng.integers(1, 7, len(STEPS)) / 10),) for number in range(40)}
    for name, seeds in made_up.items():
        monkeypatch.setitem(ARMS, name, seeds)
    found = {row["arm"]: row for row in rows_of(judged(*made_up), "SELECT * FROM staging.valleys")}
    for name, (rates,) in made_up.items():
        triples = combinations(range(len(STEPS)), 3)
        lesser = {(v, p, t): round(min(rates[p] - rates[v], rates[t] - rates[v]), 10) for p, v, t in triples}
        depth, row = max(lesser.values()), found[f"{name}_d_s"]
        if depth <= 0:
            assert or_none(row["valley_step"]) is None
            continue
        valley = min(triple for triple, low in lesser.items() if low == depth)[0]
        before, after = rates[:valley], rates[valley + 1 :]
        best = before.index(max(before)), valley, valley + 1 + after.index(max(after))
        assert tuple(row[f"{where}_step"] for where in ("peak", "valley", "top")) == tuple(STEPS[i] for i in best)
        assert lesser[valley, best[0], best[2]] == depth
    assert 0 < sum(or_none(row["valley_step"]) is None for row in found.values()) < len(made_up)
