"""Training as processes: killed at any write, told to stop, spread over two, one of them lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.checkpoints.training.job import MEETING_POINT
from rsft_assets.steps.checkpoints.training.launch import trainer
from rsft_assets.steps.checkpoints.training.state import saved_states
from rsft_assets.steps.processes.program import TRY_AGAIN
from rsft_assets_tests.steps.checkpoints.test_train import checkpoint, resume_folder, train_to, weights_digest
from rsft_assets_tests.steps.checkpoints.tiny import CPU, SCHEDULE, tiny_study
from rsft_assets_tests.steps.checkpoints.tiny_training import KILLED

pytestmark = pytest.mark.slow
KEPT = (2, 4, 6, 9)
ALWAYS = {"save_always": 0.01}
"""At every step, while training goes on."""
TWO = {"processes": 2, "zero_stage": 3}


def start(tmp_path, **settings):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "rsft_assets_tests.steps.checkpoints.tiny_training", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def training_processes_of(parent):
    children = psutil.Process(parent).children()
    return [child.pid for child in children if "rsft_assets.steps.checkpoints.training.launch" in command_line(child)]


def command_line(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(pids):
    """Whether all of them end within twenty seconds."""
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def wait_for(condition, seconds=120):
    """What the condition found within this time."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


def progress_told(events):
    """What trainings said of their progress."""
    lines = [json.loads(line) for line in events.read_text().splitlines()] if events.exists() else []
    return [event for event in lines if event["event"] == "progress"]


def steps_told(events):
    """How far a training said that it is, each time."""
    return [event["done"] for event in progress_told(events)]


def is_pending(number, pid):
    """Whether a signal waits for this process to take it."""
    status = Path(f"/proc/{pid}/status").read_text()
    [pending] = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd")]
    return bool(int(pending, 16) >> (number - 1) & 1)


def results(store, study):
    """Digest of the weights of each kept step, and the losses of the whole run."""
    outputs = [store.require(checkpoint(study, step)).verified() for step in KEPT]
    losses = pq.read_table(outputs[-1].file("curves.parquet"))["loss"].to_pylist()
    return [weights_digest(output) for output in outputs], losses


def put_aside(folder):
    """The runs' outputs, so that all of it is made again."""
    folder.rename(folder.with_name("never-killed"))
    for path in folder.with_name("never-killed").rglob("current.json"):
        path.unlink()


def test_a_run_killed_ten_times_is_bit_equal_to_one_never_killed(tmp_path, store, study):
    assert_killed_is_equal(tmp_path, store, study, random.Random(4))
    for step in KEPT:
        assert len(list(store.slot(checkpoint(study, step)).glob("*/manifest.json"))) == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_killed_while_threads_save_is_bit_equal_to_one_never_killed(tmp_path, store, study, seed):
    assert_killed_is_equal(tmp_path, store, study, random.Random(seed), save_always=0.01)


def assert_killed_is_equal(tmp_path, store, study, chance, **settings):
    train_to(study, store, 9)
    expected = results(store, study)
    put_aside(resume_folder(store, study).parent)
    kill_at = [chance.randint(1, 45) for _ in range(10)]
    code, output = finish(start(tmp_path, target=9, kill_at=kill_at, **settings))
    assert code == 0, output[-2000:]
    assert output.count(KILLED) >= 5
    assert results(store, study) == expected


@pytest.mark.parametrize("placement", [{}, TWO])
def test_sigterm_saves_the_state_and_asks_to_be_tried_again(tmp_path, store, study, monkeypatch, placement):
    events = tmp_path / "events"
    monkeypatch.setenv("RSFT_EVENTS", str(events))
    process = start(tmp_path, target=9_000, schedule={"epochs": 3_000}, placement=placement)
    run_folder = resume_folder(store, study).parent.parent
    wait_for(lambda: [step for step in steps_told(events) if step > 6])
    # One from a scheduler, one from the end of whoever started it.
    process.send_signal(signal.SIGTERM)
    time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == TRY_AGAIN, output[-2000:]
    assert "stopped by SIGTERM" in output
    [state] = saved_states(next(run_folder.glob("*ep3000*")) / ".resume")
    assert state.step > 6 and state.check() is None
    assert [entry["step"] for entry in state.curves] == list(range(1, state.step + 1))


def test_sigterm_while_a_state_is_written_leaves_one_that_resumes_to_the_bit(tmp_path, store, study):
    train_to(study, store, 9)
    expected = results(store, study)
    put_aside(resume_folder(store, study).parent)
    process = start(tmp_path, target=9, save_always=1.0)
    folder = resume_folder(store, study)
    [writing] = wait_for(lambda: list(folder.glob(".writing-[1356789]")))
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == TRY_AGAIN, output[-2000:]
    [state] = saved_states(folder)
    assert state.check() is None
    assert state.step >= int(writing.name.rpartition("-")[2])
    assert not list(folder.glob(".writing-*"))
    train_to(study, store, 9)
    assert results(store, study) == expected


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_run_goes_on_with_another_number_of_processes(tmp_path, store, study, stage):
    train_to(study, store, 9)
    folder = resume_folder(store, study).parent
    whole = load_file(store.require(checkpoint(study, 9)).file("model.safetensors"))
    losses = pq.read_table(store.require(checkpoint(study, 9)).file("curves.parquet"))["loss"].to_pylist()
    folder.rename(folder.with_name("one-process"))
    for path in folder.with_name("one-process").rglob("current.json"):
        path.unlink()
    for target, processes in ((4, 2), (6, 1), (9, 2)):
        placement = replace(CPU, processes=processes, zero_stage=stage, micro_batch_tokens=64 * processes)
        train(study, store, [checkpoint(study, target)], placement=placement)
    output = store.require(checkpoint(study, 9))
    found = load_file(output.file("model.safetensors"))
    assert found.keys() == whole.keys()
    for name, tensor in whole.items():
        assert float((found[name] - tensor).norm() / tensor.norm()) < 1e-4
    assert pq.read_table(output.file("curves.parquet"))["loss"].to_pylist() == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "bf16-pure"])
def test_resuming_is_bit_equal_in_every_precision(store, precision):
    """In fp32, see test_train.py."""
    study = tiny_study(replace(SCHEDULE, precision=precision))
    assert_resuming_is_bit_equal(store, study, CPU, targets=(2, 6, 9))
    kept = next(iter(load_file(store.require(checkpoint(study, 9)).file("model.safetensors")).values())).dtype
    assert kept == torch.bfloat16


ON_TWO_GPUS = [
    pytest.mark.gpu,
    pytest.mark.skipif((found := torch.cuda.device_count()) < 2, reason=f"needs two GPUs, and torch sees {found} here"),
]


@pytest.mark.parametrize(
    ("stage", "precision", "device"),
    [
        *((stage, "fp32", "cpu") for stage in (1, 2, 3)),
        (3, "bf16", "cpu"),
        *(pytest.param(stage, "bf16", "cuda", marks=ON_TWO_GPUS) for stage in (1, 2, 3)),
    ],
)
def test_resuming_two_processes_is_bit_equal(store, stage, precision, device):
    study = tiny_study(replace(SCHEDULE, precision=precision))
    placement = replace(CPU, device=device, deterministic=device == "cuda", processes=2, zero_stage=stage)
    assert_resuming_is_bit_equal(store, study, placement, targets=(4, 9))


def assert_resuming_is_bit_equal(store, study, placement, targets):
    for target in targets:
        train(study, store, [checkpoint(study, target)], placement=placement)
    parts = weights_digest(store.require(checkpoint(study, 9)))
    train(study, store, [checkpoint(study, 9)], placement=placement, force=True)
    assert weights_digest(store.require(checkpoint(study, 9))) == parts


def test_torchrun_starts_the_step_itself_on_each_machine(tmp_path, store, study):
    train_to(study, store, 4)
    whole = load_file(store.require(checkpoint(study, 4)).file("model.safetensors"))
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"target": 4, "force": True, "placement": {"zero_stage": 2}}))
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["rsft_assets_tests.steps.checkpoints.tiny_training", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    again = store.require(checkpoint(study, 4))
    assert again.manifest.made_by["placement"]["processes"] == 2
    found = load_file(again.file("model.safetensors"))
    for name, tensor in whole.items():
        assert float((found[name] - tensor).norm() / tensor.norm()) < 1e-4


def test_a_stop_before_the_processes_have_met_ends_them_all(tmp_path, store, study):
    process = start(tmp_path, target=9_000, schedule={"epochs": 3_000}, placement=TWO)
    run_folder = resume_folder(store, study).parent.parent
    pids = wait_for(lambda: len(found := training_processes_of(process.pid)) == 2 and found)
    os.kill(pids[1], signal.SIGSTOP)
    # The other waits at the meeting point, in a call that no signal interrupts.
    wait_for(lambda: list(run_folder.glob(f"*ep3000*/.resume/{MEETING_POINT}")))
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: is_pending(signal.SIGTERM, pids[1]))
    os.kill(pids[1], signal.SIGCONT)
    code, output = finish(process)
    assert code == TRY_AGAIN, output[-2000:]
    assert gone(pids)


def test_a_lost_process_ends_the_others_and_is_named(tmp_path, store, study):
    process = start(tmp_path, target=9_000, schedule={"epochs": 3_000}, placement=TWO)
    until = time.monotonic() + 120
    run_folder = resume_folder(store, study).parent.parent
    while time.monotonic() < until and not list(run_folder.glob("*ep3000*/4/current.json")):
        time.sleep(0.05)
    pids = training_processes_of(process.pid)
    os.kill(pids[-1], signal.SIGKILL)
    code, output = finish(process)
    assert code == 1
    assert "ended with signal SIGKILL; the last saved state is kept: run the same command again to resume" in output
    assert gone(pids)
    assert saved_states(next(run_folder.glob("*ep3000*")) / ".resume")


def test_killing_the_parent_ends_its_training_processes(tmp_path, store, study):
    process = start(tmp_path, target=9_000, schedule={"epochs": 3_000}, placement=TWO)
    until = time.monotonic() + 120
    run_folder = resume_folder(store, study).parent.parent
    while time.monotonic() < until and not list(run_folder.glob("*ep3000*/4/current.json")):
        time.sleep(0.05)
    pids = training_processes_of(process.pid)
    assert len(pids) == 2
    process.kill()
    process.wait()
    assert gone(pids)


def test_no_process_waits_for_a_job_that_will_never_come(tmp_path):
    with pytest.raises(StepError, match="does not fit"), trainer(tmp_path, Placement(device="cpu", processes=2)):
        waiting = training_processes_of(os.getpid())
        raise StepError("it does not fit")
    assert len(waiting) == 2
    assert gone(waiting)


def test_processes_that_wait_for_a_job_end_with_who_prepares_it(tmp_path):
    program = f"""
import pathlib, time
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints.training.job import MEETING_POINT
from rsft_assets.steps.checkpoints.training.launch import trainer
with trainer(pathlib.Path({str(tmp_path)!r}), Placement(device="cpu", processes=2)):
    print("started", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    waiting = training_processes_of(process.pid)
    assert len(waiting) == 2
    process.kill()
    process.wait()
    assert gone(waiting)
