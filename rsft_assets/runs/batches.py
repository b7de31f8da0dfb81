"""Many assets and partitions in one process: what `rsft materialize` and `rsft demo` run.

A selection becomes a list of `Batch`es, upstream first: assets of one op with a block of partitions, each
one Dagster run. A cell that cannot be made yet, since what it stands on does not exist and is not part
of the selection, is left out by name.
"""

import fnmatch
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from rsft_assets.defs.partitions import partitions_definition
from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.lineage import Ref, asset_inputs, asset_keys, inputs_of, partitions_of
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.figures.catalogue import figure_keys
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.sql_files import results_keys


@dataclass(frozen=True)
class Batch:
    """One Dagster run: assets and, where they have any, the corners of a block of partitions."""

    assets: tuple[str, ...]
    first: str = ""
    last: str = ""

    @property
    def tags(self) -> dict[str, str]:
        if not self.first:
            return {}
        return {"dagster/asset_partition_range_start": self.first, "dagster/asset_partition_range_end": self.last}

    @property
    def title(self) -> str:
        return op_of(self.assets[0])


@dataclass
class Plan:
    """What a selection comes to."""

    batches: list[Batch] = field(default_factory=list)
    refs: list[Ref] = field(default_factory=list)
    """Every cell that was asked for, waiting ones included."""
    waiting: dict[Ref, Ref] = field(default_factory=dict)
    """Cells that cannot be made yet, and the input each waits for."""
    past_the_end: list[str] = field(default_factory=list)


def all_keys(study: Study) -> tuple[str, ...]:
    """Every key that can be selected, results and figures included, upstream first."""
    return (*asset_keys(study), *results_keys(), *figure_keys(), "report")


def select(study: Study, selections: Iterable[str]) -> list[str]:
    """Asset keys that the globs match, upstream first; a glob that matches nothing is an error."""
    keys = all_keys(study)
    chosen: set[str] = set()
    for selection in selections:
        pattern = selection.strip().removeprefix('key:"').removesuffix('"')
        matched = [key for key in keys if fnmatch.fnmatchcase(key, pattern)]
        # A plain folder of keys, such as `results` or `scores/nano-300k`, means all that is below it.
        matched = matched or [key for key in keys if key.startswith(pattern.rstrip("/") + "/")]
        if not matched:
            raise SpecError(f"no asset matches {selection!r}: {_hint(study, keys, pattern)}")
        chosen.update(matched)
    return [key for key in keys if key in chosen]


def _hint(study: Study, keys: Sequence[str], pattern: str) -> str:
    stage, _, rest = pattern.partition("/")
    name = rest.partition("/")[0]
    names = sorted({key.split("/")[1] for key in keys if key.startswith(f"{stage}/") and "/" in key})
    if names and name and not set(name) & set("*?["):
        if name in names:
            return nearest(pattern, [key for key in keys if key.startswith(f"{stage}/{name}/")])
        return nearest(name, names)
    return nearest(pattern, [*keys, *sorted({key.split("/")[0] + "/*" for key in keys})])


def needs_partitions(selections: Iterable[str]) -> bool:
    """Whether any selected asset is partitioned; False for what is not one of our globs."""
    study = load_study()
    try:
        return any(partitions_of(study, key) for key in select(study, selections) if key in set(asset_keys(study)))
    except SpecError:
        return False


def make_plan(
    study: Study,
    store: Store,
    selections: Sequence[str],
    *,
    runs: Sequence[str] = (),
    steps: Sequence[int] = (),
    partitions: Sequence[str] = (),
    upstream: bool = False,
    assume_inputs: bool = False,
) -> Plan:
    """The batches of a selection, limited to runs (names or globs), steps or whole partition keys.

    `upstream` adds everything that the selection is made from; `assume_inputs` takes it to be there, which
    a plan of costs may do.
    """
    keys = select(study, selections)
    if upstream:
        keys = upstream_closure(study, keys)
    filed = set(asset_keys(study))
    plan = Plan()
    cells: dict[str, list[Ref]] = {}
    for key in keys:
        cells[key] = _cells(study, key, runs, steps, partitions, plan) if key in filed else [Ref(key)]
    _check_filters(study, [key for key in keys if key in filed], runs, steps, partitions)
    plan.refs = [ref for key in keys if key in filed for ref in cells[key]]
    coming = {ref for refs in cells.values() for ref in refs}
    # Selected cells are in upstream order, so what waits is found before what stands on it.
    for key in keys:
        ready = []
        for ref in cells[key]:
            lacking = None if assume_inputs or key not in filed else _lacking(study, store, ref, coming)
            if lacking is None:
                ready.append(ref)
            else:
                plan.waiting[ref] = lacking
                coming.discard(ref)
        cells[key] = ready
    plan.batches = list(_batches(study, cells))
    return plan


def _cells(
    study: Study, key: str, runs: Sequence[str], steps: Sequence[int], partitions: Sequence[str], plan: Plan
) -> list[Ref]:
    valid = partitions_of(study, key)
    if not valid:
        return [Ref(key)]
    refs = [Ref(key, partition) for partition in valid]
    if partitions:
        refs = [ref for ref in refs if any(fnmatch.fnmatchcase(ref.partition, p) for p in partitions)]
    if refs and refs[0].stage in ("checkpoints", "scores"):
        if runs:
            refs = [ref for ref in refs if any(fnmatch.fnmatchcase(ref.run, pattern) for pattern in runs)]
        if steps:
            reached = {ref.run: max(study.steps_of(study.runs[ref.run])) for ref in refs}
            for run, step in itertools.product(reached, steps):
                line = f"skipped {run} at step {step}: the run ends at step {reached[run]}"
                if step > reached[run] and line not in plan.past_the_end:
                    plan.past_the_end.append(line)
            refs = [ref for ref in refs if ref.step in steps]
    return refs


def _check_filters(
    study: Study, keys: Sequence[str], runs: Sequence[str], steps: Sequence[int], partitions: Sequence[str]
) -> None:
    """A filter that can match nothing is a mistake, answered with what is valid."""
    gridded = [key for key in keys if Ref(key).stage in ("checkpoints", "scores")]
    known_runs = {run.name for key in gridded for run in study.runs_of(Ref(key).name)}
    for pattern in runs:
        if not fnmatch.filter(known_runs, pattern):
            raise SpecError(f"unknown run {pattern!r}: {nearest(pattern, known_runs)}")
    known_steps = {step for name in known_runs for step in study.steps_of(study.runs[name])}
    for step in steps:
        # A step past every end is skipped by name; one between two kept steps was never kept.
        if step not in known_steps and (not known_steps or step < max(known_steps)):
            raise SpecError(
                f"no run keeps step {step}; kept steps: {', '.join(map(str, sorted(known_steps))) or 'none'}"
            )
    known = {partition for key in keys for partition in partitions_of(study, key)}
    for pattern in partitions:
        if not fnmatch.filter(known, pattern):
            raise SpecError(f"unknown partition {pattern!r}: {nearest(pattern, known)}")


def _lacking(study: Study, store: Store, ref: Ref, coming: set[Ref]) -> Ref | None:
    """The first input of a cell that neither exists nor is about to be made."""
    for upstream in inputs_of(study, ref):
        if upstream not in coming and not store.exists(upstream):
            return upstream
    return None


def op_of(key: str) -> str:
    """What is made together: a model's scores, all tables, all figures; every other asset by itself."""
    ref = Ref(key)
    if ref.stage == "scores":
        return f"scores/{ref.name}"
    return ref.stage if ref.stage in ("results", "figures") else key


def _batches(study: Study, cells: dict[str, list[Ref]]) -> Iterator[Batch]:
    """Blocks of partitions, assets of one op together where they want the same block."""
    by_op: dict[str, dict[str, list[Ref]]] = {}
    for key, refs in cells.items():
        if refs:
            by_op.setdefault(op_of(key), {})[key] = refs
    for keys in by_op.values():
        same: dict[tuple[str, ...], list[str]] = {}
        for key, refs in keys.items():
            same.setdefault(tuple(ref.partition for ref in refs), []).append(key)
        for partitions, assets in same.items():
            for first, last in blocks(study, assets[0], partitions):
                yield Batch(tuple(assets), first, last)


def blocks(study: Study, asset: str, partitions: Sequence[str]) -> list[tuple[str, str]]:
    """Corners of the fewest ranges that hold these partitions and, but for cells past an end, no others."""
    if tuple(partitions) == ("",):
        return [("", "")]
    if Ref(asset).stage not in ("checkpoints", "scores"):
        order = partitions_of(study, asset)
        return [(segment[0], segment[-1]) for segment in _segments(order, set(partitions))]
    grid = partitions_definition(study, asset)
    assert isinstance(grid, dg.MultiPartitionsDefinition)
    steps = list(grid.get_partitions_def_for_dimension("step").get_partition_keys())
    by_run: dict[str, set[str]] = {}
    for partition in partitions:
        run, _, step = partition.rpartition("|")
        by_run.setdefault(run, set()).add(step)
    corners = []
    for run, wanted in by_run.items():
        # Cells past the end of a short run may lie inside a block: they are skipped there.
        reached = {str(step) for step in study.steps_of(study.runs[run])}
        within = [step for step in steps if step in reached]
        corners += [(f"{run}|{part[0]}", f"{run}|{part[-1]}") for part in _segments(within, wanted)]
    return _merged(study, asset, corners)


def _segments(order: Sequence[str], wanted: set[str]) -> list[list[str]]:
    """Runs of neighbours in `order` that are all wanted."""
    groups = itertools.groupby(order, key=lambda item: item in wanted)
    return [list(group) for chosen, group in groups if chosen]


def _merged(study: Study, asset: str, corners: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join neighbouring runs that want the same steps, so that one engine serves them all."""
    order = [run.name for run in study.runs_of(Ref(asset).name)]
    merged: list[tuple[str, str]] = []
    for first, last in sorted(
        corners, key=lambda c: (c[0].rpartition("|")[2], c[1].rpartition("|")[2], order.index(c[0].rpartition("|")[0]))
    ):
        run = first.rpartition("|")[0]
        if merged:
            before = merged[-1][1].rpartition("|")[0]
            same_steps = all(
                a.rpartition("|")[2] == b.rpartition("|")[2] for a, b in zip(merged[-1], (first, last), strict=True)
            )
            if same_steps and order.index(run) == order.index(before) + 1:
                merged[-1] = (merged[-1][0], last)
                continue
        merged.append((first, last))
    return merged


def upstream_closure(study: Study, keys: Iterable[str]) -> list[str]:
    """The keys and everything that they are made from."""
    wanted, queue = set(), list(keys)
    while queue:
        key = queue.pop()
        if key not in wanted:
            wanted.add(key)
            queue += asset_inputs(study, key) if key in set(asset_keys(study)) else ()
    return [key for key in all_keys(study) if key in wanted]
