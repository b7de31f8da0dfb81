"""Weighted cross-entropy that never holds all logits: chunks of tokens, their gradient worked out at once.

In: hidden states of trained tokens, output matrix, targets, weights. Out: (weighted sum of token losses, plain sums
over tokens for the curves: of the loss and, where there is a gradient, of the entropy of the next token).
"""

from typing import Any

import torch
from torch import nn

from rsft_assets.steps.checkpoints.training.attention import Rows

CHUNK_BYTES = 2**30
"""Of the logits of one chunk and their gradient, on a CPU and where a GPU's memory is short."""
LOGIT_BYTES = 8
"""Of one logit and its gradient in fp32, where PyTorch computes them operation by operation."""
_GPU_PART = 16
"""Elsewhere a chunk takes at most this part of a GPU's memory: mostly it holds a micro-batch."""
_PIECE_LOGITS = 2**30
"""Elements that compiled code is given at once: 32 bits count them, which is faster."""

Elements = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
"""Of one chunk: the loss of each token, and where they are wanted the summed entropy and the slope of the logits."""


def chunk_logits(gpu: int | None, recompute: float, logit_bytes: int) -> int:
    """Logits of one chunk, by the memory of the GPU, which is short where all layers are computed again."""
    return (CHUNK_BYTES if gpu is None or recompute == 1 else max(CHUNK_BYTES, gpu // _GPU_PART)) // logit_bytes


def plain_elements(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, sloped: bool) -> Elements:
    """Operation by operation, in fp32."""
    kind, logits = logits.dtype, logits.float()
    normaliser = torch.logsumexp(logits, dim=-1)
    target = targets.unsqueeze(1)
    losses = normaliser - logits.gather(1, target).squeeze(1)
    if not sloped:
        return losses, None, None
    slope = logits.sub_(normaliser.unsqueeze(1)).exp()
    entropy = -torch.linalg.vecdot(slope, logits).sum()
    del logits
    slope.scatter_add_(1, target, torch.full_like(target, -1, dtype=slope.dtype))
    return losses, entropy, slope.mul_(weights.unsqueeze(1)).to(kind)


def _of_tokens(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """To be compiled: (losses, normalisers, entropies), without logits in fp32."""
    exact = logits.float()
    normaliser = torch.logsumexp(exact, dim=-1, keepdim=True)
    losses = (normaliser - exact.gather(1, targets.unsqueeze(1))).squeeze(1)
    log_share = exact - normaliser
    return losses, normaliser, -(log_share.exp() * log_share).sum(dim=-1)


def _overwrite(logits: torch.Tensor, normaliser: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> None:
    """To be compiled: logits become their slope. With `_of_tokens` in one graph, the compiler would copy them."""
    share = (logits.float() - normaliser).exp()
    chosen = torch.arange(logits.shape[1], device=logits.device) == targets.unsqueeze(1)
    logits.copy_(torch.where(chosen, share - 1, share) * weights.unsqueeze(1))


def compiled_elements() -> Any:
    """`plain_elements` by compiled code, over the logits themselves."""
    of_tokens: Any = torch.compile(_of_tokens, dynamic=True)
    overwrite: Any = torch.compile(_overwrite, dynamic=True)

    def elements(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, sloped: bool) -> Elements:
        piece = max(1, _PIECE_LOGITS // logits.shape[1])
        losses, entropy = torch.empty_like(weights), torch.zeros_like(weights[0])
        for start in range(0, len(logits), piece):
            part = slice(start, start + piece)
            losses[part], normaliser, entropies = of_tokens(logits[part], targets[part])
            entropy += entropies.sum()
            if sloped:
                overwrite(logits[part], normaliser, targets[part], weights[part])
        return losses, entropy if sloped else None, logits if sloped else None

    return elements


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        matrix: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        chunk: int,
        elements: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = hidden.requires_grad or matrix.requires_grad
        weighted = torch.zeros((), dtype=torch.float32, device=hidden.device)
        sums = torch.zeros(2, dtype=torch.float32, device=hidden.device)
        to_hidden = torch.empty_like(hidden) if wanted else None
        # The gradients of several chunks are added up in fp32. Uncompiled, so is that of one: zeros keep their signs.
        summed = wanted and (elements is plain_elements or not 0 < len(hidden) <= chunk)
        to_matrix = torch.zeros(matrix.shape, dtype=torch.float32, device=matrix.device) if summed else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            losses, entropy, slope = elements(hidden[part] @ matrix.T, targets[part], weights[part], wanted)
            weighted += (losses * weights[part]).sum()
            sums[0] += losses.sum()
            if to_hidden is None:
                continue
            sums[1] += entropy
            to_hidden[part] = slope @ matrix
            product = slope.T @ hidden[part]
            to_matrix = product if to_matrix is None else to_matrix.add_(product)
            del slope, product
        ctx.mark_non_differentiable(sums)
        ctx.dtype = matrix.dtype
        ctx.save_for_backward(to_hidden, to_matrix)
        return weighted, sums

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_hidden, to_matrix = ctx.saved_tensors
        of_hidden, of_matrix = to_hidden * grads[0].to(to_hidden.dtype), (to_matrix * grads[0]).to(ctx.dtype)
        return of_hidden, of_matrix, None, None, None, None


class LossHead(nn.Module):
    """The output matrix as a module of its own, so that ZeRO-3 gathers it where the loss is computed."""

    def __init__(self, matrix: nn.Parameter) -> None:
        super().__init__()
        self.weight = matrix
        self.elements: Any = plain_elements
        self.recompute = 0.0
        """Share of the layers that are computed again."""

    def forward(
        self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logit_bytes = LOGIT_BYTES if self.elements is plain_elements else hidden.itemsize
        gpu = torch.cuda.get_device_properties(hidden.device).total_memory if hidden.is_cuda else None
        chunk = max(1, chunk_logits(gpu, self.recompute, logit_bytes) // self.weight.shape[0])
        function: Any = _ChunkedLoss.apply
        loss: tuple[torch.Tensor, torch.Tensor] = function(hidden, self.weight, targets, weights, chunk, self.elements)
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
        loss: tuple[torch.Tensor, torch.Tensor] = self.head(self.chosen(micro), micro.targets, micro.weights)
        return loss

    def divergence(self, ours: torch.Tensor, micro: Any, base: "Trainee") -> float:
        """KL divergence of the next token from the base model's, in nats, summed over the trained tokens.

        `ours` are this model's hidden states there.
        """
        theirs = base.chosen(micro)
        chunk = max(1, CHUNK_BYTES // LOGIT_BYTES // 2 // self.head.weight.shape[0])
        total = 0.0
        for start in range(0, len(ours), chunk):
            mine, other = (
                torch.log_softmax((hidden[start : start + chunk] @ head.weight.T).float(), dim=-1)
                for hidden, head in ((ours, self.head), (theirs, base.head))
            )
            total += float(nn.functional.kl_div(other, mine, reduction="sum", log_target=True))
        return total

    def chosen(self, micro: Any) -> torch.Tensor:
        """Last hidden states that predict trained tokens, (tokens, size)."""
        return self.hidden(micro).index_select(0, micro.chosen)

    def hidden(self, micro: Any) -> torch.Tensor:
        """Last hidden states, (tokens, size), padding included."""
        extra = {"rows": Rows(micro.lengths, micro.input_ids.device, self.model.rows_kernel)} if micro.packed else {}
        out = self.model.base_model(
            input_ids=micro.input_ids, position_ids=micro.position_ids, use_cache=False, **extra
        )
        hidden: torch.Tensor = out.last_hidden_state
        return hidden.flatten(0, 1)
