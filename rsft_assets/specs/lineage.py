"""What is made from what: the asset graph as data, for Dagster, the steps, plans and traces alike.

`ref` is one thing that can be materialized: an asset key and, where it has partitions, one partition.
`inputs_of` names what it is made from; `spec_of` says what it is. Together with the inputs' digests they
are its identity.
"""

from dataclasses import dataclass
from typing import Any

from rsft_assets.specs.benchmarks import GRADER_VERSIONS, Benchmark
from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.fingerprint import canonical
from rsft_assets.specs.judges import judged_by
from rsft_assets.specs.models import Model
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run

TABLE_OF = {
    "queries": "sources",
    "responses": "pools",
    "verdicts": "pools",
    "audits": "pools",
    "datasets": "datasets",
    "base_models": "models",
    "checkpoints": "models",
    "benchmarks": "benchmarks",
    "scores": "models",
}
"""First part of an asset key -> the study's table that its second part is looked up in."""
PARTITIONED = ("responses", "verdicts", "checkpoints", "scores")


@dataclass(frozen=True, order=True)
class Ref:
    """An asset (`checkpoints/qwen3-14b`) and its partition (`RUN|640`), if it has one."""

    asset: str
    partition: str = ""

    def __str__(self) -> str:
        return f"{self.asset}[{self.partition}]" if self.partition else self.asset

    @property
    def stage(self) -> str:
        return self.asset.partition("/")[0]

    @property
    def name(self) -> str:
        return self.asset.split("/")[1]

    @property
    def benchmark(self) -> str:
        return self.asset.split("/")[2]

    @property
    def run(self) -> str:
        return self.partition.rpartition("|")[0]

    @property
    def step(self) -> int:
        return int(self.partition.rpartition("|")[2])


def checkpoint_ref(run: Run, step: int) -> Ref:
    return Ref(f"checkpoints/{run.model}", f"{run.name}|{step}")


def score_ref(run: Run, step: int, benchmark: str) -> Ref:
    return Ref(f"scores/{run.model}/{benchmark}", f"{run.name}|{step}")


def asset_keys(study: Study) -> tuple[str, ...]:
    """Every file-backed asset of the study, upstream first."""
    keys = [f"queries/{name}" for name in study.sources]
    for name in study.pools:
        keys += [f"responses/{name}", f"verdicts/{name}", f"audits/{name}"]
    keys += [f"benchmarks/{name}" for name in study.benchmarks]
    keys += [f"datasets/{name}" for name in study.datasets]
    keys += [f"base_models/{name}" for name in study.models]
    trained = [name for name in study.models if study.runs_of(name)]
    keys += [f"checkpoints/{name}" for name in trained]
    keys += [f"scores/{name}/{b.name}" for name in trained for b in study.benchmarks_of(name)]
    return tuple(keys)


def partitions_of(study: Study, asset: str) -> tuple[str, ...]:
    """Partition keys that can exist, steps past a run's end left out; () for an unpartitioned asset."""
    ref = Ref(asset)
    if ref.stage in ("responses", "verdicts"):
        return study.get("pools", ref.name).shard_keys
    if ref.stage in ("checkpoints", "scores"):
        return tuple(f"{run.name}|{step}" for run in study.runs_of(ref.name) for step in study.steps_of(run))
    return ()


def asset_inputs(study: Study, asset: str) -> tuple[str, ...]:
    """Upstream asset keys: the edges of the graph."""
    stage, name = asset.split("/")[:2]
    if stage == "responses":
        return (f"queries/{study.pools[name].source}",)
    if stage == "verdicts":
        return (f"responses/{name}", f"queries/{study.pools[name].source}")
    if stage == "audits":
        return (f"queries/{study.pools[name].source}", f"responses/{name}", f"verdicts/{name}")
    if stage == "datasets":
        return _dataset_inputs(study, name)
    if stage == "checkpoints":
        used = dict.fromkeys(run.dataset for run in study.runs_of(name) if not run.adopt)
        return (f"base_models/{name}", *(f"datasets/{dataset}" for dataset in used))
    if stage == "scores":
        return (f"checkpoints/{name}", f"benchmarks/{asset.split('/')[2]}")
    return ()


def _dataset_inputs(study: Study, name: str) -> tuple[str, ...]:
    dataset = study.datasets[name]
    inputs: list[str] = []
    if dataset.pool:
        source = study.pools[dataset.pool].source
        inputs += [f"queries/{source}", f"responses/{dataset.pool}", f"verdicts/{dataset.pool}"]
    if dataset.like:
        inputs.append(f"datasets/{dataset.like}")
    if dataset.source:
        # Where that source lacks a question, the one that the questions come from may have its solution.
        inputs += [f"queries/{name}" for name in dict.fromkeys((dataset.source, _source_of(study, name))) if name]
    if dataset.pool or not dataset.like:
        # Decontamination happens where rows are chosen; sets made `like` another inherit it.
        mine = study.member_of[("datasets", name)]
        inputs += [f"benchmarks/{b}" for b in study.benchmarks if study.member_of[("benchmarks", b)] == mine]
    return tuple(inputs)


def _source_of(study: Study, name: str) -> str | None:
    """The query source that the questions of a set come from; None for a published one."""
    dataset = study.datasets[name]
    if dataset.pool:
        return study.pools[dataset.pool].source
    return _source_of(study, dataset.like) if dataset.like else None


def inputs_of(study: Study, ref: Ref) -> tuple[Ref, ...]:
    """What one partition is made from, partition by partition."""
    if ref.stage == "checkpoints":
        run = study.get("runs", ref.run)
        base = Ref(f"base_models/{ref.name}")
        if ref.step == 0:
            return (base,)
        # An adopted run names its data set but does not need it here.
        return () if run.adopt else (base, Ref(f"datasets/{run.dataset}"))
    inputs: list[Ref] = []
    for key in asset_inputs(study, ref.asset):
        if Ref(key).stage not in PARTITIONED:
            inputs.append(Ref(key))
        elif ref.partition:
            inputs.append(Ref(key, ref.partition))
        else:
            inputs += [Ref(key, partition) for partition in partitions_of(study, key)]
    return tuple(inputs)


def spec_of(study: Study, ref: Ref) -> dict[str, Any]:
    """The declared part of an identity, as plain data; the inputs' digests are the rest."""
    entry = study.get(TABLE_OF[ref.stage], ref.name)
    if ref.stage == "audits":
        return {"kind": study.sources[entry.source].kind, "teacher": canonical(entry.teacher)}
    if ref.stage in ("responses", "verdicts"):
        shard = {"shard": ref.partition, "shards": entry.shards}
        if ref.stage == "verdicts":
            return {"kind": study.sources[entry.source].kind, **shard}
        return {**_declared(entry, "shards", "source", "published", "acceptance"), **shard}
    if ref.stage == "checkpoints":
        return _spec_of_checkpoint(study.get("runs", ref.run), ref.step)
    if ref.stage == "benchmarks":
        return _declared(entry, "sampling", "metrics", "extra_stops")
    if ref.stage == "scores":
        return _spec_of_score(study.get("benchmarks", ref.benchmark), entry)
    return _declared(entry)


def _spec_of_checkpoint(run: Run, step: int) -> dict[str, Any]:
    """Step 0 is the base model, the same for every run; an adopted checkpoint is identified by its source."""
    if step == 0:
        return {"step": 0}
    if run.adopt:
        return {"published": _declared(run.published), "step": step}
    return {**_declared(run, "adopt", "published"), "step": step}


def _spec_of_score(benchmark: Benchmark, model: Model) -> dict[str, Any]:
    spec = {**_declared(benchmark, "extra_stops"), **judged_by(benchmark.task)}
    if stops := benchmark.stops_of(model.family):
        spec["stops"] = list(stops)
    if version := GRADER_VERSIONS.get(benchmark.task):
        spec["grader_version"] = version
    return spec


# Descriptions, access, display and acceptance fields do not define identity.
_NOT_IDENTITY = ("description", "title", "group", "needs", "needs_gpu", "grid", "gate", "gated")


def _declared(entry: Any, *leave_out: str) -> dict[str, Any]:
    plain = canonical(entry)
    return _without(plain, {*_NOT_IDENTITY, *leave_out})


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def short_partition(study: Study, ref: Ref) -> str:
    """A partition as Dagster names it: a run without its model, which the asset names."""
    if ref.stage not in ("checkpoints", "scores"):
        return ref.partition
    return f"{study.get('runs', ref.run).short_name}|{ref.step}"


def parse_ref(study: Study, asset: str, partition: str = "") -> Ref:
    """A checked `Ref` from a full or short partition; unknown names are answered with the nearest valid ones."""
    stage, *rest = asset.split("/")
    if stage in TABLE_OF and rest:
        study.get(TABLE_OF[stage], rest[0])
    if asset not in asset_keys(study):
        raise SpecError(f"unknown asset {asset!r}: {nearest(asset, asset_keys(study))}")
    valid = partitions_of(study, asset)
    if partition and not valid:
        raise SpecError(f"{asset} has no partitions, but {partition!r} was asked for")
    if partition and partition not in valid:
        by_short_name = {short_partition(study, Ref(asset, full)): full for full in valid}
        if partition not in by_short_name:
            known = [*by_short_name, *valid]
            raise SpecError(f"unknown partition {partition!r} of {asset}: {nearest(partition, known)}")
        partition = by_short_name[partition]
    return Ref(asset, partition)
