"""Schedules and runs: how long, how fast, on what, from which base.

Names are derived from the fields, as the authors named their repositories, so a name always matches its run.
"""

import math
from dataclasses import dataclass
from typing import Literal

from rsft_assets.specs.hub import Hub

GRID = (10, 20, 40, 80, 160, 320, 480, 640, 800, 960, 1120, 1280)
"""Optimizer steps at which the paper keeps checkpoints; 0, the base model, always belongs to it."""


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """AdamW and its learning rate, for fine-tuning and pretraining alike."""

    lr: float
    decay: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    """Share of all steps, rounded down; constant schedules warm up too.

    The rate of step 1 is 0, and step k has the schedule's rate of k - 1: the authors' trainer advances the schedule
    after each step. (The rate that it logs is the next step's.)
    """
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip: float = 1.0
    precision: Literal["bf16", "bf16-pure", "fp32"] = "bf16"
    """The same on a CPU and a GPU. bf16 keeps fp32 master weights; bf16-pure is the authors' choice, without them."""


@dataclass(frozen=True, kw_only=True)
class Schedule(Optimisation):
    """Everything that decides a run's weights apart from model, data and seed."""

    epochs: float
    batch_size: int
    loss: Literal["token-mean", "authors"] = "token-mean"
    """Weight of each token: global mean over the batch, or the authors' sum of micro-batch means."""
    order: Literal["shuffled", "file"] = "shuffled"
    """Rows reshuffled every epoch from the run's seed; or the same order every epoch: that of the file for seed 1, one
    permutation of it for each other seed."""
    grid: tuple[int, ...] = GRID
    """Steps whose weights are kept; those past the end are left out, the last step always belongs."""
    title: str = ""
    """What people read in place of the name, such as `Setting 1`; no two schedules of a study share one."""

    @property
    def name(self) -> str:
        constant = "_constlr" if self.decay == "constant" else ""
        pure = "_bf16-pure" if self.precision == "bf16-pure" else ""
        return f"lr{short_float(self.lr)}_ep{self.epochs:g}_bs{self.batch_size}{constant}{pure}"

    @property
    def words(self) -> str:
        """`lr1e-4_ep8_bs16` -> "8 epochs, batch 16, rate 1e-4"."""
        text = f"{self.epochs:g} epoch{'' if self.epochs == 1 else 's'}, batch {self.batch_size}, "
        text += f"rate {short_float(self.lr)}{', constant' if self.decay == 'constant' else ''}"
        return text + (", pure bf16" if self.precision == "bf16-pure" else "")

    def total_steps(self, rows: int) -> int:
        return math.ceil(rows // self.batch_size * self.epochs)

    def kept_steps(self, rows: int) -> tuple[int, ...]:
        """Steps of the grid that this schedule reaches on a set of `rows` rows, 0 and the last included."""
        last = self.total_steps(rows)
        return (0, *sorted({step for step in self.grid if 0 < step < last}), last)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run: a row of the paper's list of 33, or one's own."""

    model: str
    dataset: str
    schedule: Schedule
    seed: int = 1
    max_length: int = 20_000
    """Prompt and response together; longer rows lose their tail, counted and shown."""
    authors_micro_batch: int = 4
    """Rows in one micro-batch of the authors' 8 GPUs; it weighs tokens where loss is `authors`."""
    published: Hub | None = None
    """A repository with this run's checkpoints in folders `step<N>`."""
    adopt: bool = False
    """Use the published checkpoints instead of training."""
    description: str = ""

    @property
    def name(self) -> str:
        repeat = "" if self.seed == 1 else f"_seed{self.seed}"
        return f"{self.model}_{self.dataset}_{self.schedule.name}{repeat}"

    @property
    def short_name(self) -> str:
        """The name without the model, for Dagster's UI, which cuts long keys in the middle: `5e-5_8x256_math-cot-20k`.

        Rate (`c`: constant; `p`: bf16-pure; `s2`: seed 2), epochs x batch, training set. The first two hold no `_`, so
        two runs of a model share a short name only if they share the name, which a study refuses.
        """
        constant = "c" if self.schedule.decay == "constant" else ""
        pure = "p" if self.schedule.precision == "bf16-pure" else ""
        repeat = "" if self.seed == 1 else f"s{self.seed}"
        size = f"{self.schedule.epochs:g}x{self.schedule.batch_size}"
        return f"{short_float(self.schedule.lr)}{constant}{pure}{repeat}_{size}_{self.dataset}"


def short_float(value: float) -> str:
    """0.00005 -> 5e-5, as run names spell it."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
