"""Where the authors have published the checkpoints of their runs: one repository a run, one folder a step.

Their names differ from ours in case and in two words. Revisions are from a public record of September 2026; the
others need a pin in a study file, or a mirror.
"""

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.training import Run

OWNER = "jasonrqh"
_DATASETS = {
    "math-cot-20k": "Math-CoT-20k",
    "math-cot-2.5k": "Math-CoT-2.5k",
    "math-nocot-20k": "Math-NoCoT-20k",
    "numinamath-20k": "Numina-Math-20k",
    "countdown-cot-20k": "Countdown-CoT-20k",
    "deepseek-r1-20k": "DeepSeek-R1-20k",
}
_REVISIONS = {
    "Qwen3-1.7B_Math-CoT-20k_lr5e-5_ep8_bs256": "e4fcd58c7b104d3444e0e1d1b470f5107fcc2618",
    "Qwen3-4B_Math-CoT-20k_lr5e-5_ep8_bs256": "aaf1c51a6a2ee319750cafbd7cb8be0df10018b8",
    "Qwen3-8B_Math-CoT-20k_lr5e-5_ep8_bs256": "522decd73c0b46f7029c2a315b3cc177c23a3498",
    "Qwen3-14B_Math-CoT-20k_lr5e-5_ep8_bs256": "e8e6542249d647ac82c556a93410a9c0cafd41cb",
}


def published_checkpoints(run: Run) -> Hub | None:
    """The authors' repository of a run; None for a data set that they did not train on."""
    if run.dataset not in _DATASETS:
        return None
    name, size = run.model.split("-")
    name = name.replace("internlm", "InternLM").replace("qwen", "Qwen")
    schedule = run.schedule.name.replace("_constlr", "_ConstLR")
    repository = "_".join([f"{name}-{size.upper()}", _DATASETS[run.dataset], schedule])
    return Hub(repo=f"{OWNER}/{repository}", revision=_REVISIONS.get(repository))
