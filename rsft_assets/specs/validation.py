"""Validation of a study: every reference, number and name, checked before anything runs."""

import functools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.endpoints import check_endpoint
from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.models import Pretraining, Skill
from rsft_assets.specs.titles import check_titles
from rsft_assets.specs.training import Run

if TYPE_CHECKING:
    from rsft_assets.specs.study import Study

_NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*")
_LONGEST_NAME = 200
"""A name is that of a folder; file systems take 255 bytes."""
_TAKEN = ("current.json", "manifest.json")
"""Files of the store, looked for by these names wherever they lie."""
_REVISION = re.compile(r"(content-)?[0-9a-f]{40}")
_POSITIVE = (
    *("rows", "shards", "parameters", "lr", "epochs", "batch_size", "max_length", "n", "max_tokens", "count"),
    *("items", "limit"),
    *("layers", "hidden", "heads", "heads_per_key_value", "feed_forward_ratio", "positions", "steps", "batch_tokens"),
    *("context", "held_out_documents", "rope_theta", "norm_eps", "init_scale", "eps", "top_p", "acceptance"),
    *("tensor_parallel", "engines", "processes", "micro_batch_tokens", "threads", "workers"),
)
_BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("warmup", "weight_decay", "min_p", "top_p", "eps", "norm_eps", "lr", "acceptance"), (0, 1)),
    "recompute_share": (0, 1),
    **dict.fromkeys(("clip", "temperature", "held_out", "runs", "usd_per_million_tokens", "size"), (0, math.inf)),
    **dict.fromkeys(("ray_pieces", "ray_cpus"), (0, 1_000)),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), (-2, 2)),
    # torch refuses 1.
    "betas": (0, 0.99999),
    "init_scale": (0, 10),
    "top_k": (-1, math.inf),
    "grid": (0, math.inf),
    # Far above any real value: without a bound, a typing error would fill the memory before it failed.
    **dict.fromkeys(
        ("layers", "heads", "feed_forward_ratio", "engines", "processes", "threads", "workers"), (1, 1_000)
    ),
    **dict.fromkeys(("hidden", "shards", "n"), (1, 100_000)),
    "positions": (1, 100_000_000),
}
"""Least and greatest value of a field, both allowed."""


def validate(study: "Study") -> None:
    """Raise `SpecError` at the first invalid value."""
    for table in study.tables:
        entries = getattr(study, table)
        for name, entry in entries.items():
            where = f"{table} {name!r}"
            if not _NAME.fullmatch(name):
                raise SpecError(f"{where}: field name: use lower-case letters, digits and . _ - between them")
            if len(name) > _LONGEST_NAME:
                raise SpecError(f"{where}: field name: {len(name)} characters; use at most {_LONGEST_NAME}")
            if name in _TAKEN:
                raise SpecError(f"{where}: field name: every output has a file of that name; use another")
            check_values(entry, where)
        _no_collisions(table, entries)
    for pool in study.pools.values():
        _known(study, f"pools {pool.name!r}", "source", "sources", pool.source)
    for dataset in study.datasets.values():
        _check_dataset(study, dataset)
    for run in study.runs.values():
        _check_run(study, run)
    check_titles(study)


def check_values(entry: Any, where: str) -> None:
    """Choices and ranges of every field, nested entries included."""
    choices_of = _choices_of(entry.__class__)
    for field in fields(entry):
        value = getattr(entry, field.name)
        choices = choices_of[field.name]
        # Pairs are checked by their field's own rule.
        for one in value if isinstance(value, tuple) else (value,):
            if choices and one is not None and not isinstance(one, tuple) and one not in choices:
                valid = ", ".join(map(str, choices))
                raise SpecError(f"{where}: field {field.name}: {one!r} is not one of {valid}")
        for number in _numbers(value):
            _check_number(field.name, number, where)
        if field.name == "endpoint" and value != field.default and (problem := check_endpoint(value)):
            raise SpecError(f"{where}: field endpoint: {problem}")
        if field.name == "revision" and value is not None and not _REVISION.fullmatch(value):
            raise SpecError(f"{where}: field revision: {value!r} is not a commit; pin one, 40 hexadecimal digits")
        if field.name == "gate":
            _check_gate(value, where)
        if hasattr(value, "__dataclass_fields__"):
            check_values(value, f"{where}.{field.name}")
    if isinstance(entry, Pretraining):
        _check_shape(entry, where)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, (int, float)):
        yield value


def _check_number(name: str, value: float, where: str) -> None:
    if not math.isfinite(value):
        raise SpecError(f"{where}: field {name}: {value!r} must be a finite number")
    if name in _POSITIVE and not value > 0:
        raise SpecError(f"{where}: field {name}: {value!r} must be above 0")
    least, most = _BOUNDS.get(name, (-math.inf, math.inf))
    if not least <= value <= most:
        bound = f"at least {least}" if value < least else f"at most {most}"
        raise SpecError(f"{where}: field {name}: {value!r} must be {bound}")


def _check_shape(spec: Pretraining, where: str) -> None:
    rules = {
        # Rotary embeddings turn pairs of numbers within each head.
        "heads": (spec.hidden % (2 * spec.heads) == 0, f"hidden, {spec.hidden}, must be an even multiple of it"),
        "heads_per_key_value": (
            spec.heads % spec.heads_per_key_value == 0,
            f"heads, {spec.heads}, must be a multiple of it",
        ),
        "context": (spec.context <= spec.positions, f"it must be at most positions, {spec.positions}"),
        "held_out_seed": (spec.held_out_seed != spec.seed, "it is the seed of the training documents; use another"),
    }
    for field, (holds, rule) in rules.items():
        if not holds:
            raise SpecError(f"{where}: field {field}: {getattr(spec, field)}: {rule}")


def _check_gate(gate: Iterable[tuple[str, float]], where: str) -> None:
    asked: set[str] = set()
    for skill, least in gate:
        if skill not in get_args(Skill):
            raise SpecError(f"{where}: field gate: {skill!r} is not one of {', '.join(get_args(Skill))}")
        if not 0 < least <= 1:
            raise SpecError(f"{where}: field gate: {least!r} for {skill} is not a share; use one above 0, up to 1")
        if skill in asked:
            raise SpecError(f"{where}: field gate: {skill} is listed twice")
        asked.add(skill)


@functools.cache
def _choices_of(kind: type) -> dict[str, tuple[Any, ...]]:
    """Field -> its valid values, () where any will do."""
    return {name: _choices(hint) for name, hint in get_type_hints(kind).items()}


def _choices(hint: Any) -> tuple[Any, ...]:
    """The values of a `Literal` at any depth of the annotation."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(choice for inner in get_args(hint) if inner is not Ellipsis for choice in _choices(inner))


def _no_collisions(table: str, names: Iterable[str]) -> None:
    # Dagster's op names turn `-` and `.` into `_`, so keys that differ only there would be one op.
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(re.sub(r"[-._]", "_", name), name)
        if other != name:
            raise SpecError(f"{table} {name!r} and {other!r} differ only in . _ or -; rename one")


def _known(study: "Study", where: str, field: str, table: str, value: str | None) -> None:
    known = getattr(study, table)
    if value not in known:
        raise SpecError(
            f"{where}: field {field}: no {table.rstrip('s')} is called {value!r}; {nearest(str(value), known)}"
        )


def _check_dataset(study: "Study", dataset: Dataset) -> None:
    where = f"datasets {dataset.name!r}"
    wants = {"one-correct": "pool", "one-any": "pool", "published": "published"}.get(dataset.recipe, "like")
    if wants == "published" and dataset.published is None:
        raise SpecError(f"{where}: field published: recipe 'published' needs the repository or folder of the set")
    for field, table in (("pool", "pools"), ("like", "datasets")):
        value = getattr(dataset, field)
        with_like = (field, wants) == ("like", "pool") and value is not None
        if field == wants or with_like:
            _known(study, where, field, table, value)
        elif value is not None:
            raise SpecError(f"{where}: field {field}: recipe {dataset.recipe!r} takes `{wants}`, not `{field}`")
    if dataset.recipe == "human-solution":
        _known(study, where, "source", "sources", dataset.source)
    seen = {dataset.name}
    while dataset.like:
        if dataset.like in seen:
            raise SpecError(f"{where}: field like: {dataset.like!r} is circular; a set cannot be made from itself")
        seen.add(dataset.like)
        dataset = study.datasets.get(dataset.like) or dataset


def _check_run(study: "Study", run: Run) -> None:
    where = f"runs {run.name!r}"
    _known(study, where, "model", "models", run.model)
    _known(study, where, "dataset", "datasets", run.dataset)
    if run.adopt and run.published is None:
        raise SpecError(
            f"{where}: field adopt: no published checkpoints of this run are known; name their repository and "
            "revision in `published`, or train it"
        )
    rows = study.datasets[run.dataset].rows
    if run.schedule.batch_size > rows:
        raise SpecError(
            f"{where}: field schedule.batch_size: {run.schedule.batch_size} rows a step, "
            f"but {run.dataset} has {rows} rows"
        )
