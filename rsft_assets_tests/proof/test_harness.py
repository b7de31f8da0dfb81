"""The harness itself: what it counts, how it goes on, what it prints; and a short slice of every attack."""

import json
import time

import pytest

from rsft_assets.steps.records.store import Store
from rsft_assets_tests.proof import __main__ as harness
from rsft_assets_tests.proof import chaos, corruption, damage, hostile, load, ray, selections, surroundings
from rsft_assets_tests.proof.cases import Bench, Case, Lost, NotTried, Seen, outcome_of
from rsft_assets_tests.steps.records.test_proof import QUERIES, publish


@pytest.fixture
def ran(monkeypatch):
    """Cases that ran, of an attack that survives three times, loses, and cannot be tried."""
    ran = []

    def ending(name, seen):
        ran.append(name)
        if isinstance(seen, Exception):
            raise seen
        return seen

    ends = {"a": Seen("fine", 3), "b": Lost("broken"), "c": NotTried("no means"), "d": ValueError("a fault")}
    made = [Case(name, lambda name=name, seen=seen: ending(name, seen)) for name, seen in ends.items()]
    monkeypatch.setattr(hostile, "cases", lambda bench: iter(made))
    return ran


def test_outcomes_are_counted_written_and_printed(ran, tmp_path, capsys):
    words = ["hostile", "--seed", "7", "--home", str(tmp_path), "--json", str(tmp_path / "found.json")]
    assert harness.main(words) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "hostile: 5 tried, 3 survived, 2 lost, 1 not tried here (seed 7)"
    assert "python -m rsft_assets_tests.proof hostile --seed 7 --case 'b'" in said and "ValueError: a fault" in said
    assert harness.main(["--table", str(tmp_path / "found.json")]) == 0
    assert f"| {hostile.PROMISE} | `hostile --seed 7` | 5 tried, 2 lost |" in capsys.readouterr().out
    assert harness.main(["--table", *2 * [str(tmp_path / "found.json")]]) == 0
    assert f"| {hostile.PROMISE} | `hostile --seed 7`, 7 | 10 tried, 4 lost |" in capsys.readouterr().out


def test_what_was_tried_is_not_tried_again_unless_it_is_named(ran, tmp_path):
    words = ["hostile", "--seed", "7", "--home", str(tmp_path)]
    assert [harness.main(words), harness.main(words)] == [1, 1]
    assert ran == ["a", "b", "c", "d"]
    assert harness.main([*words, "--case", "a"]) == 0
    assert ran[4:] == ["a"]
    harness.main([*words[:1], "--seed", "8", *words[3:]])
    assert len(ran) == 9


def test_a_case_that_does_not_end_is_lost():
    outcome = outcome_of("hostile", Case("sleeps", lambda: time.sleep(60), seconds=0.1))
    assert (outcome.state, outcome.seen) == ("lost", "not done after 0.1 s")


def test_numbers_are_those_of_the_seed_and_the_case(tmp_path):
    draws = {Bench(tmp_path, seed).random(name).random() for seed in (1, 2) for name in ("a", "b") for _ in range(2)}
    assert len(draws) == 4


@pytest.mark.parametrize("way", [*damage.OF_BYTES, *damage.OF_JSON, *damage.OF_OUTPUTS], ids=lambda way: way.__name__)
def test_every_damage_is_one(tmp_path, way):
    store = Store(tmp_path / "home")
    folder = publish(store, QUERIES).folder
    other = tmp_path / "other.parquet"
    other.write_bytes(b"other")
    way(folder / "queries.parquet", Bench(tmp_path, 3).random(way.__name__), other)
    assert store.sound(QUERIES) is None or store.require(QUERIES).damage(content=True)


def test_a_forged_output_proves_itself(tmp_path):
    store = Store(tmp_path / "home")
    output = publish(store, QUERIES)
    damage.forge(output.file("queries.parquet"), Bench(tmp_path, 1).random("forge"), tmp_path)
    assert store.require(QUERIES).verified().digest != output.digest


def test_every_attack_says_what_it_tests():
    modules = (chaos, corruption, hostile, load, ray, selections, surroundings)
    assert {module.__name__.rpartition(".")[2] for module in modules} == set(harness.ATTACKS)
    assert len({module.PROMISE for module in modules}) == len(harness.ATTACKS)


@pytest.mark.slow
def test_a_short_slice_with_a_new_seed(tmp_path):
    found = tmp_path / "found.json"
    seed = str(time.time_ns() % 10**9)
    print(f"python -m rsft_assets_tests.proof --short --seed {seed}")
    # The attack on a Ray cluster needs what this test does not: see test_ray.py.
    names = [name for name in harness.ATTACKS if name != "ray"]
    status = harness.main([*names, "--short", "--seed", seed, "--home", str(tmp_path / "work"), "--json", str(found)])
    record = json.loads(found.read_text())
    assert status == 0, [outcome for outcome in record["outcomes"] if outcome["state"] == "lost"]
    assert set(record["attacks"]) == set(names)
    assert all(one["tried"] > 0 for one in record["attacks"].values())
