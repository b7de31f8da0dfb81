"""`rsft plan`: what a selection would cost, the sum first, then a line a batch; the last plan beside what it took."""

import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from rsft_assets.defs.launchers import placement_of, refuse_what_cannot_run
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.engines.opening import engine_kind
from rsft_assets.steps.questions.planning.actuals import actual, estimated, keep, last_plan
from rsft_assets.steps.questions.planning.amounts import estimate
from rsft_assets.steps.questions.planning.blocked import blocked
from rsft_assets.steps.questions.planning.plan import Plan, make_plan
from rsft_assets.steps.questions.planning.quantities import Line, Quantity, total
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store

_WORDS = {
    "generated_tokens": "tokens generated",
    "trained_tokens": "trained",
    "gpu_hours": "GPU",
    "cpu_hours": "CPU",
    "disk_bytes": "disk",
    "judge_tokens": "judged",
    "judge_usd": "judge $",
}
_HOURS, _TOKENS = ("gpu_hours", "cpu_hours"), ("generated_tokens", "trained_tokens", "judge_tokens")
_LEGEND = "m measured, r reference, a assumed (the least certain source)"


def keep_plan(plan: Plan, selections: Sequence[str]) -> str:
    """Keep the estimate of a plan that is about to run; its total in words, "" where nothing is left to do."""
    lines = estimate(plan)
    keep(plan.states.store, selections, lines)
    amounts = in_words(total(lines))
    return f"estimated: {amounts} (afterwards: rsft plan --last)" if amounts else ""


def in_words(line: Line) -> str:
    """Every quantity of a line, such as `2.1 GPU-h, 3.4 GB disk`."""
    return ", ".join(
        _hours(q, line.figures[q]) if q in _HOURS else f"{_value(q, line.figures[q])} {_WORDS[q]}"
        for q in _WORDS
        if q in line.figures
    )


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
    if lines:
        console.print(f"total: {len(whole.refs):,} parts, {in_words(whole)}", soft_wrap=True)
    for problem in problems:
        console.print(f"blocked: {problem}", soft_wrap=True)
    if lines:
        console.print(_table(study, lines))
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


def _table(study: Study, lines: Sequence[Line]) -> Table:
    table = _columns("parts", "tokens", "time", "disk")
    for line in lines:
        cells = (_shown(line, _TOKENS), _shown(line, _HOURS), _shown(line, ("disk_bytes",)))
        table.add_row(f"{len(line.refs):,}", *cells, _title(study, line))
    return table


def _columns(*quantities: str) -> Table:
    """Numbers first and the name last, so that 80 columns hold both."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in quantities:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("batch", overflow="fold")
    return table


def _title(study: Study, line: Line) -> str:
    if len(line.trained) == 1:
        ((run, (start, end)),) = line.trained.items()
        name = study.runs[run].short_name if run in study.runs else run
        return f"{line.title}: {name} {start or ''}→{end}"
    if line.assets and Ref(line.assets[0]).stage in ("checkpoints", "scores"):
        steps, runs = sorted({ref.step for ref in line.refs}), len({ref.run for ref in line.refs})
        span = f"{steps[0]}→{steps[-1]}" if len(steps) > 1 else f"at {steps[0]}"
        return f"{line.title}: {runs} run{'s' if runs > 1 else ''} {span}"
    return line.title


def _shown(line: Line, quantities: Sequence[str], *, basis: bool = True) -> str:
    """The first of these quantities that a line has."""
    for quantity in quantities:
        if figure := line.figures.get(quantity):
            value = _hours(quantity, figure) if quantity in _HOURS else _value(quantity, figure)
            return f"{value} {figure.basis[0]}" if basis else value
    return "–"


def _hours(quantity: str, figure: Quantity) -> str:
    """Device time in the unit that suits it."""
    seconds = figure.value * 3600
    size, unit = next((size, unit) for size, unit in ((3600, "h"), (60, "min"), (0, "s")) if seconds >= size)
    value = seconds / (size or 1)
    return f"{value:,.0f} {_WORDS[quantity]}-{unit}" if value >= 10 else f"{value:.2g} {_WORDS[quantity]}-{unit}"


def _value(quantity: str, figure: Quantity) -> str:
    value = figure.value
    if quantity == "judge_usd":
        return f"{value:,.2f}"
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
    console.print(f"planned at {plan['at'][:19]} UTC for {' '.join(plan['selection'])}")
    console.print(f"estimated: {in_words(total(planned))}", soft_wrap=True)
    console.print(f"took:      {in_words(total(took)) or 'nothing is made yet'}", soft_wrap=True)
    console.print(_comparison(study, planned, took))
    console.print("– is not recorded, or not made yet; times are wall time × devices of the placement", soft_wrap=True)
    return 0


def _comparison(study: Study, planned: Sequence[Line], took: Sequence[Line]) -> Table:
    table = _columns("made", "estimated", "took", "tokens", "were")
    for before, after in zip(planned, took, strict=True):
        cells = (_shown(line, quantities, basis=False) for quantities in (_HOURS, _TOKENS) for line in (before, after))
        table.add_row(f"{len(after.refs)}/{len(before.refs)}", *cells, _title(study, before))
    return table
