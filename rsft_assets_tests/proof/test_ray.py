"""Two seeded kills on a Ray cluster; thirty are `python -m rsft_assets_tests.proof ray`."""

import json
import time

import pytest

from rsft_assets_tests.proof import __main__ as harness
from rsft_assets_tests.proof import ray
from rsft_assets_tests.proof.cases import Bench

MISSING = ray.missing()


def test_each_victim_and_each_stage_comes_before_any_comes_again(tmp_path):
    rounds = [ray.planned(Bench(tmp_path, 5), first, first + 3) for first in range(0, 36, 3)]
    kills = [kill for planned in rounds for kill in planned]
    assert all(sum(victim == wanted for victim, _ in kills) == 4 for wanted in ray.VICTIMS)
    assert all(sum(stage == wanted for _, stage in kills) == 9 for wanted in ray.STAGES)
    assert rounds[1] == ray.planned(Bench(tmp_path, 5), 3, 6), "of the seed alone"


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_two_kills_on_ray_lose_nothing(tmp_path):
    seed, found = str(time.time_ns() % 10**9), tmp_path / "found.json"
    print(f"python -m rsft_assets_tests.proof ray --short --seed {seed}")
    words = ["ray", "--short", "--seed", seed, "--home", str(tmp_path / "work"), "--json", str(found)]
    assert harness.main(words) == 0, found.read_text()
    about = json.loads(found.read_text())["attacks"]["ray"]
    assert about == {"promise": ray.PROMISE, "tried": 2, "survived": 2, "lost": 0, "not tried": 0}
