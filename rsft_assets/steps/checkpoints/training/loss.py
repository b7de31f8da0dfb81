"""Weighted cross-entropy that never holds all logits: chunks of tokens, their gradient worked out at once.

In: hidden states of trained tokens, output matrix, targets, weights. Out: (weighted sum of token losses,
plain sum of token losses for the curves).
"""

from typing import Any

import torch
from torch import nn

from rsft_assets.steps.checkpoints.training.attention import Rows

CHUNK_LOGITS = 2**27
"""Logits held at once: half a gigabyte in fp32."""


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, matrix: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, chunk: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = hidden.requires_grad or matrix.requires_grad
        weighted = torch.zeros((), dtype=torch.float32, device=hidden.device)
        plain = torch.zeros_like(weighted)
        to_hidden = torch.empty_like(hidden) if wanted else None
        to_matrix = torch.zeros(matrix.shape, dtype=torch.float32, device=matrix.device) if wanted else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = (hidden[part] @ matrix.T).float()
            normaliser = torch.logsumexp(logits, dim=-1)
            target = targets[part].unsqueeze(1)
            losses = normaliser - logits.gather(1, target).squeeze(1)
            weighted += (losses * weights[part]).sum()
            plain += losses.sum()
            if to_hidden is None or to_matrix is None:
                continue
            slope = logits.sub_(normaliser.unsqueeze(1)).exp_()
            slope.scatter_add_(1, target, torch.full_like(target, -1, dtype=slope.dtype))
            slope = slope.mul_(weights[part].unsqueeze(1)).to(hidden.dtype)
            to_hidden[part] = slope @ matrix
            to_matrix += slope.T @ hidden[part]
        ctx.mark_non_differentiable(plain)
        ctx.dtype = matrix.dtype
        ctx.save_for_backward(to_hidden, to_matrix)
        return weighted, plain

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_hidden, to_matrix = ctx.saved_tensors
        return to_hidden * grads[0].to(to_hidden.dtype), (to_matrix * grads[0]).to(ctx.dtype), None, None, None


class LossHead(nn.Module):
    """The output matrix as a module of its own, so that ZeRO-3 gathers it where the loss is computed."""

    def __init__(self, matrix: nn.Parameter) -> None:
        super().__init__()
        self.weight = matrix

    def forward(
        self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        chunk = max(1, CHUNK_LOGITS // self.weight.shape[0])
        function: Any = _ChunkedLoss.apply
        loss: tuple[torch.Tensor, torch.Tensor] = function(hidden, self.weight, targets, weights, chunk)
        return loss


class Trainee(nn.Module):
    """A causal language model and its loss as the one module that DeepSpeed wraps."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        output = model.get_output_embeddings()
        if getattr(output, "bias", None) is not None:
            raise ValueError("an output layer with a bias is not supported")
        self.head = LossHead(output.weight)

    def forward(self, micro: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """(weighted loss, summed loss) of a `packing.MicroBatch`."""
        loss: tuple[torch.Tensor, torch.Tensor] = self.head(
            self.hidden(micro).index_select(0, micro.chosen), micro.targets, micro.weights
        )
        return loss

    def hidden(self, micro: Any) -> torch.Tensor:
        """Last hidden states, (tokens, size), padding included."""
        extra = {"rows": Rows(micro.lengths, micro.input_ids.device)} if micro.packed else {}
        out = self.model.base_model(
            input_ids=micro.input_ids, position_ids=micro.position_ids, use_cache=False, **extra
        )
        hidden: torch.Tensor = out.last_hidden_state
        return hidden.flatten(0, 1)
