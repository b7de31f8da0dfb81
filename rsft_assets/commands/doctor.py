"""`rsft doctor`: the findings on a terminal or as JSON, the sync of Dagster's event log, what may be deleted."""

import dataclasses
import json

from rich.console import Console
from rich.markup import escape

from rsft_assets.defs.launchers import capabilities_of
from rsft_assets.specs.study import load_study
from rsft_assets.steps.processes.hardware import GIB
from rsft_assets.steps.questions.cleanup import delete, survey
from rsft_assets.steps.questions.doctor import Finding, examine
from rsft_assets.steps.records.store import Store

_MARKS = {"ok": "[green]ok[/green]     ", "note": "[yellow]note[/yellow]   ", "problem": "[red]problem[/red]"}


def run_doctor(*, sync_events: bool, content: bool, as_json: bool) -> int:
    """Print what was found; 1 where something is a problem."""
    store = Store.from_env()
    findings = list(examine(store, lambda placement: capabilities_of(placement, store.home), content=content))
    if sync_events:
        findings.append(_sync(store))
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


def _sync(store: Store) -> Finding:
    # Only --sync needs Dagster's database.
    from rsft_assets.runs.instance import open_instance
    from rsft_assets.runs.syncing import sync

    with open_instance(store) as instance:
        done = sync(instance, load_study(), store)
    recorded = f"{len(done.recorded)} outputs recorded in Dagster, {done.known} known already"
    if done.undeclared:
        recorded += f"; {len(done.undeclared)} are of assets that are no longer declared, such as {done.undeclared[0]}"
    return Finding("ok", "sync", recorded)
