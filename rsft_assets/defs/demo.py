"""`rsft demo`: the nano study from nothing to a table, a figure and a trace, through Dagster."""

import json
import time
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rsft_assets.defs.batches import all_keys, make_plan
from rsft_assets.defs.planning import keep_plan
from rsft_assets.defs.recording import trace_command
from rsft_assets.defs.terminal import run_plan
from rsft_assets.specs.lineage import Ref, asset_keys, partitions_of
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.publishing import database_path, open_results

STUDY = "nano"
_TABLE_OF = {"queries": "sources", "datasets": "datasets", "benchmarks": "benchmarks"}
_MODEL_STAGES = ("base_models", "checkpoints", "scores")
_SUMMARY = """
    SELECT dataset, benchmark, step, value, low, high, items
    FROM marts.benchmark_scores
    WHERE study = 'nano' AND grader = 'strict' AND is_headline AND state = 'scored'
    ORDER BY benchmark, dataset, step
"""


def nano_keys(study: Study) -> list[str]:
    """Keys of the nano study's own assets, and the results and figures made from them."""
    keys = []
    for key in all_keys(study):
        ref = Ref(key)
        table = "models" if ref.stage in _MODEL_STAGES else _TABLE_OF.get(ref.stage, "pools")
        if ref.stage in ("results", "figures", "report") or study.member_of[(table, ref.name)] == STUDY:
            keys.append(key)
    return keys


def run_demo(*, as_json: bool) -> int:
    """Make the whole nano study and show what came out; returns the exit status."""
    study, store = load_study(), Store.from_env()
    console = Console(stderr=True, highlight=False)
    started = time.monotonic()
    plan = make_plan(study, store, nano_keys(study))
    console.print(
        f"the nano study, {sum(1 for key in nano_keys(study) if key in set(asset_keys(study)))} assets, in {store.home}"
    )
    if estimated := keep_plan(study, store, plan, ["demo"]):
        console.print(estimated, soft_wrap=True)
    status, results, words = run_plan(store, plan)
    seconds = time.monotonic() - started
    if status != 0:
        console.print("the demo did not finish; the same command goes on from here")
        return status
    nothing_new = not any(state in ("made",) for entry in results for state in entry["recorded"])
    console.print(f"\n{'nothing was left to do' if nothing_new else 'finished'} in {seconds:.0f} s: {words}\n")
    rows = _rows(store)
    if as_json:
        print(
            json.dumps(
                {"ok": True, "seconds": round(seconds, 1), "scores": rows, "database": str(database_path(store))}
            )
        )
        return status
    out = Console(highlight=False)
    out.print("Headline score in %, ± half its 95 % interval, by optimizer step (0 is the base model):\n")
    out.print(_score_table(rows))
    for words in closing_lines(study, store):
        out.print(words, soft_wrap=True, markup=False)
    return status


def _rows(store: Store) -> list[dict[str, Any]]:
    with open_results(store) as db:
        cursor = db.execute(_SUMMARY)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _score_table(rows: list[dict[str, Any]]) -> Table:
    """Benchmark and training set down, steps across; each cell with its 95 % interval."""
    steps = sorted({row["step"] for row in rows})
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("benchmark", "trained on", *map(str, steps)):
        table.add_column(heading, justify="right" if heading.isdigit() else "left", no_wrap=True)
    cells: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        half = (row["high"] - row["low"]) / 2
        text = f"{100 * row['value']:.0f}±{100 * half:.0f}"
        cells.setdefault((row["benchmark"], row["dataset"]), {})[row["step"]] = text
    for (benchmark, dataset), by_step in cells.items():
        table.add_row(benchmark, dataset, *(by_step.get(step, "–") for step in steps))
    return table


def closing_lines(study: Study, store: Store) -> list[str]:
    """Where everything is, and the command that follows a number to its origin."""
    figure = _file(store, "figures/dip_and_recovery", f"{STUDY}.png")
    report = _file(store, "report", f"{STUDY}.html")
    score = next(key for key in reversed(nano_keys(study)) if key.startswith("scores/"))
    last = Ref(score, partitions_of(study, score)[-1])
    place = f"RSFT_HOME={store.home} " if store.home != Path(".rsft").absolute() else ""
    return [
        f"report:   {report or 'none was written'}",
        f"figure:   {figure or 'none was drawn'}",
        f"database: {database_path(store)} (open it read-only)",
        f"trace:    {place}{trace_command(last)}",
        f"the UI:   {place}rsft dev",
    ]


def _file(store: Store, asset: str, name: str) -> Path | None:
    output = store.current(Ref(asset))
    return output.folder / name if output and (output.folder / name).exists() else None
