"""The spelling `dagster asset materialize --select scores/qwen3-14b/*`, with or without --partition.

Dagster reads `scores/qwen3-14b/*` as "all that is downstream of an asset named `scores/qwen3-14b/`",
which no asset is, and refuses partitioned assets without `--partition`. `install`, called when the code
location loads, wraps the one function that reads a selection string:

- a path that ends in `/*` selects the keys below it, as `key:"scores/qwen3-14b/*"` does;
- asked for by `dagster asset materialize` without partitions, the selection is handed to the same
  function as `rsft materialize`, which makes everything outstanding;
- a full name given to `--partition` is answered with Dagster's key, an unknown one with the nearest.

Any other string reaches Dagster's own parser unchanged.
"""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import click
import dagster as dg

from rsft_assets.defs.partitions import full_partitions
from rsft_assets.specs.errors import SpecError, StepError, nearest
from rsft_assets.specs.study import load_study
from rsft_assets.steps.questions.planning.selection import Selection, cells, select

_KEYS_BELOW = re.compile(r"[A-Za-z0-9_.\-]+(?:/[A-Za-z0-9_.\-]+)*/\*")
_original = dg.AssetSelection.from_string.__func__  # type: ignore[attr-defined]


def rewritten(selection: str) -> str:
    """Dagster's own spelling of the owner's; every other selection as it is."""
    return f'key:"{selection}"' if _KEYS_BELOW.fullmatch(selection.strip()) else selection


def install() -> None:
    """Teach this process the owner's spelling. Calling it again changes nothing."""

    def from_string(cls: type[dg.AssetSelection], string: str, *args: Any, **kwargs: Any) -> dg.AssetSelection:
        _materialize_outstanding(string)
        return _original(cls, rewritten(string), *args, **kwargs)

    dg.AssetSelection.from_string = classmethod(from_string)  # type: ignore[method-assign,assignment]


def _materialize_outstanding(string: str) -> None:
    """Where `dagster asset materialize` was typed without partitions: do what `rsft materialize` does."""
    context = click.get_current_context(silent=True)
    if context is None or context.params.get("select") is None:
        return
    if _KEYS_BELOW.fullmatch(string.strip()):
        # An owner's spelling that names nothing is answered with the nearest names.
        try:
            select(load_study(), [string])
        except SpecError as error:
            raise click.UsageError(str(error)) from error
    if context.info_name != "materialize":
        return
    if os.environ.get("DAGSTER_HOME"):
        from rsft_assets.runs.dead_runs import end_dead_runs

        # A killed run would hold its slot, and this one wait for it, for ever.
        with dg.DagsterInstance.get() as instance:
            end_dead_runs(instance)
    selections: Sequence[str] = context.params["select"].split(",")
    if partitions := context.params.get("partition") or context.params.get("partition_range"):
        _check_partitions(selections, partitions)
        return
    if _needs_partitions(selections):
        from rsft_assets.commands.terminal import materialize_in_terminal

        try:
            sys.exit(materialize_in_terminal(Selection(tuple(selections))))
        except StepError as error:
            raise click.ClickException(str(error)) from error


def _needs_partitions(selections: Sequence[str]) -> bool:
    """Whether any selected asset is partitioned; False for what is not one of our globs."""
    try:
        return any(ref.partition for ref in cells(load_study(), Selection(tuple(selections))))
    except SpecError:
        return False


def _check_partitions(selections: Sequence[str], partitions: str) -> None:
    """A full name, and a key that no selected asset has, are answered with Dagster's key or the nearest ones."""
    study = load_study()
    try:
        keys = select(study, selections)
    except SpecError:
        return
    names = {key: full for asset in keys for key, full in full_partitions(study, asset).items() if key}
    short = {full: key for key, full in names.items() if full != key}
    typed = partitions.split("...")
    if short.keys() & set(typed):
        right = "...".join(short.get(name, name) for name in typed)
        raise click.UsageError(f"{partitions!r}: in Dagster a partition does not name its model; use {right!r}")
    for name in typed if names else ():
        if name not in names:
            raise click.UsageError(f"unknown partition {name!r}: {nearest(name, names)}")
