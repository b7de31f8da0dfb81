"""What graders share while a step runs: worker processes and judges, each started at its first use."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING

from rsft_assets.specs.placement import Placement
from rsft_assets.steps.processes.closing import Closing

if TYPE_CHECKING:
    from rsft_assets.steps.scores.grading.judges import Judge, Question
    from rsft_assets.steps.scores.grading.task import Sample
    from rsft_assets.steps.scores.sandbox.pool import SandboxPool
    from rsft_assets.steps.verdicts.verifier.verifier import Verifier


class Tools(Closing):
    """A context manager; leaving it ends every process that was started."""

    def __init__(self, placement: Placement, home: Path | None = None) -> None:
        self.placement = placement
        self.judges: dict[tuple[str, str], Judge] = {}
        self._home = home
        self._stack = ExitStack()

    @cached_property
    def verifier(self) -> "Verifier":
        from rsft_assets.steps.verdicts.verifier.verifier import Verifier

        return self._stack.enter_context(Verifier(workers=self.placement.workers))

    @cached_property
    def sandbox(self) -> "SandboxPool":
        from rsft_assets.steps.scores.sandbox.pool import SandboxPool

        return self._stack.enter_context(SandboxPool(workers=self.placement.workers))

    def judge(self, role: str, benchmark: str) -> "Judge":
        """The judge in a role, with what it said of this benchmark before."""
        from rsft_assets.specs.judges import judge_specs
        from rsft_assets.steps.scores.grading.judges import Judge

        if (role, benchmark) not in self.judges:
            if self._home is None:
                raise ValueError("judgements are stored under RSFT_HOME; give Tools its folder")
            judge = Judge(judge_specs()[role], self._home / "judgements" / benchmark)
            self.judges[(role, benchmark)] = self._stack.enter_context(judge)
        return self.judges[(role, benchmark)]

    def replies(
        self, benchmark: str, asked: "Mapping[str, Callable[[Sample], Question | None]]", samples: "Iterable[Sample]"
    ) -> Iterator[dict[str, str | None]]:
        """For each sample, in order, the raw reply of each role to what `asked` puts to it; None where that is None."""
        replies = [
            self.judge(role, benchmark).replies(map(question, stream))
            for (role, question), stream in zip(asked.items(), tee(samples, len(asked)), strict=True)
        ]
        for of_sample in zip(*replies, strict=True):
            yield dict(zip(asked, of_sample, strict=True))

    def judges_of(self, benchmark: str) -> dict[str, str]:
        """Who judged a benchmark: role and pinned name."""
        return {role: judge.spec.model for (role, name), judge in self.judges.items() if name == benchmark}

    def judging_of(self, benchmark: str) -> dict[str, dict[str, int]]:
        """What its judges were asked so far, by role: judgements and their tokens; stored ones cost nothing."""
        judges_here = {role: judge for (role, name), judge in self.judges.items() if name == benchmark}
        return {role: {"asked": judge.asked, "tokens": judge.tokens} for role, judge in judges_here.items()}

    def close(self) -> None:
        self._stack.close()
