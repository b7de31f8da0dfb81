"""Which program makes which stage of the graph, and the version of its code."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Verb:
    """A step program and the modules beside it whose change can change what it makes."""

    name: str
    uses: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return f"rsft_assets.steps.{self.name}"


VERBS = {
    "queries": Verb("fetch_queries", ("hub.py", "query_columns.py", "nano")),
    "responses": Verb(
        "generate", ("hub.py", "adopted_responses.py", "teaching.py", "model_teaching.py", "nano", "engines")
    ),
    "verdicts": Verb("verify", ("verifier",)),
    "audits": Verb("audit", ("auditing", "verifier", "nano")),
    "datasets": Verb("build_dataset", ("recipes",)),
    "base_models": Verb("make_base_model", ("hub.py", "nano", "training")),
    "checkpoints": Verb("train", ("training",)),
    "benchmarks": Verb("lock_benchmark", ("hub.py", "benchmark_items.py", "nano")),
    "scores": Verb("score", ("completions.py", "engines", "grading", "verifier")),
}
"""Stage (first part of an asset key) -> its program."""


@functools.cache
def code_version(stage: str) -> str:
    """A short hash of the source of a stage's program; it informs, and never invalidates what was made."""
    folder = Path(__file__).parent
    verb = VERBS[stage]
    seen = hashlib.sha256()
    for name in (f"{verb.name}.py", *verb.uses):
        path = folder / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if file.is_file():
                seen.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return seen.hexdigest()[:10]
