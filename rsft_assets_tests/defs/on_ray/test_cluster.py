"""Steps on a Ray cluster of several hosts: the same outputs as here, whatever is killed, and no process left."""

import shutil
import signal
import sys
import time

import psutil
import pytest

from rsft_assets.steps.records.store import Store
from rsft_assets_tests.defs.on_ray.clusters import (
    NEEDS_RAY,
    RSFT,
    RUN,
    new_rig,
    runs,
    settings,
    steps_at_work,
    wait_until,
)
from rsft_assets_tests.ray_rig import ADDRESS

pytestmark = NEEDS_RAY


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with new_rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.add("one", cores=1)
        rig.add("two", cores=1)
        yield rig


def digests(rig, home):
    return {str(output.manifest.ref): output.digest for output in Store(rig.folder / home).outputs()}


@pytest.fixture(scope="module")
def made_here(rig):
    """The digests of a local run."""
    words = [*RSFT, "materialize", "verdicts/few_n4", "--upstream"]
    status, said = rig.run(words, **settings(rig, "here") | {"RSFT_PLACEMENT": ""})
    assert status == 0, said
    return digests(rig, "here")


def test_pieces_on_two_hosts_make_what_is_made_here(rig, made_here):
    status, said = rig.run([*RSFT, "materialize", "verdicts/few_n4", "--upstream"], **settings(rig, "there"))
    assert status == 0, said
    assert digests(rig, "there") == made_here and len(made_here) == 9
    hosts = {}
    for output in Store(rig.folder / "there").outputs():
        hosts.setdefault(output.manifest.ref.asset, set()).add(output.manifest.made_by["host"])
    assert hosts["responses/few_n4"] == hosts["verdicts/few_n4"] == {"one", "two"}
    assert "one: verdicts/few_n4[" in said and "two: verdicts/few_n4[" in said
    assert len(list(rig.folder.glob("there/logs/*verdicts_few_n4-?of2*.log"))) == 2
    assert not list(rig.folder.glob("there/.ray-*"))


@pytest.mark.parametrize("ends", ["its command is killed", "the driver is killed", "Ctrl-C"])
def test_every_step_is_asked_to_save_when(ends, rig):
    home = ends.replace(" ", "-")
    command = rig.start([sys.executable, "-c", RUN], **settings(rig, home))
    assert [command.stdout.readline() for _ in range(2)] == ["started \n"] * 2
    steps = steps_at_work(rig)
    assert len(steps) == 2
    [driver] = [
        one for one in psutil.Process(command.pid).children(recursive=True) if "on_ray.driver" in str(one.cmdline())
    ]
    if ends == "Ctrl-C":
        psutil.Process(command.pid).send_signal(signal.SIGINT)
    else:
        (driver if "driver" in ends else command).kill()
    command.communicate(timeout=60)
    assert wait_until(lambda: not any(map(runs, [*steps, driver]))), "no process is left"
    assert len(list((rig.folder / home).glob("saved *"))) == 2


def test_what_was_on_a_lost_host_goes_on_elsewhere(rig, made_here):
    command = rig.start([*RSFT, "materialize", "verdicts/few_n4", "--upstream"], **settings(rig, "lost"))
    two = rig.hosts["two"]
    assert wait_until(lambda: two.processes("rsft_assets.steps.verdicts.verify"), seconds=240)
    rig.kill(two)
    said = command.communicate(timeout=240)[0]
    assert command.returncode == 0, said
    assert "is lost with two (" in said and "Task failed" not in said and "go on elsewhere" in said
    assert digests(rig, "lost") == made_here


def test_nodes_that_cannot_run_steps_are_named_with_the_remedy(rig, tmp_path):
    shadow = tmp_path / "rsft_assets"
    shadow.mkdir()
    (shadow / "__init__.py").write_text("raise ImportError")
    old = tmp_path / "old"
    (old / "rsft_assets").mkdir(parents=True)
    (old / "rsft_assets" / "__init__.py").touch()
    hidden = settings(rig, "hidden")
    (rig.folder / "files").mkdir()
    shutil.copy(hidden["RSFT_STUDY"], rig.folder / "files" / "study.toml")
    hidden["RSFT_STUDY"] = str(rig.folder / "files" / "study.toml")
    rig.add("bare", cores=1, PYTHONPATH=str(tmp_path))
    rig.add("old", cores=1, PYTHONPATH=str(old))
    mounts = " && ".join(f"mount -t tmpfs none {rig.folder / name}" for name in ("hidden", "files"))
    rig.add("apart", cores=1, setup=mounts)
    started = time.monotonic()
    status, said = rig.run([*RSFT, "materialize", "responses/few_n4", "--upstream"], **hidden)
    assert status == 1 and "Traceback" not in said
    for words in (
        "node bare (127.0.0.",
        "it cannot import rsft_assets; install there",
        "its rsft_assets is of other code",
        f"it does not see {hidden['RSFT_HOME']}",
        "must be one folder of a shared POSIX file system",
        f"RSFT_STUDY={hidden['RSFT_STUDY']} does not exist there",
    ):
        assert words in said
    assert not digests(rig, "hidden"), "named before anything starts"
    assert time.monotonic() - started < 120


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('ray_address = "127.0.0.1:6399"', "no Ray cluster answers at 127.0.0.1:6399 (Connection refused)"),
        ('ray_address = "127.0..1:6379"', "field ray_address: '127.0..1:6379' must be host:port"),
        ("ray_cpus = 999", "a piece needs 999 cores on one node, and the cluster has "),
        ('device = "cuda"\nengines = 3', "a piece needs 1 core and "),
    ],
)
def test_a_placement_that_the_cluster_cannot_serve_is_named_before_any_work(rig, line, words):
    for name in ("bare", "old", "apart"):
        if name in rig.hosts:
            rig.kill(rig.hosts[name])
    chosen = rig.folder / "chosen.toml"
    chosen.write_text(f'[default]\nlauncher = "ray"\n{line}\n')
    asked = [*RSFT, "materialize", "scores/nano-300k/nano-dot", "--step", "80", "--upstream"]
    status, said = rig.run(asked, **settings(rig, "chosen", RSFT_PLACEMENT=str(chosen)))
    assert status in (1, 2) and words in said and "Traceback" not in said
    assert not digests(rig, "chosen")


@pytest.mark.parametrize(
    ("address", "found", "words"),
    [
        ("ray://127.0.0.1:10001", "", "uses RAY_ADDRESS, and 'ray://127.0.0.1:10001' is not host:port of a head"),
        ("local", "", "uses RAY_ADDRESS, and 'local' is not host:port of a head; correct it, or unset"),
        ("127.0.0.1:6399", "", 'no Ray cluster answers at 127.0.0.1:6399, which `ray_address = "auto"` stands for'),
        ("", "127.0.0.1:6398", 'no Ray cluster answers at 127.0.0.1:6398, which `ray_address = "auto"` stands for'),
        ("", "", "no Ray runs on this machine. "),
    ],
)
def test_a_head_that_auto_finds_and_cannot_be_used_is_named(rig, address, found, words):
    """On a host that is no node; Ray keeps the address of the last cluster in a file."""
    chosen = rig.folder / "auto.toml"
    chosen.write_text('[default]\nlauncher = "ray"\n')
    setup = "mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray"
    host = rig.hold("outside", f"{setup} && echo {found} > /tmp/ray/ray_current_cluster" if found else setup)
    started = time.monotonic()
    try:
        status, said = rig.run(
            [*RSFT, "materialize", "responses/few_n4", "--upstream"],
            on=host,
            **settings(rig, "auto", RSFT_PLACEMENT=str(chosen), RAY_ADDRESS=address),
        )
    finally:
        rig.kill(host)
    assert status == 1 and words in said and "Traceback" not in said
    assert not digests(rig, "auto")
    assert time.monotonic() - started < 60, "not until Ray gives up"


def test_auto_is_the_cluster_that_this_machine_is_a_node_of(rig):
    chosen = rig.folder / "auto.toml"
    chosen.write_text('[default]\nlauncher = "ray"\n')
    node = next(host for host in rig.hosts.values() if host.name in ("one", "two"))
    said = rig.run([*RSFT, "doctor"], on=node, **settings(rig, "auto", RSFT_PLACEMENT=str(chosen)))[1]
    assert f"{node.name}: 1 core" in said and f"launcher ray: the Ray cluster at {ADDRESS} (" in said


def test_a_head_that_accepts_and_never_answers_is_given_up(rig):
    silent = "import socket, time; s = socket.create_server(('', 6397)); print('up', flush=True); time.sleep(99)"
    asked = "from rsft_assets.defs.on_ray import cluster, driver; cluster._JOIN_SECONDS = 3.0; "
    asked += "driver.run_step(driver.drive, driver.parser())"
    head = rig.start([sys.executable, "-c", silent])
    try:
        assert head.stdout.readline() == "up\n"
        words = [sys.executable, "-c", asked, "--address", "127.0.0.1:6397", "--look"]
        status, said = rig.run(words, 60.0, **settings(rig, "silent"))
    finally:
        head.kill()
    assert status == 1 and "the head of the Ray cluster at 127.0.0.1:6397 does not answer. `ray_address`" in said


def test_a_machine_that_is_no_node_is_named(rig):
    host = rig.hold("outside")
    try:
        status, said = rig.run([*RSFT, "doctor"], on=host, **settings(rig, "outside"))
    finally:
        rig.kill(host)
    assert status == 1 and "Traceback" not in said
    assert f"the head at {ADDRESS} answers, but this machine is not a node of its cluster; run `ray start" in said
