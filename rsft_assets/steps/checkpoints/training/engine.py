"""DeepSpeed around one model: process group, ZeRO stage, precision, one optimizer step.

In: a model, the spec of its optimisation, a placement. Out: steps that give the same gradient to rounding,
whatever the number of processes, the micro-batches or the stage; full weights and state by name.
"""

import atexit
import datetime
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.training import Optimisation
from rsft_assets.steps.checkpoints.training.cards import warn_of_mixed
from rsft_assets.steps.checkpoints.training.gpu import Meter, allow_expandable_segments
from rsft_assets.steps.checkpoints.training.kernels import choose
from rsft_assets.steps.checkpoints.training.loss import Trainee
from rsft_assets.steps.checkpoints.training.packing import MicroBatch
from rsft_assets.steps.processes.torch_device import torch_device

MOMENTS = ("exp_avg", "exp_avg_sq")
_PATIENCE = datetime.timedelta(hours=2)
SHARED_WEIGHTS = 3
"""The ZeRO stage at which no process holds the whole model."""


def stage_of(spec: Optimisation, placement: Placement) -> int:
    """ZeRO stage; master weights live in DeepSpeed's partitioned optimizers, of which stage 1 is the plainest."""
    return max(placement.zero_stage, 1) if spec.precision == "bf16" else placement.zero_stage


def dtype_of(precision: str) -> torch.dtype:
    return torch.float32 if precision == "fp32" else torch.bfloat16


def device_of(placement: Placement, *, needs_gpu: bool = False) -> str:
    """`cuda:<n>` of this process, or `cpu`."""
    kind = torch_device(placement, needs_gpu=needs_gpu)
    if kind != "cuda":
        return kind
    number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= there:
        raise StepError(
            f"training process {number} of this machine has no GPU of its own: torch sees {there} here; set processes "
            f"= {there} in the placement, or name more GPUs in CUDA_VISIBLE_DEVICES"
        )
    return f"cuda:{number}"


def join_processes(device: str, meeting_point: Path) -> None:
    """Join the other processes of this training, by environment as torchrun sets it, else through a file.

    Once per process: DeepSpeed remembers the groups it made.
    """
    if dist.is_initialized():
        return
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    os.environ.setdefault("LOCAL_RANK", "0")
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if device.startswith("cuda") else "cpu")
    if device.startswith("cuda"):
        allow_expandable_segments()
        torch.cuda.set_device(device)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if world == 1:
        from torch._C._distributed_c10d import HashStore

        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    else:
        method = "env://" if "MASTER_ADDR" in os.environ else f"file://{meeting_point.absolute()}"
        dist.init_process_group(backend, init_method=method, rank=rank, world_size=world, timeout=_PATIENCE)
        warn_of_mixed(device)
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def quiet_deepspeed() -> Any:
    """DeepSpeed without its banners; its errors are still logged."""
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deepspeed
        import deepspeed.runtime.bf16_optimizer as bf16_optimizer

    # It calls collectives by names that torch is about to drop; once a call would be thousands of lines.
    warnings.filterwarnings("ignore", category=FutureWarning, message=r"`torch\.distributed\.\w+` is deprecated")
    # It prints memory tables whatever the log level, collecting garbage before each: two seconds in all.
    bf16_optimizer.see_memory_usage = lambda *_, **__: None
    # It would compile, at first use, a collective call that only its inference engine makes.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    # Its own logger sets its level when it is first imported.
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    return deepspeed


class Session:
    """One model under training on this process."""

    def __init__(self, model: Any, spec: Optimisation, placement: Placement, device: str) -> None:
        self.world, self.rank, self.device = dist.get_world_size(), dist.get_rank(), device
        self.model, self.spec = model, spec
        self.stage = stage_of(spec, placement)
        self.before_each: Callable[[], None] = lambda: None
        """Called before each micro-batch; what it raises gives up the batch."""
        if spec.precision == "bf16-pure" and self.stage:
            raise StepError(
                f'precision "bf16-pure" has no master weights, which ZeRO stage {self.stage} cannot do; '
                'set zero_stage = 0 in the placement, or precision = "bf16" in the schedule'
            )
        model.rows_kernel = choose(placement.attention, model, device)
        trainee = Trainee(model)
        parameters = [p for p in trainee.parameters() if p.requires_grad]
        adam = torch.optim.AdamW(
            parameters,
            lr=spec.lr,
            betas=spec.betas,
            eps=spec.eps,
            weight_decay=spec.weight_decay,
            fused=True,
        )
        deepspeed = quiet_deepspeed()
        deepspeed.init_distributed(dist_backend=dist.get_backend(), auto_mpi_discovery=False, verbose=False)
        if self.stage == SHARED_WEIGHTS:
            self._share_weights(deepspeed, trainee)
        self.engine, *_ = deepspeed.initialize(
            model=trainee, optimizer=adam, config=self._config(), dist_init_required=False
        )
        if self.stage == 0 and self.world == 1:
            # It would copy all gradients into one tensor, add up nothing, and copy them back.
            self.engine.enable_backward_allreduce = False
        self.adam = adam
        self.meter = Meter(model, device, self.world)

    def _share_weights(self, deepspeed: Any, trainee: Trainee) -> None:
        """Each process keeps its part, tensor by tensor: left to itself, DeepSpeed moves the whole model first."""
        dtype = dtype_of(self.spec.precision)
        deepspeed.zero.Init(module=trainee, config_dict_or_path=self._config(), dtype=dtype, mem_efficient_linear=False)
        for buffer in trainee.buffers():
            buffer.data = buffer.data.to(self.device)

    def _config(self) -> dict[str, Any]:
        bf16 = self.spec.precision == "bf16"
        return {
            "train_batch_size": self.world,
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            # At stage 0 DeepSpeed does not report the norm, so `apply` takes it, and clips. Left out, it is 1.
            "gradient_clipping": self.spec.clip if self.stage else 0.0,
            # On a GPU DeepSpeed knows which stages gain from overlapping; gloo has nothing to overlap with.
            "zero_optimization": {
                "stage": self.stage,
                **({} if self.device.startswith("cuda") else {"overlap_comm": False}),
            },
            "bf16": {"enabled": bf16},
            **({"data_types": {"grad_accum_dtype": "fp32"}} if bf16 else {}),
            "communication_data_type": "fp32",
            "zero_allow_untested_optimizer": True,
            "steps_per_print": 2**31,
        }

    def backward(self, micros: Sequence[MicroBatch]) -> list[tuple[float, float]]:
        """Gradients of this process's micro-batches, reduced over processes; each one's sums of loss and entropy."""
        self.engine.train()
        sums = []
        for number, micro in enumerate(self._each(micros)):
            self.engine.set_gradient_accumulation_boundary(number == len(micros) - 1)
            weighted, of_micro = self.engine(micro)
            # DeepSpeed averages over processes, and the weights already are those of the whole batch.
            self.engine.backward(weighted * self.world)
            sums.append(of_micro if micro.counted else torch.zeros_like(of_micro))
        return [(loss, entropy) for loss, entropy in (one.tolist() for one in sums)]

    def _each(self, micros: Sequence[MicroBatch]) -> Iterator[MicroBatch]:
        for micro in micros:
            self.before_each()
            yield micro

    def apply(self, rate: float) -> float:
        """One optimizer step; the gradient's norm before clipping."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        if self.stage:
            self.engine.step()
            return float(self.engine.get_global_grad_norm())
        limit = self.spec.clip or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self.engine.module.parameters(), limit))
        self.engine.step()
        return norm

    @torch.no_grad()
    def held_out_sums(self, micros: Sequence[MicroBatch], base: Trainee | None) -> tuple[float, float | None]:
        """Over all processes, without training: summed token losses, and summed KL divergence from the base, None where
        a process does not hold the base.
        """
        self.engine.eval()
        trainee: Trainee = self.engine.module
        loss = divergence = 0.0
        # Every process runs every one of its micro-batches: under ZeRO-3 each forward pass is a collective call.
        for micro in self._each(micros):
            if base is None:
                of_micro, apart = self.engine(micro)[1][0], 0.0
            else:
                hidden = trainee.chosen(micro)
                of_micro = trainee.head(hidden, micro.targets, micro.weights)[1][0]
                apart = trainee.divergence(hidden, micro, base) if micro.counted else 0.0
            loss += float(of_micro) if micro.counted else 0.0
            divergence += apart
        loss, divergence, missing = self.sum_over_processes([loss, divergence, float(base is None)])
        return loss, None if missing else divergence

    def sum_over_processes(self, values: Sequence[float]) -> list[float]:
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return list(tensor.tolist())

    def gather_objects(self, value: Any) -> list[Any]:
        """One value of each process, on every process."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()

    def named_parameters(self) -> list[tuple[str, torch.nn.Parameter]]:
        """Under the names that a saved model gives them; shared ones once."""
        return [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
