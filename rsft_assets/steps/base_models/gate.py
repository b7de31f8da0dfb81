"""The gate that a base model of the nano study must pass: levels of skills that `probes` has measured.

    refuse_below(levels, gate, "nano-300k")

Apart from `probes`, so that a model that was measured before needs no engine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsft_assets.specs.errors import StepError


@dataclass(frozen=True)
class Level:
    """Right answers among those asked for."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        return self.right / self.asked


def refuse_below(levels: Mapping[str, Level], gate: Sequence[tuple[str, float]], model: str) -> None:
    """Stop where a skill is below the level that the study needs, or was not measured."""
    unknown = [name for name, _ in gate if name not in levels]
    if unknown:
        raise StepError(
            f"base_models/{model}: {', '.join(unknown)} was not measured when it was made; make it again with --force"
        )
    short = [(name, least) for name, least in gate if levels[name].share < least]
    if short:
        missed = "; ".join(
            f"{name} {levels[name].right} of {levels[name].asked} ({levels[name].share:.0%}, needs {least:.0%})"
            for name, least in short
        )
        raise StepError(
            f"base_models/{model} did not reach the skills that the study needs: {missed}. No run is fine-tuned "
            "from it, since its scores would be noise; pretrain it for more steps or at another rate"
        )
