"""`rsft plan`: what a selection would cost, a line a batch; and the last plan beside what it really took."""

import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from rsft_assets.defs.launchers import placement_of, refuse_what_cannot_run
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.engines.opening import engine_kind
from rsft_assets.steps.questions.planning.actuals import actual, estimated, keep, last_plan
from rsft_assets.steps.questions.planning.amounts import estimate
from rsft_assets.steps.questions.planning.blocked import blocked
from rsft_assets.steps.questions.planning.plan import Plan, make_plan
from rsft_assets.steps.questions.planning.quantities import Line, Quantity, total
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store

_COLUMNS = {
    "generated_tokens": "generated",
    "trained_tokens": "trained",
    "gpu_hours": "GPU-h",
    "cpu_hours": "CPU-h",
    "disk_bytes": "disk",
    "judge_tokens": "judged",
    "judge_usd": "judge $",
}
_LEGEND = "tokens generated, trained on, judged · m measured, r reference, a assumed (the least certain source)"


def keep_plan(plan: Plan, selections: Sequence[str]) -> str:
    """Keep the estimate of a plan that is about to run; its total in words, "" where nothing is left to do."""
    lines = estimate(plan)
    keep(plan.states.store, selections, lines)
    figures = total(lines).figures
    amounts = ", ".join(f"{_value(q, figures[q])} {_COLUMNS[q]}" for q in _COLUMNS if q in figures)
    return f"estimated: {amounts} (afterwards: rsft plan --last)" if amounts else ""


def run_plan_command(selection: Selection, *, as_json: bool = False) -> int:
    """Print what a selection would cost; the exit status."""
    study, store = load_study(), Store.from_env()
    named = bool(selection.runs or selection.steps or selection.partitions)
    plan = make_plan(study, store, selection, assume_inputs=named)
    lines = estimate(plan)
    whole = total(lines)
    problems = [*blocked(plan, selection), *_no_gpu(plan), *_no_engine(plan)]
    if as_json:
        estimates = {"batches": [line.as_dict() for line in lines], "total": whole.as_dict()}
        rest = {"waiting": len(plan.waiting), "past_the_end": plan.past_the_end}
        print(json.dumps({"blocked": problems, **estimates, **rest}))
        return 0
    console = Console(highlight=False, markup=False)
    for problem in problems:
        console.print(f"blocked: {problem}", soft_wrap=True)
    if lines:
        console.print(_table(lines, whole))
        _explain(console, whole)
    else:
        console.print("nothing can run yet" if plan.waiting else "nothing is left to do")
    for words_past in plan.past_the_end:
        console.print(words_past, soft_wrap=True)
    if plan.waiting:
        console.print(
            f"{len(plan.waiting)} partitions wait for inputs that cannot be used yet and are not counted; "
            f"to include their inputs: rsft plan {selection} --upstream",
            soft_wrap=True,
        )
    return 0


def _no_gpu(plan: Plan) -> list[str]:
    try:
        refuse_what_cannot_run(plan.states.study, plan.states.store, plan.states.to_make(plan.refs))
    except StepError as error:
        return [str(error)]
    return []


def _no_engine(plan: Plan) -> list[str]:
    """What placements ask for that is not installed."""
    study = plan.states.study
    made = [ref for ref in plan.states.to_make(plan.refs) if ref.stage in ("responses", "scores")]
    sampled = [ref for ref in made if ref.stage == "scores" or study.pools[ref.name].adopted is None]
    placements = dict.fromkeys(placement_of(study, ref) for ref in sampled)
    try:
        for placement in placements:
            if placement.engine == "vllm":
                engine_kind(placement)
    except StepError as error:
        return [str(error)]
    return []


def _table(lines: Sequence[Line], whole: Line) -> Table:
    used = [quantity for quantity in _COLUMNS if quantity in whole.figures]
    table = _columns("parts", used)
    for line in lines:
        table.add_row(_title(line), str(len(line.refs)), *_cells(line, used))
    table.add_section()
    table.add_row("total", str(len(whole.refs)), *_cells(whole, used))
    return table


def _columns(count: str, quantities: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("batch", overflow="fold")
    for heading in (count, *(_COLUMNS[quantity] for quantity in quantities)):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _title(line: Line) -> str:
    if len(line.trained) == 1:
        ((run, (start, end)),) = line.trained.items()
        return f"checkpoints/{run} {start}→{end}"
    if line.assets and Ref(line.assets[0]).stage in ("checkpoints", "scores"):
        steps, runs = sorted({ref.step for ref in line.refs}), len({ref.run for ref in line.refs})
        span = f"step {steps[0]}" + (f" to {steps[-1]}" if len(steps) > 1 else "")
        return f"{line.title} ({runs} run{'s' if runs > 1 else ''}, {span})"
    return line.title


def _cells(line: Line, quantities: Sequence[str]) -> list[str]:
    return [_shown(quantity, line.figures.get(quantity)) for quantity in quantities]


def _shown(quantity: str, figure: Quantity | None) -> str:
    return "–" if figure is None else f"{_value(quantity, figure)} {figure.basis[0]}"


def _value(quantity: str, figure: Quantity) -> str:
    value = figure.value
    if quantity == "judge_usd":
        return f"{value:,.2f}"
    if quantity.endswith("_hours"):
        return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
    for size, unit in ((1e12, "T"), (1e9, "G" if quantity == "disk_bytes" else "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}" + ("B" if quantity == "disk_bytes" else "")
    return f"{value:.0f}" + (" B" if quantity == "disk_bytes" else "")


def _explain(console: Console, whole: Line) -> None:
    console.print(_LEGEND, soft_wrap=True)
    most, usual = whole.figures.get("generated_tokens_at_most"), whole.figures.get("generated_tokens")
    if most and usual:
        shown = _value("generated_tokens", most)
        console.print(f"at most {shown} tokens are generated, if every response runs to its limit", soft_wrap=True)
    for source in whole.sources:
        console.print(f"  · {source}", soft_wrap=True)


def run_last(*, as_json: bool) -> int:
    """Print the plan kept last beside what the manifests say it took; the exit status."""
    study, store = load_study(), Store.from_env()
    plan = last_plan(store)
    planned = [estimated(entry) for entry in plan["lines"]]
    took = [actual(study, store, line, plan["at"]) for line in planned]
    if as_json:
        entries = [{"estimate": a.as_dict(), "actual": b.as_dict()} for a, b in zip(planned, took, strict=True)]
        whole = {"estimate": total(planned).as_dict(), "actual": total(took).as_dict()}
        print(json.dumps({"selection": plan["selection"], "at": plan["at"], "batches": entries, **whole}))
        return 0
    console = Console(highlight=False, markup=False)
    console.print(f"planned at {plan['at'][:19]} UTC for {' '.join(plan['selection'])}: estimate → actual")
    console.print(_comparison(planned, took))
    console.print("– is not recorded, or not made yet; hours are wall time times the devices of the placement")
    return 0


def _comparison(planned: Sequence[Line], took: Sequence[Line]) -> Table:
    wholes = total(planned), total(took)
    used = [q for q in _COLUMNS if any(q in whole.figures for whole in wholes)]
    table = _columns("made", used)
    rows = [*zip(planned, took, strict=True), wholes]
    for before, after in rows:
        pairs = [(before.figures.get(quantity), after.figures.get(quantity), quantity) for quantity in used]
        cells = [f"{_shown(q, a)} → {_value(q, b) if b else '–'}" if a or b else "–" for a, b, q in pairs]
        table.add_row(before.title, f"{len(after.refs)}/{len(before.refs)}", *cells)
    return table
