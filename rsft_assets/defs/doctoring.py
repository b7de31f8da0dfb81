"""`rsft doctor`: the findings on a terminal or as JSON, and the sync of Dagster's event log."""

import dataclasses
import json

from rich.console import Console
from rich.markup import escape

from rsft_assets.specs.study import load_study
from rsft_assets.steps.doctor import Finding, examine
from rsft_assets.steps.records.store import Store

_MARKS = {"ok": "[green]ok[/green]     ", "note": "[yellow]note[/yellow]   ", "problem": "[red]problem[/red]"}


def run_doctor(*, sync_events: bool, content: bool, as_json: bool) -> int:
    """Print what was found; 1 where something is a problem."""
    store = Store.from_env()
    findings = list(examine(store, content=content))
    if sync_events:
        findings.append(_sync(store))
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        console = Console(highlight=False)
        for finding in findings:
            console.print(f"{_MARKS[finding.state]} {escape(f'{finding.what}: {finding.words}')}", soft_wrap=True)
    return 1 if any(finding.state == "problem" for finding in findings) else 0


def _sync(store: Store) -> Finding:
    # Only --sync needs Dagster's database.
    from rsft_assets.defs.instance import open_instance
    from rsft_assets.defs.syncing import sync

    with open_instance(store) as instance:
        done = sync(instance, load_study(), store)
    words = f"{len(done.recorded)} outputs told to Dagster, {done.known} known already"
    if done.undeclared:
        words += f"; {len(done.undeclared)} belong to nothing that is declared now, such as {done.undeclared[0]}"
    return Finding("ok", "sync", words)
