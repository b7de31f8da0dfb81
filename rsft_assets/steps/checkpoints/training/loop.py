"""The training loop: batches, optimizer steps, the rolling state, and a call at every kept step.

Fine-tuning and pretraining are the same loop over different `Work`. A signal to stop is obeyed between two
steps, on every process at the same one, once the state is saved; one process gives up its step between micro-batches.
"""

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.checkpoints.training.engine import Session
from rsft_assets.steps.checkpoints.training.gpu import Meter
from rsft_assets.steps.checkpoints.training.loss import Trainee
from rsft_assets.steps.checkpoints.training.packing import MicroBatch, micro_batch, plan
from rsft_assets.steps.checkpoints.training.saving import Saver
from rsft_assets.steps.checkpoints.training.text import Tokens
from rsft_assets.steps.checkpoints.training.work import Work
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.processes.program import Stopped

log = logging.getLogger(__name__)
_ROWS_NAMED = 32


@dataclass(frozen=True)
class Bounds:
    """The target step, the steps to hand over, and those at which held-out rows are tried."""

    target: int
    kept: Collection[int]
    tried: Collection[int]
    budget: int
    packed: bool
    folder: Path
    belongs_to: dict[str, Any]
    base: Callable[[], Trainee | None] = lambda: None
    """Loads the model that it started from, for the divergence from it; None where it is not at hand."""


@dataclass
class Position:
    """How far this training has come."""

    step: int = 0
    curves: list[dict[str, Any]] = field(default_factory=list)


KeptStep = Callable[[int, list[dict[str, Any]]], None]
Weights = Callable[[Sequence[int]], list[float]]
Share = tuple[list[MicroBatch], list[list[int]]]
"""Micro-batches of one process, and the rows in each."""


def _batch(session: Session, bounds: Bounds, tokens: Tokens, rows: Sequence[int], weights: Weights) -> Share:
    """This process's part of one batch; `weights` gives each row's from how many of its tokens are trained."""
    ids = [tokens.row(row) for row in rows]
    prompts = [int(tokens.prompts[row]) for row in rows]
    trained = [max(0, len(one) - max(prompt, 1)) for one, prompt in zip(ids, prompts, strict=True)]
    of_rows = weights(trained)
    lengths = [len(one) - 1 if count else 0 for one, count in zip(ids, trained, strict=True)]
    mine = plan(lengths, bounds.budget, session.world, packed=bounds.packed)[session.rank]
    micros = [
        micro_batch(
            [ids[p] for p in places],
            [prompts[p] for p in places],
            [of_rows[p] for p in places],
            packed=bounds.packed,
            device=session.device,
        )
        for places in mine
    ]
    return micros, [[rows[p] for p in places] for places in mine]


def train(session: Session, work: Work, position: Position, bounds: Bounds, kept_step: KeptStep) -> None:
    """Train from `position` to the target; `kept_step` runs on every process at each kept step."""
    _try_held_out(session, work, position, bounds)
    if position.step in bounds.kept:
        kept_step(position.step, position.curves)
    saving = Saver(session, bounds.folder, bounds.belongs_to, work.what, position.step)
    with saving as saver, _asked_to_stop() as asked:
        if session.world == 1:
            session.before_each = lambda: _give_up_if(asked)
        try:
            _train_on(session, work, position, bounds, kept_step, saver, asked)
        except _GivenUp:
            if saver.step != position.step:
                saver.save(position.step, position.curves)
            saver.wait()
            raise Stopped(f"{stop_name(asked)} after step {position.step}") from None


def _train_on(
    session: Session,
    work: Work,
    position: Position,
    bounds: Bounds,
    kept_step: KeptStep,
    saver: Saver,
    asked: list[int],
) -> None:
    progress = Progress(f"training {work.what}", bounds.target, "steps")
    progress.skip(position.step)
    while position.step < bounds.target:
        step = position.step + 1
        entry, stop, due = _one_step(session, work, bounds, step, asked, saver)
        position.step = step
        position.curves.append(entry)
        if session.rank == 0:
            progress.step(1, _note(entry, session.meter))
        saver.look()
        at_kept = step in bounds.kept
        # A stop waits for the state alone: the next try takes the held-out loss of this step, and hands it over.
        if stop or (step in bounds.tried and _is_asked(session, asked)):
            raise _GivenUp
        _try_held_out(session, work, position, bounds)
        if due or at_kept:
            saver.save(step, position.curves)
        if at_kept:
            # A crash while it is handed over costs nothing then.
            saver.wait()
            if _is_asked(session, asked):
                raise _GivenUp
            kept_step(step, position.curves)
            if _is_asked(session, asked):
                raise _GivenUp


class _GivenUp(Exception):
    """Work that a stop does not wait for; weights and moments are those after the last whole step."""


def _give_up_if(asked: list[int]) -> None:
    if asked:
        raise _GivenUp


def _try_held_out(session: Session, work: Work, position: Position, bounds: Bounds) -> None:
    """The loss of the held-out rows after this step, unless it is known: a training stopped here did not take it."""
    if position.step not in bounds.tried or work.held_out is None or not position.curves:
        return
    entry = position.curves[-1]
    if entry.get("held_out_loss") is None:
        loss, divergence = held_out(session, work.held_out, bounds)
        _refuse_broken_weights(work, position.step, loss)
        entry |= {"held_out_loss": loss, "base_kl": divergence}
        if session.rank == 0:
            log.info("%s: held-out loss %.4f at step %d", work.what, entry["held_out_loss"], position.step)


def _is_asked(session: Session, asked: list[int]) -> bool:
    """Whether any process was asked to stop; every process must ask."""
    return session.sum_over_processes([float(bool(asked))])[0] > 0


def _one_step(
    session: Session, work: Work, bounds: Bounds, step: int, asked: list[int], saver: Saver
) -> tuple[dict[str, Any], bool, bool]:
    started = time.monotonic()
    rows = work.rows(step)
    micros, rows_of = _batch(session, bounds, work.tokens, rows, work.weights)
    sums = session.backward(micros)
    losses = [loss for loss, _ in sums]
    mine = [
        sum(losses),
        sum(entropy for _, entropy in sums),
        float(sum(len(m.targets) for m in micros if m.counted)),
        sum(m.tokens for m in micros if m.counted),
        float(sum(length**2 for m in micros if m.counted for length in m.lengths)),
    ]
    mine += [float(bool(asked)), saver.due()]
    total, entropy, trained, seen, squares, stop, due = session.sum_over_processes(mine)
    if not math.isfinite(total):
        bad = [row for loss, named in zip(losses, rows_of, strict=True) if not math.isfinite(loss) for row in named]
        _refuse_not_finite(session, work, step, "loss", bad)
    norm = session.apply(work.rate(step))
    if not math.isfinite(norm):
        _refuse_not_finite(session, work, step, "gradient norm", list(rows) if session.rank == 0 else [])
    entry = {
        "step": step,
        "epoch": work.epoch(step),
        "loss": total / max(trained, 1),
        "entropy": entropy / max(trained, 1),
        "grad_norm": norm,
        "lr": work.rate(step),
        "tokens": int(trained),
        "seconds": time.monotonic() - started,
        "held_out_loss": None,
        "base_kl": None,
    }
    return entry | {"seen": int(seen), "flops": session.meter.flops(seen, squares)}, stop > 0, due > 0


def _refuse_not_finite(session: Session, work: Work, step: int, what: str, bad: list[int]) -> None:
    rows = sorted({row for part in session.gather_objects(bad) for row in part})
    shown = ", ".join(map(str, rows[:_ROWS_NAMED])) + (f", … ({len(rows)} in all)" if len(rows) > _ROWS_NAMED else "")
    raise StepError(
        f"{work.what}: the {what} of step {step} is not finite; rows {shown} of its training set. The last good "
        "state is kept. Look at these rows and at the weights it started from; a lower learning rate may help"
    )


def _refuse_broken_weights(work: Work, step: int, loss: float) -> None:
    # A finite gradient can still make non-finite weights, and no later step would reveal that after the last one.
    if not math.isfinite(loss):
        raise StepError(
            f"{work.what}: the held-out loss after step {step} is not finite, so these weights are not kept. The "
            "last good state is. A lower learning rate may help"
        )


def held_out(session: Session, rows: Tokens, bounds: Bounds) -> tuple[float, float | None]:
    """Of rows that are never trained on, over their trained tokens: the mean loss, and the mean divergence from the
    base, None where some process does not hold the base.
    """
    micros = _batch(session, bounds, rows, range(len(rows)), lambda trained: [1.0] * len(trained))[0]
    loss, divergence = session.held_out_sums(micros, bounds.base())
    trained = max(1, int(rows.trained.sum()))
    return loss / trained, None if divergence is None else divergence / trained


def _note(entry: dict[str, Any], meter: Meter) -> str:
    return f"loss {entry['loss']:.3f}, norm {entry['grad_norm']:.2g}, lr {entry['lr']:.2g}, {meter.note(entry)}"


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """Signals that asked this process to stop while the block ran; a second Ctrl-C is not waited for."""
    asked: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: Any) -> None:
        if asked and number == signal.SIGINT:
            raise Stopped(signal.Signals(number).name)
        asked.append(number)
        log.warning("%s: saving, then stopping", signal.Signals(number).name)

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            # Only the main thread may set handlers, and only it receives signals.
            with contextlib.suppress(ValueError):
                before[number] = signal.signal(number, note)
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_name(asked: list[int]) -> str:
    """The signal's name, or that of another process's stop."""
    return signal.Signals(asked[0]).name if asked else "another process's stop"
