"""Weighted cross-entropy that never holds all logits: chunks of tokens, their gradient worked out at once.

In: hidden states of trained tokens, output matrix, targets, weights. Out: (weighted sum of token losses, plain sums
over tokens for the curves: of the loss and, where there is a gradient, of the entropy of the next token).
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
        sums = torch.zeros(2, dtype=torch.float32, device=hidden.device)
        to_hidden = torch.empty_like(hidden) if wanted else None
        to_matrix = torch.zeros(matrix.shape, dtype=torch.float32, device=matrix.device) if wanted else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = (hidden[part] @ matrix.T).float()
            normaliser = torch.logsumexp(logits, dim=-1)
            target = targets[part].unsqueeze(1)
            losses = normaliser - logits.gather(1, target).squeeze(1)
            weighted += (losses * weights[part]).sum()
            sums[0] += losses.sum()
            if to_hidden is None or to_matrix is None:
                continue
            slope = logits.sub_(normaliser.unsqueeze(1)).exp()
            sums[1] -= torch.linalg.vecdot(slope, logits).sum()
            del logits
            slope.scatter_add_(1, target, torch.full_like(target, -1, dtype=slope.dtype))
            slope = slope.mul_(weights[part].unsqueeze(1)).to(hidden.dtype)
            to_hidden[part] = slope @ matrix
            to_matrix += slope.T @ hidden[part]
        ctx.mark_non_differentiable(sums)
        ctx.dtype = matrix.dtype
        ctx.save_for_backward(to_hidden, to_matrix)
        return weighted, sums

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
        """(weighted loss, sums of loss and entropy) of a `packing.MicroBatch`."""
        loss: tuple[torch.Tensor, torch.Tensor] = self.head(
            self.hidden(micro).index_select(0, micro.chosen), micro.targets, micro.weights
        )
        return loss

    def divergence(self, micro: Any, base: "Trainee") -> float:
        """KL divergence of the next token from the base model's, in nats, summed over the trained tokens."""
        ours, theirs = (one.hidden(micro).index_select(0, micro.chosen) for one in (self, base))
        chunk = max(1, CHUNK_LOGITS // 2 // self.head.weight.shape[0])
        total = 0.0
        for start in range(0, len(ours), chunk):
            mine, other = (
                torch.log_softmax((hidden[start : start + chunk] @ head.weight.T).float(), dim=-1)
                for hidden, head in ((ours, self.head), (theirs, base.head))
            )
            total += float(nn.functional.kl_div(other, mine, reduction="sum", log_target=True))
        return total

    def hidden(self, micro: Any) -> torch.Tensor:
        """Last hidden states, (tokens, size), padding included."""
        extra = {"rows": Rows(micro.lengths, micro.input_ids.device, self.model.rows_kernel)} if micro.packed else {}
        out = self.model.base_model(
            input_ids=micro.input_ids, position_ids=micro.position_ids, use_cache=False, **extra
        )
        hidden: torch.Tensor = out.last_hidden_state
        return hidden.flatten(0, 1)
