"""Where the authors have published the checkpoints of their runs: one repository a run, one folder a step.

Their names differ from ours in case and in two words.
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


def published_checkpoints(run: Run) -> Hub | None:
    """The authors' repository of a run; None for a data set, a seed or a precision of our own."""
    if run.dataset not in _DATASETS or run.seed != 1 or run.schedule.precision != "bf16":
        return None
    name, size = run.model.split("-")
    name = name.replace("internlm", "InternLM").replace("qwen", "Qwen")
    schedule = run.schedule.name.replace("_constlr", "_ConstLR")
    repository = "_".join([f"{name}-{size.upper()}", _DATASETS[run.dataset], schedule])
    return Hub(repo=f"{OWNER}/{repository}")
