"""Which rows a step trains on and how fast: pure functions of spec and step, so nothing depends on a loader's state.

In: schedule, seed, number of rows, step (from 1). Out: rows of the training set; learning-rate factor.
"""

import functools
import hashlib
import math

from rsft_assets.specs.training import Optimisation, Schedule


def epoch_of(schedule: Schedule, rows: int, step: int) -> int:
    """Epoch, from 0, that a step belongs to; rows that do not fill a batch are left out of each epoch."""
    return (step - 1) // (rows // schedule.batch_size)


def rows_of_step(schedule: Schedule, seed: int, rows: int, step: int) -> list[int]:
    """The rows of one batch, in their places."""
    place = (step - 1) % (rows // schedule.batch_size) * schedule.batch_size
    if schedule.order == "file" and seed == 1:
        return list(range(place, place + schedule.batch_size))
    epoch = 0 if schedule.order == "file" else epoch_of(schedule, rows, step)
    return list(_shuffled(seed, epoch, rows)[place : place + schedule.batch_size])


@functools.lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, rows: int) -> tuple[int, ...]:
    # Sorting by a hash gives the same order under every version of every library.
    def key(row: int) -> bytes:
        return hashlib.blake2b(f"{seed}/{epoch}/{row}".encode(), digest_size=16).digest()

    return tuple(sorted(range(rows), key=key))


def warmup_steps(schedule: Optimisation, total_steps: int) -> int:
    return int(schedule.warmup * total_steps)


def learning_rate(schedule: Optimisation, total_steps: int, step: int) -> float:
    """Rate of one step; as in the authors' trainer the first of a warm-up is 0, and the last is not quite."""
    before = step - 1
    warmup = warmup_steps(schedule, total_steps)
    if before < warmup:
        return schedule.lr * before / warmup
    if schedule.decay == "constant":
        return schedule.lr
    share = (before - warmup) / max(1, total_steps - warmup)
    return schedule.lr * 0.5 * (1.0 + math.cos(math.pi * share))
