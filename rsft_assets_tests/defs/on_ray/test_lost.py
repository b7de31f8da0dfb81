"""A head that is lost, and a host that is lost or away for a while: what is said, and what becomes of the pieces."""

import sys
import time

from rsft_assets_tests.defs.on_ray.clusters import (
    NEEDS_RAY,
    RUN,
    new_rig,
    runs,
    said_until,
    settings,
    steps_at_work,
    wait_until,
)
from rsft_assets_tests.ray_rig import ADDRESS

pytestmark = NEEDS_RAY


def test_a_lost_head_is_named_at_once_and_a_new_one_is_gone_on_with(tmp_path_factory):
    with new_rig(tmp_path_factory.mktemp("rig")) as rig:
        node = rig.add("one", cores=1)
        command = rig.start([sys.executable, "-c", RUN], **settings(rig, "home"))
        said_until(command, "started")
        [step] = steps_at_work(rig)
        rig.kill(rig.hosts["head"])
        # Ray itself would end the driver after a minute, without these words.
        said = command.communicate(timeout=240)[0]
        assert f"the head of the Ray cluster at {ADDRESS} is lost (Connection refused)" in said
        assert not runs(step) and len(list((rig.folder / "home").glob("saved *"))) == 1
        rig.kill(node)
        rig.add("head", cores=0)
        rig.add("one", cores=1)
        (rig.folder / "home" / "go on").touch()
        status, said = rig.run([sys.executable, "-c", RUN], **settings(rig, "home"))
        assert status == 0 and "started" in said


def test_what_was_on_a_host_that_is_away_is_made_once(tmp_path_factory):
    with new_rig(tmp_path_factory.mktemp("rig")) as rig:
        for name in ("one", "two", "three"):
            rig.add(name, cores=1)
        command = rig.start([sys.executable, "-c", RUN], **settings(rig, "home"))

        for _ in range(2):
            said_until(command, "started")
        away = next(host for host in rig.hosts.values() if host.processes("-m sleeping_step"))
        for process in (frozen := away.processes()):
            process.suspend()
        assert f"is lost with {away.name}" in said_until(command, "go on elsewhere")
        assert f"on {away.name} (" in said_until(command, "is locked by"), "it may come back"
        for process in frozen:
            process.resume()
        # Ray ends itself where the head takes it for dead; it has to be started there again.
        said_until(command, "started")
        assert wait_until(lambda: not any(map(runs, frozen)))
        (rig.folder / "home" / "go on").touch()
        command.communicate(timeout=240)
        assert command.returncode == 0
        done = (rig.folder / "home" / "done").read_text().split("\n")[:-1]
        assert len(done) == len(set(done)) == 2


def test_another_reason_for_waiting_is_said_at_once(tmp_path_factory):
    from rsft_assets.defs.on_ray import driver

    with new_rig(tmp_path_factory.mktemp("rig")) as rig:
        node = rig.add("one", cores=1)
        first = rig.start([sys.executable, "-c", RUN], **settings(rig, "home"))
        said_until(first, "started")
        second = rig.start([sys.executable, "-c", RUN], **settings(rig, "other"))
        said_until(second, "wait for 1 core: all such nodes are in use")
        said_at = time.monotonic()
        rig.kill(node)
        said_until(second, "none of the 0 nodes has that; start one with `ray start --address=")
        # Long before the note would be repeated anyway.
        assert time.monotonic() - said_at < 0.8 * driver._SAY_WAITING_AGAIN_SECONDS
