"""Drawing the next token of many rows at once, each row with its own sampling and its own random stream.

`draw` turns logits into tokens: penalties, temperature, top-k, min-p, top-p, in vLLM's order. The chance
comes in as one uniform number per row, so a row's text does not depend on the rows beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rsft_assets.specs.responses import Sampling

_GREEDY_BELOW = 1e-5


@dataclass
class Rows:
    """The sampling of each row, as columns."""

    temperature: Tensor
    top_p: Tensor
    top_k: Tensor
    min_p: Tensor
    presence: Tensor
    frequency: Tensor

    @classmethod
    def of(cls, samplings: Sequence[Sampling], device: str) -> "Rows":
        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)

        return cls(
            temperature=column([s.temperature for s in samplings]),
            top_p=column([s.top_p for s in samplings]),
            top_k=column([s.top_k if s.top_k > 0 else 0 for s in samplings]),
            min_p=column([s.min_p for s in samplings]),
            presence=column([s.presence_penalty for s in samplings]),
            frequency=column([s.frequency_penalty for s in samplings]),
        )

    @property
    def penalised(self) -> bool:
        return bool((self.presence != 0).any() or (self.frequency != 0).any())

    def select(self, keep: Tensor) -> "Rows":
        return Rows(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})

    def extend(self, other: "Rows") -> "Rows":
        return Rows(
            **{name: torch.cat([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__}
        )


def draw(logits: Tensor, rows: Rows, uniform: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor]:
    """(token, its log-probability under the unbent distribution) of each row.

    `uniform` holds one number in [0, 1) per row; `counts` how often each row has drawn each token.
    """
    logits = logits.float()
    logprobs = torch.log_softmax(logits, dim=-1)
    if counts is not None:
        logits = logits - rows.presence * (counts > 0) - rows.frequency * counts
    greedy = rows.temperature < _GREEDY_BELOW
    chosen = logits.argmax(dim=-1, keepdim=True)
    if not bool(greedy.all()):
        probs = torch.softmax(logits / rows.temperature.clamp_min(_GREEDY_BELOW), dim=-1)
        # A token that alone fills top-p is drawn whatever the chance; most are, and sorting is most of the work.
        alone = (rows.top_p > 0.5) & (rows.top_p < 1) & (probs.amax(dim=-1, keepdim=True) >= rows.top_p)
        undecided = (~(greedy | alone)).squeeze(1).nonzero().squeeze(1)
        if len(undecided):
            chosen[undecided] = _pick(*_keep(probs[undecided], rows.select(undecided)), uniform[undecided])
    return chosen.squeeze(1), logprobs.gather(1, chosen).squeeze(1)


def _keep(probs: Tensor, rows: Rows) -> tuple[Tensor, Tensor | None]:
    """Probabilities with what is cut off at zero, and the tokens they belong to (None: in order)."""
    sorting = bool((rows.top_p < 1).any() or (rows.top_k > 0).any())
    if not sorting:
        return _above_min_p(probs, rows), None
    probs, tokens = torch.sort(probs, dim=-1, descending=True, stable=True)
    probs = _above_min_p(probs, rows)
    rank = torch.arange(probs.shape[1], device=probs.device)
    k = torch.where(rows.top_k > 0, rows.top_k, float(probs.shape[1]))
    probs = probs * (rank < k)
    before = probs.cumsum(dim=-1) - probs
    # The first token always stays; top-p is a share of what top-k and min-p have left.
    return probs * ((before < rows.top_p * probs.sum(dim=-1, keepdim=True)) | (rank == 0)), tokens


def _above_min_p(probs: Tensor, rows: Rows) -> Tensor:
    if not bool((rows.min_p > 0).any()):
        return probs
    return probs * (probs >= rows.min_p * probs.amax(dim=-1, keepdim=True))


def _pick(probs: Tensor, tokens: Tensor | None, uniform: Tensor) -> Tensor:
    """Inverse of the cumulative distribution at `uniform`."""
    cumulative = probs.cumsum(dim=-1)
    target = uniform.unsqueeze(1) * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, target, right=True).clamp_max(probs.shape[1] - 1)
    # Rounding may land on a token that was cut off; the nearest kept one below it is meant.
    last_kept = (probs > 0).float().cumsum(dim=-1).argmax(dim=-1, keepdim=True)
    index = torch.minimum(index, last_kept)
    return index if tokens is None else tokens.gather(1, index)
