"""What finished outputs measured: lengths of texts, tokens a second.

A rate on GPUs is that of the last work on a card like this machine's; where this machine has none, of any card. On CPU
cores, outputs of this machine count before others.
"""

import datetime
import functools
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement, load_placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.hardware import gpus
from rsft_assets.steps.records.manifest import FILE_NAME, Manifest, read_manifest
from rsft_assets.steps.records.pointers import outputs_in_use
from rsft_assets.steps.records.proof import COMPLETIONS
from rsft_assets.steps.records.store import Output, Store

_SAME_SIZE = 0.1
"""Models whose numbers of weights differ by less are of one size."""


def on_gpu(needs_gpu: bool, placement: Placement) -> bool:
    return needs_gpu and placement.device != "cpu"


@dataclass(frozen=True)
class Measurement:
    """Tokens (or rows) and the seconds that they took."""

    amount: float
    seconds: float
    words: str
    width: int = 0
    """Devices that they were made on; 0 where that is not known."""

    @property
    def per_second(self) -> float:
        return self.amount / self.seconds


class Measured:
    """Rates and lengths of one store, each looked up once."""

    def __init__(self, study: Study, store: Store) -> None:
        self.study, self.store = study, store

    @functools.cache  # noqa: B019 - lives as long as one plan
    def manifests(self, asset: str) -> tuple[Manifest, ...]:
        """Of every current output of an asset, or below it."""
        # What cannot be read is left out: `rsft doctor` names it.
        return tuple(
            output.manifest for _, output in outputs_in_use(self.store.home, [asset]) if isinstance(output, Output)
        )

    @functools.cache  # noqa: B019
    def completions(self, model: str) -> tuple[Manifest, ...]:
        """Every finished set of answers by a model's checkpoints."""
        return tuple(m for m in self._all_completions if any(i.asset == f"checkpoints/{model}" for i in m.inputs))

    @functools.cached_property
    def _all_completions(self) -> tuple[Manifest, ...]:
        manifests = []
        for path in sorted(self.store.home.glob(f"{COMPLETIONS}/*/[!.]*/{FILE_NAME}")):
            try:
                manifests.append(read_manifest(path.parent))
            except StepError:
                continue
        return tuple(manifests)

    def response_length(self, manifests: Iterable[Manifest], count: str) -> float | None:
        """Mean tokens of a response; `count` names the statistic that holds how many there are."""
        stats = [m.stats for m in manifests if m.stats.get("response_tokens") and m.stats.get(count)]
        rows = sum(s[count] for s in stats)
        return sum(s["response_tokens"] for s in stats) / rows if rows else None

    def acceptance(self, pool: str) -> float | None:
        """Share of a pool's verified responses that is correct."""
        counts = [m.stats.get("verdicts", {}) for m in self.manifests(f"verdicts/{pool}")]
        total = sum(sum(count.values()) for count in counts)
        return sum(count.get("correct", 0) for count in counts) / total if total else None

    def bytes_per_token(self, manifests: Iterable[Manifest]) -> float | None:
        """Bytes on disk of a generated token."""
        chosen = [m for m in manifests if m.stats.get("response_tokens") and m.files]
        tokens = sum(m.stats["response_tokens"] for m in chosen)
        return sum(file.bytes for m in chosen for file in m.files) / tokens if tokens else None

    def row_length(self, dataset: str) -> float | None:
        """Mean tokens of a row of a training set, as trainings on it counted them."""
        for run in self.study.runs.values():
            if run.dataset == dataset:
                for manifest in self.manifests(f"checkpoints/{run.model}"):
                    if manifest.partition.startswith(f"{run.name}|") and manifest.stats.get("set_rows"):
                        return float(manifest.stats["set_tokens"] / manifest.stats["set_rows"])
        return None

    def decoding(self, manifests: Iterable[Manifest], gpu: bool) -> Measurement | None:
        """Generated tokens a second of wall time, by the last engine; sets that grew side by side share their time."""
        made_here = _made_here([m for m in manifests if m.stats.get("response_tokens")], gpu)
        if not made_here:
            return None
        last = max(made_here, key=_finished)
        engine = _engine(last)
        chosen = [m for m in made_here if _engine(m) == engine]
        width = engine.get("engines", 1) * engine.get("tensor_parallel", 1) if gpu and engine else 0
        tokens = sum(m.stats["response_tokens"] for m in chosen)
        return _measurement(tokens, covered_seconds(chosen), "generating", last, width)

    def answering(self, model: Model) -> Measurement | None:
        """Generated tokens a second of this model's checkpoints, or else of another's of its size."""
        gpu = on_gpu(model.runs_on_gpu, load_placement(model.name))
        rates = (self.decoding(self.completions(name), gpu) for name in self._of_its_size(model))
        return next(filter(None, rates), None)

    def training(self, model: Model) -> Measurement | None:
        """Trained tokens (prompts included) a second of wall time, in the last run of this model, or else of another
        of its size.
        """
        gpu = on_gpu(model.runs_on_gpu, load_placement(model.name))
        for name in self._of_its_size(model):
            timed = [m for m in self.manifests(f"checkpoints/{name}") if m.stats.get("train_seconds")]
            made_here = _made_here(timed, gpu)
            if made_here:
                run = max(made_here, key=_finished).ref.run
                last = max((m for m in made_here if m.ref.run == run), key=lambda m: m.ref.step)
                width = last.made_by.get("placement", {}).get("processes", 0) if gpu else 0
                seconds = last.stats["train_seconds"]
                return _measurement(trained_tokens(last), seconds, "training", last, width)
        return None

    def _of_its_size(self, model: Model) -> list[str]:
        """The model itself, then others of its size."""
        others = (m for m in self.study.models.values() if m.name != model.name)
        near = [m.name for m in others if abs(m.parameters / model.parameters - 1) < _SAME_SIZE]
        return [model.name, *near]

    def light(self, asset: str) -> tuple[Measurement, float] | None:
        """(rows a second, bytes a row) of finished outputs of one asset."""
        chosen = _made_here([m for m in self.manifests(asset) if rows_of(m)], gpu=False)
        rows = sum(rows_of(m) for m in chosen)
        rate = _measurement(rows, sum(m.seconds for m in chosen), "", chosen[0]) if chosen else None
        return (rate, sum(file.bytes for m in chosen for file in m.files) / rows) if rate else None


def rows_of(manifest: Manifest) -> int:
    return int(manifest.stats.get("rows") or sum(file.rows or 0 for file in manifest.files))


def trained_tokens(manifest: Manifest) -> float:
    """Tokens that went through the model up to a checkpoint."""
    stats = manifest.stats
    batch = manifest.spec["schedule"]["batch_size"]
    return float(stats["step"] * batch * stats["set_tokens"] / stats["set_rows"])


def covered_seconds(manifests: Iterable[Manifest]) -> float:
    """Length of the time that the making of these covers, overlaps counted once."""
    covered, end = 0.0, 0.0
    for start, stop in sorted(_times(manifests)):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return covered


def _times(manifests: Iterable[Manifest]) -> Iterator[tuple[float, float]]:
    for manifest in manifests:
        if manifest.finished_at:
            stop = datetime.datetime.fromisoformat(manifest.finished_at).timestamp()
            yield stop - manifest.seconds, stop


def _finished(manifest: Manifest) -> str:
    return manifest.finished_at or ""


def _engine(manifest: Manifest) -> dict[str, Any]:
    """As it describes itself: of a set of completions, or of a teacher's responses."""
    return manifest.made_by.get("engine") or manifest.made_by.get("teacher") or {}


def _card(manifest: Manifest) -> str:
    """What it was made on, by the name that torch gives; empty where that was not recorded."""
    return str(manifest.stats.get("card") or _engine(manifest).get("device") or "")


def _made_here(manifests: list[Manifest], gpu: bool) -> list[Manifest]:
    """Those whose speed says something about this machine."""
    cards = {name for name, _ in gpus()} if gpu else set()
    manifests = [m for m in manifests if not (gpu and _card(m) == "cpu")]
    here = [m for m in manifests if (_card(m) in cards if cards and _card(m) else _host(m) == socket.gethostname())]
    return here if here or cards else manifests


def _host(manifest: Manifest) -> str:
    return str(manifest.made_by.get("host"))


def _measurement(amount: float, seconds: float, what: str, made: Manifest, width: int = 0) -> Measurement | None:
    if amount <= 0 or seconds <= 0:
        return None
    where = "this machine" if _host(made) == socket.gethostname() else "another machine"
    if _card(made) not in ("", "cpu"):
        where = _card(made)
    if not what:
        return Measurement(amount, seconds, f"seconds and bytes a row of light work, measured on {where}")
    return Measurement(amount, seconds, f"{what}: {amount / seconds:,.0f} tokens a second, measured on {where}", width)
