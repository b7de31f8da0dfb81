"""What graders share while a step runs: worker processes and judges, each started at its first use."""

import functools
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rsft_assets.specs.placement import Placement

if TYPE_CHECKING:
    from rsft_assets.steps.grading.code.prison import Prison
    from rsft_assets.steps.verifier.verifier import Verifier


class Tools:
    """A context manager; leaving it ends every process that was started."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self._stack = ExitStack()
        self._verifier: Verifier | None = None
        self._prison: Prison | None = None

    @property
    def verifier(self) -> "Verifier":
        if self._verifier is None:
            from rsft_assets.steps.verifier.verifier import Verifier

            self._verifier = self._stack.enter_context(Verifier(workers=self.placement.workers))
        return self._verifier

    @property
    def prison(self) -> "Prison":
        if self._prison is None:
            from rsft_assets.steps.grading.code.prison import CodeLimits, Prison
            from rsft_assets.steps.grading.code.speed import calibrated, slowness

            workers = self.placement.workers
            limits = calibrated(CodeLimits(), slowness(workers))
            self._prison = self._stack.enter_context(Prison(workers=workers, limits=limits))
        return self._prison

    @functools.cached_property
    def isolation_problem(self) -> str:
        """Why programs cannot be run here, in words; empty where they can."""
        from rsft_assets.steps.grading.code.prison import isolation_problem

        return isolation_problem()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
