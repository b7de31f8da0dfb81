"""The weight of each row's tokens in the loss, computed from the spec and independent of the hardware.

In: number of trained tokens of each row of a batch, in batch order. Out: one weight per row; the batch's
loss is the sum over rows of weight x summed token losses, whoever computes which row.
"""

from collections.abc import Sequence

from rsft_assets.specs.errors import StepError

AUTHORS_RANKS = 8
"""GPUs of the authors' machine."""


def row_weights(loss: str, trained: Sequence[int], micro_batch: int) -> list[float]:
    """`token-mean`: one over the batch's tokens; `authors`: what 8 GPUs and their micro-batches make of it."""
    if loss == "token-mean":
        total = sum(trained)
        return [1.0 / total if total else 0.0] * len(trained)
    if len(trained) % AUTHORS_RANKS:
        raise StepError(
            f"batch_size {len(trained)} does not divide over the {AUTHORS_RANKS} GPUs whose arithmetic "
            f'loss = "authors" repeats; use a multiple of {AUTHORS_RANKS}, or loss = "token-mean"'
        )
    groups = [authors_micro_batch_of(place, micro_batch) for place in range(len(trained))]
    tokens: dict[tuple[int, int], int] = {}
    for group, count in zip(groups, trained, strict=True):
        tokens[group] = tokens.get(group, 0) + count
    # A mean inside each micro-batch, a sum over a GPU's micro-batches, a mean over GPUs.
    return [1.0 / (AUTHORS_RANKS * tokens[group]) if tokens[group] else 0.0 for group in groups]


def authors_micro_batch_of(place: int, micro_batch: int) -> tuple[int, int]:
    """(GPU, micro-batch) that the authors' sampler gives a place in the batch: GPUs take rows in turn."""
    return place % AUTHORS_RANKS, place // AUTHORS_RANKS // micro_batch
