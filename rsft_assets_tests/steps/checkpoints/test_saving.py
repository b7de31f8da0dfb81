"""Saving the rolling state: what is read back, while training goes on, with a failing disk, and at a signal to stop."""

import errno
import json
import os
import shutil
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from rsft_assets.steps.checkpoints import preparation
from rsft_assets.steps.checkpoints.training import loop, saving
from rsft_assets.steps.checkpoints.training import state as states
from rsft_assets.steps.checkpoints.training.engine import MOMENTS, Session
from rsft_assets.steps.checkpoints.training.process import _Training
from rsft_assets.steps.checkpoints.training.saving import Saver
from rsft_assets.steps.checkpoints.training.state import MASTER, saved_states
from rsft_assets.steps.processes.program import Stopped
from rsft_assets.steps.records import digest
from rsft_assets_tests.steps.checkpoints.test_train import checkpoint, resume_folder, train_to, weights_digest
from rsft_assets_tests.steps.checkpoints.tiny import ROWS, examples, publish_inputs, saving_session

SHAPES = {"embedding": (13, 7), "norm": (7,), "scale": (), "large": (31, 17), "empty": (0, 3)}


@pytest.fixture
def session():
    return session_on("cpu")


def session_on(device):
    """What saving asks of a session of one process: weights and moments of two types."""
    chance = torch.Generator().manual_seed(5)
    parameters, moments = [], {}
    for name, shape in SHAPES.items():
        dtype = torch.bfloat16 if name == "norm" else torch.float32
        parameter = torch.nn.Parameter(torch.randn(shape, generator=chance).to(device, dtype))
        parameters.append((name, parameter))
        moments[parameter] = {kind: torch.randn(shape, generator=chance).to(device, dtype).t() for kind in MOMENTS}
    return saving_session(parameters, moments, device)


def held_by(session):
    """(kind/name, tensor) of everything that a state must hold."""
    return {
        f"{kind}/{name}": (parameter if kind == MASTER else session.adam.state[parameter][kind])
        .detach()
        .to("cpu", copy=True)
        for name, parameter in session.named_parameters()
        for kind in (MASTER, *MOMENTS)
    }


def assert_holds(state, expected):
    assert state.check() is None
    found = dict(state.tensors())
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor), name


def folder_of(descriptor):
    return Path(f"/proc/self/fd/{descriptor}").resolve().parent.name


@pytest.fixture
def disk(monkeypatch):
    """A disk that takes no part until it is told to go on."""
    go_on, real = threading.Event(), os.fsync

    def wait(descriptor):
        if folder_of(descriptor).startswith(".writing-"):
            assert go_on.wait(60)
        real(descriptor)

    monkeypatch.setattr(saving.os, "fsync", wait)
    yield go_on
    go_on.set()


def fail_at(monkeypatch, step):
    """A disk without room for a state of this step."""
    real = os.fsync

    def full(descriptor):
        if folder_of(descriptor) == f".writing-{step}":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(saving.os, "fsync", full)


def save_always(monkeypatch):
    monkeypatch.setattr(saving, "_SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(saving, "_SAVE_SHARE", 1e9)


@pytest.mark.parametrize("free", [2**40, 0])
@pytest.mark.parametrize(("part", "buffer"), [(2**28, 2**22), (2**10, 2**6), (1, 2**4)])
def test_what_is_saved_is_read_back_whatever_the_sizes(tmp_path, session, monkeypatch, free, part, buffer):
    monkeypatch.setattr(saving, "free_memory", lambda: free)
    monkeypatch.setattr(saving, "_PART_BYTES", part)
    monkeypatch.setattr(saving, "_BUFFER_BYTES", buffer)
    with Saver(session, tmp_path, {"a": "b"}, "it") as saver:
        saver.save(3, [{"step": 3, "seconds": 1.0}])
        saver.wait()
    [state] = saved_states(tmp_path)
    assert (state.step, state.belongs_to, state.curves) == (3, {"a": "b"}, [{"step": 3, "seconds": 1.0}])
    assert_holds(state, held_by(session))
    assert not list(tmp_path.glob(".writing-*"))
    for name in state.files:
        assert load_file(state.folder / name)


def test_training_goes_on_while_a_state_is_written_and_the_state_stays_that_of_its_step(tmp_path, session, disk):
    before = held_by(session)
    curves = [{"step": 1, "seconds": 1.0, "held_out_loss": None}]
    with Saver(session, tmp_path, {}, "it") as saver:
        saver.save(1, curves)
        with torch.no_grad():
            for _, parameter in session.named_parameters():
                parameter.zero_()
        curves[0]["held_out_loss"] = 2.0
        saver.look()
        assert saved_states(tmp_path) == [] and not saver.due()
        disk.set()
        saver.wait()
    [state] = saved_states(tmp_path)
    assert_holds(state, before)
    assert state.curves == [{"step": 1, "seconds": 1.0, "held_out_loss": None}]


@pytest.mark.gpu
@pytest.mark.parametrize("free", [2**40, 0])
def test_a_state_on_a_gpu_is_copied_before_its_weights_change(tmp_path, monkeypatch, free):
    monkeypatch.setattr(saving, "free_memory", lambda: free)
    session = session_on("cuda:0")
    before = held_by(session)
    with Saver(session, tmp_path, {}, "it") as saver:
        for step in (1, 2):
            saver.save(step, [])
            with torch.no_grad():
                for _, parameter in session.named_parameters():
                    parameter.zero_()
            saver.wait()
            [state] = saved_states(tmp_path)
            assert state.step == step
            assert_holds(state, before)
            before = held_by(session)


def test_without_memory_for_a_copy_few_parts_are_held_at_a_time(tmp_path, session, monkeypatch, disk):
    monkeypatch.setattr(saving, "free_memory", lambda: 0)
    monkeypatch.setattr(saving, "_PART_BYTES", 1)
    held, most, lock = [0], [0], threading.Lock()
    make, write = saving._Part.__init__, Saver._write

    def count(change):
        with lock:
            held[0] += change
            most[0] = max(most[0], held[0])

    monkeypatch.setattr(saving._Part, "__init__", lambda *given: (count(1), make(*given))[1])
    monkeypatch.setattr(Saver, "_write", lambda *given: (count(-1), write(*given))[1])
    parts = len(SHAPES) * 3
    with Saver(session, tmp_path, {}, "it") as saver:
        thread = threading.Thread(target=saver.save, args=(1, []))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "it did not wait for the disk"
        disk.set()
        thread.join()
        saver.wait()
    assert most[0] < parts
    assert_holds(saved_states(tmp_path)[0], held_by(session))


def test_only_one_state_is_under_way(tmp_path, session, disk):
    with Saver(session, tmp_path, {}, "it") as saver:
        saver.save(1, [])
        second = threading.Thread(target=saver.save, args=(2, []))
        second.start()
        second.join(0.3)
        assert [path.name for path in tmp_path.glob(".writing-*")] == [".writing-1"]
        disk.set()
        second.join()
        saver.wait()
    assert [state.step for state in saved_states(tmp_path)] == [2]


def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path, session):
    (tmp_path / ".writing-7").mkdir()
    (tmp_path / ".writing-7" / "part-0-0.safetensors").write_bytes(b"half of it")
    with Saver(session, tmp_path, {}, "it") as saver:
        saver.save(9, [])
    assert [path.name for path in tmp_path.iterdir()] == ["state-9"]


def test_what_a_killed_save_left_takes_no_disk_when_the_next_try_is_estimated(store, study, monkeypatch):
    left = resume_folder(store, study) / ".writing-7"
    left.mkdir(parents=True)
    estimated, check = [], preparation.check

    def look(*given):
        estimated.append(left.exists())
        return check(*given)

    monkeypatch.setattr(preparation, "check", look)
    train_to(study, store, 2)
    assert estimated == [False]


def test_a_failure_of_the_training_leaves_the_state_under_way(tmp_path, session, disk):
    threading.Timer(0.3, disk.set).start()
    with pytest.raises(ValueError, match="of a later step"), Saver(session, tmp_path, {}, "it") as saver:
        saver.save(1, [])
        raise ValueError("of a later step")
    assert_holds(saved_states(tmp_path)[0], held_by(session))


def process_of_two(session, rank, meeting):
    return SimpleNamespace(**{**vars(session), "rank": rank, "world": 2, "barrier": lambda: meeting.wait(60)})


def test_each_process_writes_its_share_and_the_first_puts_them_together(tmp_path, session):
    meeting = threading.Barrier(2)

    def save(rank):
        with Saver(process_of_two(session, rank, meeting), tmp_path, {}, "it") as saver:
            for step in (1, 2):
                saver.save(step, [{"step": step, "seconds": 1.0}])
            saver.wait()

    other = threading.Thread(target=save, args=(1,))
    other.start()
    save(0)
    other.join()
    [state] = saved_states(tmp_path)
    assert state.step == 2 and {name.split("-")[1] for name in state.files} == {"0", "1"}
    assert_holds(state, held_by(session))
    assert sorted(path.name for path in state.folder.iterdir()) == sorted([*state.files, "state.json"])


def test_the_first_process_does_not_wait_for_ever_for_one_that_failed(tmp_path, session, monkeypatch):
    monkeypatch.setattr(saving, "_OTHERS_SECONDS", 0.2)
    alone = SimpleNamespace(**{**vars(session), "world": 2})
    with pytest.raises(ValueError, match="of the other"), Saver(alone, tmp_path, {}, "it") as saver:
        saver.save(1, [{"step": 1, "seconds": 1.0}])
        raise ValueError("of the other")
    assert saved_states(tmp_path) == []


def test_a_disk_that_fills_while_training_goes_on_ends_it_and_keeps_the_last_state(store, study, monkeypatch):
    train_to(study, store, 4)
    save_always(monkeypatch)
    fail_at(monkeypatch, 5)
    entered = []
    monkeypatch.setattr(
        loop, "_one_step", lambda *given, real=loop._one_step: (entered.append(given[3]), real(*given))[1]
    )
    with pytest.raises(OSError, match="No space left on device") as failed:
        train_to(study, store, 9)
    assert Path(failed.value.filename).parent.name == ".writing-5"
    assert entered in ([5, 6], [5, 6, 7])
    assert [state.step for state in saved_states(resume_folder(store, study))] == [4]


@pytest.mark.slow
def test_saving_at_every_step_changes_no_result(store, study, monkeypatch):
    train_to(study, store, 9)
    before = [weights_digest(store.require(checkpoint(study, step))) for step in (2, 4, 6, 9)]
    save_always(monkeypatch)
    train_to(study, store, 2, 4, 6, 9, force=True)
    assert [weights_digest(store.require(checkpoint(study, step))) for step in (2, 4, 6, 9)] == before


@pytest.mark.slow
def test_a_resumed_training_reads_each_part_once_to_check_it(store, study, monkeypatch):
    train_to(study, store, 4)
    [state] = saved_states(resume_folder(store, study))
    states._SOUND.clear()
    read, real = [], states._checksum
    monkeypatch.setattr(states, "_checksum", lambda path: (read.append(path.name), real(path))[1])
    train_to(study, store, 6)
    assert sorted(read) == sorted(state.files)


def test_before_the_first_step_the_base_model_is_read_once(store, study, monkeypatch):
    monkeypatch.setattr("rsft_assets.steps.records.checked._YOUNG_SECONDS", 0.0)
    read, real = [], digest.bytes_digest
    monkeypatch.setattr(digest, "bytes_digest", lambda path: (read.append(path), real(path))[1])
    train_to(study, store, 0, 2)
    weights = [path.parent.parent.parts[-2:] for path in read if path.name == "model.safetensors"]
    # The second is that of step 2, when it is published.
    assert weights == [("base_models", "tiny"), (checkpoint(study, 2).run, "2")]


def ask_within(monkeypatch, owner, name, call):
    """SIGTERM to this process when `owner.name` is called for the `call`-th time."""
    real, left = getattr(owner, name), [call]

    def asked(*given, **named):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*given, **named)

    monkeypatch.setattr(owner, name, asked)


STOPS = {
    "between two micro-batches": (Session, "backward", 4, 3, False),
    "at the end of the step": (Session, "apply", 4, 4, False),
    "before the held-out loss": (loop, "held_out", 2, 4, False),
    "after the held-out loss": (loop, "_refuse_broken_weights", 2, 4, False),
    "before the state is copied": (Saver, "save", 2, 4, False),
    "while the state is written": (Saver, "_publish", 2, 4, False),
    "while the checkpoint is handed over": (_Training, "kept_step", 2, 4, True),
}
"""What is called for which time when SIGTERM comes, the step of the state, and whether step 4 has a checkpoint."""
BY_DEFAULT = "while the checkpoint is handed over"
"""The one that the default tests try."""


@pytest.mark.parametrize(
    "moment", [pytest.param(one, marks=pytest.mark.slow) for one in STOPS if one != BY_DEFAULT] + [BY_DEFAULT]
)
def test_a_stop_around_a_kept_step_saves_the_state_and_does_nothing_else(store, study, monkeypatch, moment):
    publish_inputs(study, store, held_out=examples(30)[ROWS:])
    train_to(study, store, 6)
    expected = [store.require(checkpoint(study, step)).digest for step in (2, 4, 6)]
    for step in (2, 4, 6):
        slot = store.slot(checkpoint(study, step))
        slot.rename(slot.with_name(f"{step}-before"))
    shutil.rmtree(resume_folder(store, study))
    owner, name, call, step, handed_over = STOPS[moment]
    with monkeypatch.context() as patched:
        ask_within(patched, owner, name, call)
        with pytest.raises(Stopped, match=f"SIGTERM after step {step}"):
            train_to(study, store, 6)
    [state] = saved_states(resume_folder(store, study))
    assert state.step == step and state.check() is None
    assert (store.current(checkpoint(study, 4)) is not None) is handed_over
    train_to(study, store, 6)
    assert [store.require(checkpoint(study, step)).digest for step in (2, 4, 6)] == expected


def test_a_stop_in_the_first_step_leaves_no_state(store, study, monkeypatch):
    ask_within(monkeypatch, Session, "backward", 1)
    with pytest.raises(Stopped, match="SIGTERM after step 0"):
        train_to(study, store, 2)
    assert saved_states(resume_folder(store, study)) == []


@pytest.mark.slow
def test_the_time_that_a_stop_needs_is_said_once(store, study, monkeypatch, tmp_path):
    monkeypatch.setenv("RSFT_EVENTS", str(tmp_path / "events"))
    train_to(study, store, 2)
    assert "after SIGTERM" not in (tmp_path / "events").read_text()
    monkeypatch.setattr(saving, "_TOLD_FROM_SECONDS", 0.0)
    train_to(study, store, 9)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    [note] = [event for event in events if "after SIGTERM" in event.get("words", "")]
    assert "saving takes about 0 s; a scheduler must grant at least that" in note["words"]
    assert note["stop_seconds"] > 0
