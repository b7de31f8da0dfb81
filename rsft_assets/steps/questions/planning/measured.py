"""What finished outputs measured: lengths of texts, tokens a second. Outputs of this machine count before others."""

import datetime
import functools
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.manifest import FILE_NAME, Manifest, read_manifest
from rsft_assets.steps.records.pointers import outputs_in_use
from rsft_assets.steps.records.proof import COMPLETIONS
from rsft_assets.steps.records.store import Output, Store


@dataclass(frozen=True)
class Measurement:
    """Tokens (or rows) and the seconds that they took."""

    amount: float
    seconds: float
    words: str

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
            found.manifest for _, found in outputs_in_use(self.store.home, [asset]) if isinstance(found, Output)
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

    def decoding(self, manifests: Iterable[Manifest]) -> Measurement | None:
        """Generated tokens a second of wall time; sets that grew side by side share their time."""
        chosen, host = _of_one_machine([m for m in manifests if m.stats.get("response_tokens")])
        tokens = sum(m.stats["response_tokens"] for m in chosen)
        return _measurement(tokens, covered_seconds(chosen), "generating", host)

    def training(self, model: str) -> Measurement | None:
        """Trained tokens (prompts included) a second of wall time, over the longest part of each run."""
        longest: dict[str, Manifest] = {}
        timed = [m for m in self.manifests(f"checkpoints/{model}") if m.stats.get("train_seconds")]
        chosen, host = _of_one_machine(timed)
        for manifest in chosen:
            before = longest.get(manifest.ref.run)
            if before is None or manifest.ref.step > before.ref.step:
                longest[manifest.ref.run] = manifest
        tokens = sum(trained_tokens(m) for m in longest.values())
        return _measurement(tokens, sum(m.stats["train_seconds"] for m in longest.values()), "training", host)

    def light(self, asset: str) -> tuple[Measurement, float] | None:
        """(rows a second, bytes a row) of finished outputs of one asset."""
        chosen, host = _of_one_machine([m for m in self.manifests(asset) if rows_of(m)])
        rows = sum(rows_of(m) for m in chosen)
        rate = _measurement(rows, sum(m.seconds for m in chosen), "", host)
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


def _of_one_machine(manifests: list[Manifest]) -> tuple[list[Manifest], str]:
    """Those made on this machine; where there are none, all of them."""
    host = socket.gethostname()
    here = [m for m in manifests if m.made_by.get("host") == host]
    return (here, "this machine") if here else (manifests, "another machine")


def _measurement(amount: float, seconds: float, what: str, host: str) -> Measurement | None:
    if amount <= 0 or seconds <= 0:
        return None
    if not what:
        return Measurement(amount, seconds, f"seconds and bytes a row of light work, measured on {host}")
    return Measurement(amount, seconds, f"{what}: {amount / seconds:,.0f} tokens a second, measured on {host}")
