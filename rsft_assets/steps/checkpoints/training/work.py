"""What is trained, as pure functions of the step: a run on its training set, or a mixture from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsft_assets.specs.models import Pretraining
from rsft_assets.specs.training import Run
from rsft_assets.steps.checkpoints.training import order
from rsft_assets.steps.checkpoints.training.text import Tokens
from rsft_assets.steps.checkpoints.training.weights import row_weights


@dataclass
class FineTuning:
    """A run: batches of its schedule's order, weighted as its schedule says."""

    run: Run
    tokens: Tokens
    held_out: Tokens | None = None

    @property
    def what(self) -> str:
        return self.run.name

    @property
    def total_steps(self) -> int:
        return self.run.schedule.total_steps(len(self.tokens))

    def rows(self, step: int) -> list[int]:
        return order.rows_of_step(self.run.schedule, self.run.seed, len(self.tokens), step)

    def rate(self, step: int) -> float:
        return order.learning_rate(self.run.schedule, self.total_steps, step)

    def weights(self, trained: Sequence[int]) -> list[float]:
        return row_weights(self.run.schedule.loss, trained, self.run.authors_micro_batch)

    def epoch(self, step: int) -> float:
        return step / (len(self.tokens) // self.run.schedule.batch_size)


@dataclass
class FromScratch:
    """Documents in their order, as many a step as fill its token count; each is seen once."""

    name: str
    spec: Pretraining
    tokens: Tokens
    held_out: Tokens | None = None

    def __post_init__(self) -> None:
        # Step k ends with the document that crosses k times the step's tokens.
        marks = np.arange(1, self.spec.steps + 1) * self.spec.batch_tokens
        self._ends = np.minimum(np.searchsorted(self.tokens.ends, marks) + 1, len(self.tokens))

    @property
    def what(self) -> str:
        return self.name

    def rows(self, step: int) -> list[int]:
        start = int(self._ends[step - 2]) if step > 1 else 0
        return list(range(start, int(self._ends[step - 1])))

    def rate(self, step: int) -> float:
        return order.learning_rate(self.spec, self.spec.steps, step)

    def weights(self, trained: Sequence[int]) -> list[float]:
        return row_weights("token-mean", trained, 1)

    def epoch(self, step: int) -> float:
        return step / self.spec.steps


Work = FineTuning | FromScratch
