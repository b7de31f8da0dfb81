"""`rsft demo`: the nano study from nothing to tables, figures and a trace, through Dagster.

Without `full` it is the part of the study that `nano.DEMO_RUNS` and `nano.DEMO_BENCHMARKS` name; what it makes, the
whole study keeps.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rsft_assets.commands.plan import keep_plan
from rsft_assets.commands.terminal import run_plan
from rsft_assets.defs.recording import trace_command
from rsft_assets.specs.lineage import TABLE_OF, Ref, score_ref
from rsft_assets.specs.nano import DEMO_BENCHMARKS, DEMO_RUNS
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.questions.planning.closure import closure
from rsft_assets.steps.questions.planning.plan import Plan, plan_of
from rsft_assets.steps.questions.planning.selection import all_keys
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.publishing import database_path, open_results

STUDY = "nano"
_VITAL = ("base_models",)
"""If the base model of a size fails, the rest would show nothing."""
_SUMMARY = """
    SELECT run, model, dataset, dataset_title, benchmark, title, step, value, instead, low, high, items
    FROM marts.benchmark_scores
    JOIN (SELECT dataset, dataset_title FROM declared.datasets) USING (dataset)
    JOIN (SELECT benchmark, position FROM declared.benchmarks) USING (benchmark)
    WHERE run IN (SELECT unnest($runs)) AND is_default
    ORDER BY position, model, dataset, run, step
"""


def demo_runs(study: Study, *, full: bool) -> tuple[str, ...]:
    """Names of the runs that are trained: all of the nano study's, or the few that show what it is about."""
    mine = [name for name in study.runs if study.member_of[("runs", name)] == STUDY]
    return tuple(mine) if full else DEMO_RUNS


def demo_plan(study: Study, store: Store, *, full: bool) -> Plan:
    """The runs' scores and everything that they are made from, the audits of their pools, and the results."""
    scores = {
        score_ref(run, step, benchmark.name)
        for run in map(study.runs.__getitem__, demo_runs(study, full=full))
        for step in study.steps_of(run)
        for benchmark in study.benchmarks_of(run.model)
        if full or benchmark.name in DEMO_BENCHMARKS
    }
    refs = closure(study, scores)
    refs |= {Ref(f"audits/{ref.name}") for ref in refs if ref.stage == "verdicts"}
    return plan_of(study, store, refs | {Ref(key) for key in all_keys(study) if Ref(key).stage not in TABLE_OF})


def bases_to_pretrain(study: Study, store: Store, *, full: bool) -> list[Ref]:
    """The demo's base models that were not pretrained in this home as they are declared now."""
    models = dict.fromkeys(study.runs[name].model for name in demo_runs(study, full=full))
    kept = {ref: store.kept(store.identity(study, ref)) for ref in (Ref(f"base_models/{model}") for model in models)}
    return [ref for ref, output in kept.items() if output is None or output.manifest.origin != "computed"]


def run_demo(*, full: bool = False, from_scratch: bool = False, as_json: bool) -> int:
    """Make the nano study, or the smallest part of it worth seeing, and show what came out; returns the exit status.

    `from_scratch` pretrains its base models.
    """
    study, store = load_study(), Store.from_env()
    console = Console(stderr=True, highlight=False)
    started = time.monotonic()
    command = ["demo", *(["--full"] if full else []), *(["--from-scratch"] if from_scratch else [])]
    if from_scratch and (bases := bases_to_pretrain(study, store, full=full)):
        pretraining = plan_of(study, store, bases, force=True)
        console.print(f"pretraining {len(bases)} base models, in {store.home}")
        if estimated := keep_plan(pretraining, command):
            console.print(estimated, soft_wrap=True)
        status, results, _ = run_plan(store, pretraining, force=True, vital=_VITAL)
        if status != 0:
            console.print(_unfinished(results), soft_wrap=True)
            return status
    runs = demo_runs(study, full=full)
    plan = demo_plan(study, store, full=full)
    part = "the whole nano study" if full else "the smallest part of the nano study"
    assets = {ref.asset for ref in plan.refs if ref.stage in TABLE_OF}
    console.print(f"{part}: {len(runs)} training runs, {len(assets)} assets, in {store.home}")
    if estimated := keep_plan(plan, command):
        console.print(estimated, soft_wrap=True)
    status, results, totals = run_plan(store, plan, vital=_VITAL)
    seconds = time.monotonic() - started
    if status != 0:
        console.print(_unfinished(results), soft_wrap=True)
        return status
    nothing_new = not any(state in ("made",) for entry in results for state in entry["recorded"])
    console.print(f"\n{'nothing was left to do' if nothing_new else 'finished'} in {seconds:.0f} s: {totals}\n")
    rows = _rows(store, runs)
    if as_json:
        print(
            json.dumps(
                {"ok": True, "seconds": round(seconds, 1), "scores": rows, "database": str(database_path(store))}
            )
        )
        return status
    out = Console(highlight=False)
    if full:
        _print_answers(store, out)
    else:
        out.print(
            "Headline score in %, by optimizer step (0 is the base model); ± is half of the widest 95 % interval:\n"
        )
        out.print(_score_table(rows))
        for model in dict.fromkeys(study.runs[name].model for name in runs):
            out.print(f"{model}: {study.models[model].description}", soft_wrap=True)
        out.print(
            "A lost refusal is not always a forbidden request answered: many are broken. The report counts both.",
            soft_wrap=True,
        )
        out.print(
            "One training seed, a part of the study. All of it, with its seeds: rsft demo --full\n", soft_wrap=True
        )
    for line in closing_lines(study, store, runs[0]):
        out.print(line, soft_wrap=True, markup=False)
    return status


def _unfinished(results: Sequence[dict[str, Any]]) -> str:
    """The last line of a demo that did not finish."""
    assets = [asset for entry in results for asset in entry["failed"]]
    bases = [asset for asset in assets if Ref(asset).stage in _VITAL]
    if bases:
        return f"stopped: {bases[0]} failed, so nothing was fine-tuned; run the same command to resume"
    return "the demo did not finish; run the same command to resume"


def _print_answers(store: Store, out: Console) -> None:
    """The report's questions, each with its short answer."""
    from rsft_assets.steps.report.write import answers_of

    with open_results(store) as db:
        for answer in answers_of(db, STUDY):
            out.print(f"[bold]{answer.question}[/bold]")
            for sentence in answer.short.splitlines() or answer.missing[:1]:
                out.print(f"  {sentence}", soft_wrap=True, markup=False)
            out.print()


def _rows(store: Store, runs: Sequence[str]) -> list[dict[str, Any]]:
    with open_results(store) as db:
        cursor = db.execute(_SUMMARY, {"runs": list(runs)})
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _score_table(rows: list[dict[str, Any]]) -> Table:
    """Benchmark, base and training set down, steps across; the widest half of a line's 95 % intervals at its end."""
    steps = sorted({row["step"] for row in rows})
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    names = ("benchmark", "base", "trained on")
    for heading in (*names, *map(str, steps), "±"):
        named = heading in names
        table.add_column(heading, justify="left" if named else "right", no_wrap=True)
    lines: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["title"], row["model"], row["dataset_title"]), {})[row["step"]] = row
    shown = ""
    for (benchmark, model, dataset), by_step in lines.items():
        cells = [_cell(by_step[step]) if step in by_step else "–" for step in steps]
        halves = [(row["high"] - row["low"]) / 2 for row in by_step.values() if row["value"] is not None]
        widest = f"{100 * max(halves):.0f}" if halves else "–"
        table.add_row("" if benchmark == shown else benchmark, model, dataset, *cells, widest)
        shown = benchmark
    return table


def _cell(row: dict[str, Any]) -> str:
    return str(row["instead"]) if row["value"] is None else f"{100 * row['value']:.0f}"


def closing_lines(study: Study, store: Store, run_name: str) -> list[str]:
    """Where everything is, and the command that follows a number to its origin."""
    figure = _file(store, "figures/overview", f"{STUDY}.png")
    report = _file(store, "report", f"{STUDY}.html")
    run = study.runs[run_name]
    last = score_ref(run, study.steps_of(run)[-1], study.benchmarks_of(run.model)[0].name)
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
