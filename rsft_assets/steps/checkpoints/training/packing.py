"""Rows of a batch into micro-batches of a token budget, spread evenly over processes.

In: row lengths, budget, number of processes. Out: for each process, the same number of micro-batches,
each a list of places in the batch; every process computes the same plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

IGNORED = 0


def plan(lengths: Sequence[int], budget: int, processes: int, *, packed: bool = True) -> list[list[list[int]]]:
    """Micro-batches by process. A row longer than the budget stands alone; some may be empty, to keep step."""
    bins = _pack(lengths, budget) if packed else _pad(lengths, budget)
    bins = _split(bins, processes)
    size = [sum(lengths[place] for place in places) for places in bins]
    # Every process runs as many forward passes as the others: under ZeRO-3 each pass is a collective call.
    rounds = -(-len(bins) // processes)
    shares: list[list[list[int]]] = [[] for _ in range(processes)]
    load = [0] * processes
    # Largest first, to the least loaded process: a step takes as long as its slowest process.
    for index in sorted(range(len(bins)), key=lambda i: (-size[i], i)):
        rank = min((r for r in range(processes) if len(shares[r]) < rounds), key=lambda r: (load[r], r))
        shares[rank].append(bins[index])
        load[rank] += size[index]
    for share in shares:
        share += [[] for _ in range(rounds - len(share))]
    return shares


def _longest_first(lengths: Sequence[int]) -> list[int]:
    # Ties by place: every process must compute the same plan.
    return sorted((p for p, length in enumerate(lengths) if length), key=lambda p: (-lengths[p], p))


def _pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """First fit, longest rows first: short rows then fill what long ones leave over."""
    bins: list[list[int]] = []
    room: list[int] = []
    for place in _longest_first(lengths):
        length = lengths[place]
        index = next((i for i, free in enumerate(room) if free >= length), None)
        if index is None:
            bins.append([place])
            room.append(budget - length)
        else:
            bins[index].append(place)
            room[index] -= length
    return bins or [[]]


def _pad(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Rows of like length together: each micro-batch is as wide as its longest row."""
    bins: list[list[int]] = []
    for place in _longest_first(lengths):
        if bins and (len(bins[-1]) + 1) * lengths[bins[-1][0]] <= budget:
            bins[-1].append(place)
        else:
            bins.append([place])
    return bins or [[]]


def _split(bins: list[list[int]], processes: int) -> list[list[int]]:
    """Halve the fullest micro-batch until each process has one, so that none is idle."""
    bins = list(bins)
    while len(bins) < processes and max(map(len, bins)) > 1:
        widest = max(range(len(bins)), key=lambda i: (len(bins[i]), -i))
        places = bins.pop(widest)
        bins += [places[0::2], places[1::2]]
    return bins


@dataclass(frozen=True)
class MicroBatch:
    """What one forward pass takes. The last token of a row is only ever a target."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    lengths: tuple[int, ...]
    """Of its rows, in order; packed rows follow each other in one line, others have a padded line each."""
    packed: bool
    chosen: torch.Tensor
    """Flat positions whose next token is trained."""
    targets: torch.Tensor
    weights: torch.Tensor
    counted: bool = True
    """False for the stand-in of a process that has no row left."""

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


def micro_batch(
    rows: Sequence[np.ndarray], prompts: Sequence[int], weights: Sequence[float], *, packed: bool = True, device: str
) -> MicroBatch:
    """Tensors of some rows: token ids with their prompt's length and the weight of their trained tokens."""
    counted = bool(rows)
    if not counted:
        # A process without a row still takes part in every collective call.
        rows, prompts, weights = [np.zeros(2, dtype=np.int64)], [1], [0.0]
    lengths = tuple(len(row) - 1 for row in rows)
    width = max(lengths)
    starts = np.cumsum((0, *lengths[:-1])) if packed else np.arange(len(rows)) * width
    ids = np.full((sum(lengths) if packed else width * len(rows)), IGNORED, dtype=np.int64)
    positions = np.zeros_like(ids) if packed else np.tile(np.arange(width), len(rows))
    chosen, targets, each = [], [], []
    for row, prompt, weight, start, length in zip(rows, prompts, weights, starts, lengths, strict=True):
        ids[start : start + length] = row[:-1]
        # Positions restart in each row, as if it were alone.
        positions[start : start + length] = np.arange(length)
        # A token is predicted at the position before it, the first response token by the last one of the prompt.
        first = max(prompt, 1)
        chosen.append(np.arange(first - 1, length) + start)
        targets.append(row[first:].astype(np.int64))
        each.append(np.full(len(targets[-1]), weight))
    shape = (1, -1) if packed else (len(rows), width)

    def tensor(array: np.ndarray, kind: torch.dtype) -> torch.Tensor:
        return torch.from_numpy(array).to(device=device, dtype=kind, non_blocking=True)

    return MicroBatch(
        input_ids=tensor(ids.reshape(shape), torch.int64),
        position_ids=tensor(positions.reshape(shape), torch.int64),
        lengths=lengths,
        packed=packed,
        chosen=tensor(np.concatenate(chosen), torch.int64),
        targets=tensor(np.concatenate(targets), torch.int64),
        weights=tensor(np.concatenate(each), torch.float32),
        counted=counted,
    )
