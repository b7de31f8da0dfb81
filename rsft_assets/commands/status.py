"""`rsft status`: what is done, running and missing, what is behind, and what the rest will cost."""

import json
from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from rsft_assets.commands.plan import in_words
from rsft_assets.runs.database import dagster_folder, has_database
from rsft_assets.specs.lineage import TABLE_OF, Ref
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.questions.planning.amounts import estimate
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.quantities import total
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.behind import behind

if TYPE_CHECKING:
    from dagster import DagsterRun

_NAMES = {"missing": "missing", "stale": "changed", "gradable": "to grade"}
"""State of a cell -> its column."""


def run_status(selection: Selection, *, as_json: bool = False) -> int:
    """Print where a selection stands; the exit status."""
    study, store = load_study(), Store.from_env()
    # What is missing only because an input is missing will be made, too.
    plan = make_plan(study, store, selection, assume_inputs=True)
    counts: dict[str, Counter[str]] = {}
    for ref in plan.refs:
        counts.setdefault(_row(study, ref), Counter())[plan.states.of(ref).kind] += 1
    stale, running = behind(store), _running(store)
    rest = [ref for ref in plan.refs if not plan.states.kept(ref)]
    cost = in_words(total(estimate(plan))) if rest else ""
    if as_json:
        said = {"cells": counts, "running": running, "behind": stale, "left": len(rest), "cost": cost}
        print(json.dumps(said))
        return 0
    console = Console(highlight=False, markup=False)
    console.print(_table(counts))
    for line in running:
        console.print(f"running: {line}", soft_wrap=True)
    if stale:
        console.print(stale, soft_wrap=True)
    if rest:
        console.print(f"left: {len(rest):,} parts{f', {cost}' if cost else ''}", soft_wrap=True)
        console.print(f"make them: rsft materialize {selection} --upstream", soft_wrap=True)
    else:
        console.print("nothing is left to do")
    return 0


def _row(study: Study, ref: Ref) -> str:
    """The study and the stage of a cell."""
    table = TABLE_OF.get(ref.stage)
    names = study.member_of
    member = names.get(("runs", ref.run)) if ref.stage in ("checkpoints", "scores") else None
    member = member or (names.get((table, ref.name)) if table else None)
    return f"{member} {ref.stage}" if member else ref.stage


def _table(counts: dict[str, Counter[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    used = [kind for kind in _NAMES if any(count[kind] for count in counts.values())]
    table.add_column("")
    for heading in ("done", "of", *(_NAMES[kind] for kind in used)):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, count in sorted(counts.items(), key=lambda entry: entry[0].split(" ")[0]):
        shown = (f"{count[kind]:,}" if count[kind] else "–" for kind in used)
        table.add_row(row, f"{count['kept']:,}", f"{sum(count.values()):,}", *shown)
    return table


def _running(store: Store) -> list[str]:
    """Dagster's runs in progress, each with its assets and partitions."""
    if not has_database(dagster_folder(store)):
        return []
    # Dagster takes seconds to load.
    import dagster as dg

    from rsft_assets.defs.process_mark import AT_WORK
    from rsft_assets.runs.instance import open_instance

    with open_instance(store) as instance:
        return [_run_words(run) for run in instance.get_runs(filters=dg.RunsFilter(statuses=AT_WORK))]


def _run_words(run: "DagsterRun") -> str:
    names = sorted(key.to_user_string() for key in run.asset_selection or ())
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    first = run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_start", "")
    last = run.tags.get("dagster/asset_partition_range_end", first)
    cells = f" {first}" if first == last else f" {first} to {last}"
    return f"{names[0] if names else run.job_name}{more}{cells if first else ''}"
