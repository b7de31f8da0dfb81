"""`rsft doctor`: the findings on a terminal or as JSON, the sync of Dagster's event log, what may be deleted."""

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from rsft_assets.defs.launchers import capabilities_of
from rsft_assets.runs.database import dagster_folder, has_database, postgres
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.study import load_study
from rsft_assets.steps.processes.hardware import GIB
from rsft_assets.steps.questions.cleanup import delete, survey
from rsft_assets.steps.questions.doctor import Finding, examine
from rsft_assets.steps.records.store import Store

if TYPE_CHECKING:
    from dagster import DagsterInstance

_MARKS = {"ok": "[green]ok[/green]     ", "note": "[yellow]note[/yellow]   ", "problem": "[red]problem[/red]"}


def run_doctor(*, sync_events: bool, content: bool, as_json: bool) -> int:
    """Print what was found; 1 where something is a problem."""
    store = Store.from_env()
    findings = list(examine(store, lambda placement: capabilities_of(placement, store.home), content=content))
    findings += _dagster(store, sync_events=sync_events)
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        console = Console(highlight=False)
        for finding in findings:
            console.print(f"{_MARKS[finding.state]} {escape(f'{finding.what}: {finding.words}')}", soft_wrap=True)
    return 1 if any(finding.state == "problem" for finding in findings) else 0


def run_disk(*, delete_safe: bool, as_json: bool) -> int:
    """Print what takes up disk besides current outputs, and with `delete` delete what nothing needs."""
    store = Store.from_env()
    items = survey(load_study(), store)
    gone = set(delete(items)) if delete_safe else set()
    if as_json:
        rows = [
            {"path": str(item.path), "bytes": item.bytes, "safe": item.safe, "why": item.why, "deleted": item in gone}
            for item in items
        ]
        print(json.dumps(rows))
        return 0
    console = Console(highlight=False)
    for item in items:
        mark = "deleted" if item in gone else "may go" if item.safe else "kept"
        place = item.path.relative_to(store.home)
        console.print(f"{mark:8}{_amount(item.bytes):>10}  {escape(f'{place}: {item.why}')}", soft_wrap=True)
    left = sum(item.bytes for item in items if item.safe and item not in gone)
    if gone:
        console.print(f"{_amount(sum(item.bytes for item in gone))} freed in {store.home}")
    elif left:
        console.print(f"{_amount(left)} can be deleted: rsft doctor --disk --delete")
    else:
        console.print(f"nothing to delete in {store.home}")
    return 0


def _amount(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def _dagster(store: Store, *, sync_events: bool) -> Iterator[Finding]:
    """Whether Dagster's database answers and its pool has slots; with `sync_events`, it learns of every output."""
    folder = dagster_folder(store)
    if not sync_events and not has_database(folder):
        yield _recorded(store, str(folder), known=False)
        return
    # Loading Dagster takes seconds.
    from rsft_assets.defs.pool import GPU_POOL
    from rsft_assets.runs.dead_runs import closed_pool
    from rsft_assets.runs.instance import open_instance

    try:
        with open_instance(store) as instance:
            done = _sync(instance, store) if sync_events else None
            server = postgres(folder)
            yield _recorded(store, server.address if server else str(folder), known=bool(instance.all_asset_keys()))
            if closed := closed_pool(instance, [GPU_POOL]):
                yield Finding("problem", "pool", closed)
            if done is not None:
                yield done
    except StepError as error:
        yield Finding("problem", "dagster", str(error))


def _recorded(store: Store, place: str, *, known: bool) -> Finding:
    if known or next(store.outputs(), None) is None:
        return Finding("ok", "dagster", place)
    return Finding("note", "dagster", f"nothing is recorded in {place}: `rsft doctor --sync` records the outputs there")


def _sync(instance: "DagsterInstance", store: Store) -> Finding:
    from rsft_assets.runs.syncing import sync

    done = sync(instance, load_study(), store)
    recorded = f"{len(done.recorded)} outputs recorded in Dagster, {done.known} known already"
    if done.undeclared:
        recorded += f"; {len(done.undeclared)} are of assets that are no longer declared, such as {done.undeclared[0]}"
    return Finding("ok", "sync", recorded)
