"""The pool's limit is the number of slots of a cluster, unless a person has set another."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rsft_assets.defs import launchers
from rsft_assets.defs.pool import follow_slots
from rsft_assets.runs.instance import open_instance
from rsft_assets.specs.placement import load_placement
from rsft_assets.steps.processes.hardware import Capabilities
from rsft_assets.steps.records.store import Store


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """How many slots a stand-in for the launcher of a cluster says it has."""
    offers = SimpleNamespace(slots=4)
    answer = SimpleNamespace(capabilities=lambda home: Capabilities(cores=8, memory=64 << 30, slots=offers.slots))
    monkeypatch.setitem(launchers.LAUNCHERS, "ray", lambda _: answer)
    monkeypatch.setenv("RSFT_PLACEMENT", str(tmp_path / "placement.toml"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    place(tmp_path, '[default]\nlauncher = "ray"\n')
    return offers


def place(folder, text):
    (folder / "placement.toml").write_text(text)


def limit_after(home, **set_by_hand):
    """The limit once it has followed the slots, and perhaps a person has set one before."""
    with open_instance(Store(home)) as instance:
        for name, limit in set_by_hand.items():
            instance.event_log_storage.set_concurrency_slots(name, limit)
        follow_slots(instance, load_placement(), home)
        limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
        return limits.get("gpu", instance.global_op_concurrency_default_limit)


def test_the_limit_follows_the_slots_up_and_down(tmp_path, cluster):
    assert limit_after(tmp_path) == 4
    cluster.slots = 8
    assert limit_after(tmp_path) == 8
    cluster.slots = 2
    assert limit_after(tmp_path) == 2
    place(tmp_path, "[default]\n")
    assert limit_after(tmp_path) == 1


def test_a_limit_that_a_person_has_set_stays(tmp_path, cluster):
    assert limit_after(tmp_path) == 4
    assert limit_after(tmp_path, gpu=3) == 3
    cluster.slots = 8
    assert limit_after(tmp_path) == 3


def test_a_model_that_stays_on_this_machine_keeps_the_limit_low(tmp_path, cluster):
    place(tmp_path, '[default]\nlauncher = "ray"\n[models."qwen3-1.7b"]\nlauncher = "local"\n')
    assert limit_after(tmp_path) == 1


@pytest.mark.parametrize(("default", "expected"), [(6, 6), (0, 0)])
def test_a_larger_default_and_one_of_zero_stay(tmp_path, cluster, default, expected):
    with open_instance(Store(tmp_path)) as instance:
        settings = Path(instance.root_directory, "dagster.yaml")
    settings.write_text(f"concurrency: {{pools: {{default_limit: {default}}}}}")
    assert limit_after(tmp_path) == expected
