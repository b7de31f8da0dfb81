"""Runs trained at the same time: the same weights as one after the other, failures named, stops saved."""

import errno
import signal
import threading
import time
from dataclasses import replace

import pytest

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref, checkpoint_ref
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.checkpoints import side_by_side as module
from rsft_assets.steps.checkpoints import train as training
from rsft_assets.steps.checkpoints.side_by_side import side_by_side
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.checkpoints.training import launch
from rsft_assets.steps.checkpoints.training.state import saved_states
from rsft_assets.steps.processes.program import TRY_AGAIN, Stopped
from rsft_assets.steps.records.provenance import command
from rsft_assets_tests.steps.checkpoints.test_processes import finish, progress_told, start, wait_for
from rsft_assets_tests.steps.checkpoints.tiny import CPU, SCHEDULE, tiny_study

TWO = replace(CPU, runs=2)


def test_each_run_has_cards_of_its_own(monkeypatch):
    monkeypatch.setattr(module, "gpus", lambda: (("card", 80 << 30),) * 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,6,7")
    at_work, seen, lock = set(), set(), threading.Lock()

    def one(name, beside):
        with lock:
            assert beside.gpu not in at_work
            at_work.add(beside.gpu)
        time.sleep(0.01)
        with lock:
            at_work.remove(beside.gpu)
            seen.add(beside.gpu)
        return [name]

    names = [str(number) for number in range(9)]
    assert side_by_side(names, 2, Placement(processes=2, runs=2), one) == names
    assert seen <= {"2,3", "6,7"}
    with pytest.raises(StepError, match="need 6 GPUs and 4 are visible"):
        side_by_side(names, 3, Placement(processes=2, runs=3), one)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, {"0", "1"}), ("4,5,6", {"4", "5"}), ("GPU-a,GPU-b", {"GPU-a", "GPU-b"}), ("", {None})],
)
def test_cards_that_are_hidden_are_given_to_no_run(monkeypatch, visible, expected):
    def one(name, beside):
        seen.add(beside.gpu)
        both.wait(20)
        return []

    monkeypatch.setattr(module, "gpus", lambda: (("card", 80 << 30),) * 8)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    seen, both = set(), threading.Barrier(2)
    side_by_side(["a", "b"], 2, Placement(runs=2), one)
    assert seen == expected


def test_one_that_fails_leaves_the_others_to_finish():
    def one(name, beside):
        if name == "b":
            raise StepError("its set is damaged")
        done.append(name)
        return [name]

    done = []
    with pytest.raises(StepError, match="b: its set is damaged"):
        side_by_side(["a", "b", "c", "d"], 2, CPU, one)
    assert sorted(done) == ["a", "c", "d"]


@pytest.mark.parametrize(
    "error",
    [KeyError("lost"), OSError(errno.ENOSPC, "No space left on device"), SpecError("no such run"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_what_nobody_foresaw_stops_the_others_and_is_raised_as_it_is(error):
    def one(name, beside):
        if name == "b":
            raise error
        stopped.append(beside.stop.wait(20))
        return []

    stopped = []
    with pytest.raises(type(error)) as raised:
        side_by_side(["a", "b", "c", "d"], 2, CPU, one)
    assert raised.value is error
    assert "one" in [entry.name for entry in raised.traceback], "the place where it went wrong is kept"
    assert stopped and all(stopped)


def test_a_stop_reaches_all_of_them():
    def one(name, beside):
        if name == "a":
            raise Stopped("SIGTERM")
        beside.stop.wait(20)
        seen.append(beside.stop.is_set())
        return []

    seen = []
    with pytest.raises(Stopped):
        side_by_side(["a", "b", "c"], 2, CPU, one)
    assert seen and all(seen)


@pytest.fixture
def started(monkeypatch):
    """Every training process that is started, in order."""

    class Noted(launch.TrainingProcess):
        def __init__(self, *words):
            super().__init__(*words)
            processes.append(self)

    processes = []
    monkeypatch.setattr(launch, "TrainingProcess", Noted)
    return processes


@pytest.mark.slow
def test_side_by_side_is_bit_equal_to_one_after_the_other(store, started):
    study = tiny_study(seeds=(1, 2, 3, 4))
    refs = [checkpoint_ref(run, step) for run in study.runs.values() for step in (0, 9)]
    together = [output.digest for output in train(study, store, refs, placement=TWO)]
    assert len(started) == 2, "a process trains one run after another"
    assert [process.returncode for process in started] == [0, 0]
    for run in study.runs.values():
        folder = store.slot(Ref(f"checkpoints/{run.model}", run.name))
        folder.rename(folder.with_name(f".{folder.name}"))
    alone = [output.digest for output in train(study, store, refs, placement=replace(CPU, runs=1))]
    assert together == alone
    assert len(set(together)) == 5


@pytest.mark.slow
def test_a_process_that_dies_costs_the_run_at_hand_and_no_later_one(store, started, monkeypatch):
    def give(process, job):
        given.append(job.parent.parent.name)
        if len(given) == 3:
            process.kill()
        original(process, job)

    given, original = [], launch.TrainingProcess.give
    monkeypatch.setattr(launch.TrainingProcess, "give", give)
    study = tiny_study(seeds=(1, 2, 3, 4, 5))
    refs = [checkpoint_ref(run, 9) for run in study.runs.values()]
    with pytest.raises(StepError, match="ended with signal SIGKILL") as failed:
        train(study, store, refs, placement=TWO)
    assert len(started) == 3
    made = [run.name for run in study.runs.values() if store.current(checkpoint_ref(run, 9))]
    assert sorted([*made, given[2]]) == sorted(study.runs)
    assert str(failed.value).startswith(f"{given[2]}: ")


def test_the_longest_runs_come_first(store, monkeypatch):
    study = tiny_study(seeds=(1, 2, 3))
    first, second, third = study.runs.values()
    refs = [checkpoint_ref(first, 2), checkpoint_ref(second, 9), checkpoint_ref(third, 4), checkpoint_ref(first, 4)]
    order = []
    monkeypatch.setattr(training, "side_by_side", lambda names, *_: order.extend(names) or [])
    train(study, store, refs, placement=TWO)
    assert order == [second.name, first.name, third.name]


@pytest.mark.slow
def test_runs_beside_each_other_record_the_command_of_the_step(store):
    study = tiny_study(replace(SCHEDULE, epochs=1), seeds=(1, 2))
    refs = [checkpoint_ref(run, step) for run in study.runs.values() for step in (0, 2)]
    outputs = train(study, store, refs, placement=replace(CPU, runs=2))
    assert {output.manifest.made_by["command"] for output in outputs} == {command()}
    assert "launch" not in command()


@pytest.mark.slow
def test_sigterm_saves_the_state_of_each(tmp_path, store, monkeypatch):
    events = tmp_path / "events"
    monkeypatch.setenv("RSFT_EVENTS", str(events))
    schedule = {"epochs": 3_000}
    study = tiny_study(replace(SCHEDULE, **schedule), seeds=(1, 2))
    process = start(tmp_path, target=9_000, schedule=schedule, seeds=[1, 2], placement={"runs": 2})
    # Kept steps end with step 6: a state of a later one was saved because of the signal.
    wait_for(lambda: len({event["what"] for event in progress_told(events) if event["done"] > 6}) == 2, 600)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == TRY_AGAIN, output[-2000:]
    for run in study.runs.values():
        [state] = saved_states(store.slot(Ref(f"checkpoints/{run.model}", run.name)) / ".resume")
        assert state.step > 6 and state.check() is None
