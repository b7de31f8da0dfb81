"""Which program makes which stage: one module of the folder that is named by the first part of the asset key."""

_PROGRAMS = {
    "queries": "fetch",
    "responses": "generate",
    "verdicts": "verify",
    "audits": "audit",
    "datasets": "build",
    "base_models": "make",
    "checkpoints": "train",
    "benchmarks": "lock",
    "scores": "score",
    "results": "build",
    "figures": "draw",
    "report": "write",
}


def program_of(stage: str) -> str:
    """The module that `python -m` runs to make a stage."""
    return f"rsft_assets.steps.{stage}.{_PROGRAMS[stage]}"
