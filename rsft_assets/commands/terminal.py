"""The terminal's view of a batch run: a line per asset, a bar for each piece of work, words for the rest."""

import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from rsft_assets.commands.lock import resolved_plan
from rsft_assets.commands.plan import keep_plan
from rsft_assets.defs.launchers import Event, refuse_what_cannot_run
from rsft_assets.defs.watching import progress_line, watching
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.questions.planning.batches import Batch
from rsft_assets.steps.questions.planning.plan import Plan
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store

DONE, FAILED, WRONG_USAGE = 0, 1, 2
_SHOWN_WAITING = 5
_LINE_EVERY_SECONDS = 10.0


class Display:
    """Progress on standard error: bars on a terminal, plain lines elsewhere."""

    def __init__(self, batches: Sequence[Batch], console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.counts: Counter[str] = Counter()
        self._all: Counter[str] = Counter()
        self._total = len(batches)
        self._sound = 0
        self._said_at = time.monotonic()
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._overall: TaskID = self.bars.add_task(
            "whole study" if len(batches) > 1 else "", total=len(batches), words=""
        )
        self._at_work: dict[str, TaskID] = {}

    def __enter__(self) -> "Display":
        self.bars.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        self.bars.__exit__(*problem)

    def start(self, number: int) -> None:
        self.counts.clear()
        self.bars.update(self._overall, completed=number, words=f"{number}/{self._total}")

    def watch(self, event: Event) -> None:
        """Called with every event of the running step."""
        if event["event"] == "progress":
            self._show_progress(event)
        elif event["event"] == "recorded":
            self.counts[event["state"]] += 1
            self._all[event["state"]] += 1
        elif event["event"] == "note":
            self.console.print(f"[yellow]note[/yellow]   {escape(event['words'])}", soft_wrap=True)
        elif event["event"] == "skipped":
            self.console.print(escape(f"  skipped {event['asset']} {event['partition']}: {event['reason']}"))

    def _show_progress(self, event: Event) -> None:
        progress = progress_line(event).partition(": ")[2]
        if not self.console.is_terminal:
            # A log file gets fewer lines than one a second.
            last, now = event["done"] >= event["total"] > 0, time.monotonic()
            if not last and now - self._said_at < _LINE_EVERY_SECONDS:
                return
            self._said_at = now
            self.console.print(escape(f"  {progress_line(event)}"), soft_wrap=True)
            return
        what = event["what"]
        if what not in self._at_work:
            self._at_work[what] = self.bars.add_task(escape(f"  {what}"), words="")
        self.bars.update(
            self._at_work[what], total=event["total"] or None, completed=event["done"], words=escape(progress)
        )
        if event["done"] >= event["total"] > 0:
            self.bars.remove_task(self._at_work.pop(what))

    def end(self, batch: Batch, problem: str) -> None:
        for task in self._at_work.values():
            self.bars.remove_task(task)
        self._at_work.clear()
        if problem:
            self.console.print(f"[red]failed[/red] {batch.title}\n{escape(problem)}", soft_wrap=True)
            return
        self._sound += 1
        counts = ", ".join(f"{count} {state}" for state, count in sorted(self.counts.items())) or "nothing to do"
        self.console.print(f"[green]done[/green]   {batch.title}: {counts}", soft_wrap=True)

    def totals(self) -> str:
        left = self._total - self._sound
        failed = f"{left} of {self._total} not done" if left else ""
        made = ", ".join(f"{count} {state}" for state, count in sorted(self._all.items()))
        return ", ".join(filter(None, (made, failed))) or "nothing to do"


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A counter on standard error for work whose total is not known; quiet where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.completed:,} {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done: bar.update(task, completed=done)


def materialize_in_terminal(selection: Selection, *, frozen: bool = False, as_json: bool = False) -> int:
    """Make everything a selection asks for, in this process; returns the exit status."""
    store, console = Store.from_env(), Console(stderr=True, highlight=False, markup=False)
    plan = resolved_plan(console, store, selection, frozen=frozen)
    study = plan.states.study
    refuse_what_cannot_run(study, store, [ref for ref in plan.refs if not plan.states.kept(ref)])
    for line in plan.past_the_end:
        console.print(line, soft_wrap=True)
    _say_waiting(console, plan, selection)
    if estimate := keep_plan(plan, selection.globs):
        console.print(estimate, soft_wrap=True)
    status, results, totals = run_plan(store, plan, force=selection.force)
    if as_json:
        print(
            json.dumps(
                {"ok": status == DONE, "batches": results, "waiting": {str(k): str(v) for k, v in plan.waiting.items()}}
            )
        )
    elif plan.batches:
        console.print(totals)
    return status


def _say_waiting(console: Console, plan: Plan, selection: Selection) -> None:
    """One paragraph on cells whose inputs do not exist yet, with the commands that make these."""
    if not plan.waiting:
        return
    damaged = list(filter(None, map(plan.states.damage, sorted(set(plan.waiting.values()), key=str))))
    what = "are damaged or do not exist yet" if damaged else "do not exist yet"
    console.print(f"{len(plan.waiting)} partitions wait for inputs that {what}:")
    for problem in damaged[:_SHOWN_WAITING]:
        console.print(f"  {problem}", soft_wrap=True)
    lacking = Counter(ref.asset for ref in set(plan.waiting.values()))
    for asset, count in lacking.most_common(_SHOWN_WAITING):
        console.print(f"  {asset} ({count} missing): rsft materialize {asset}", soft_wrap=True)
    if len(lacking) > _SHOWN_WAITING:
        console.print(f"  and {len(lacking) - _SHOWN_WAITING} more")
    console.print(f"or all of it at once: rsft materialize {selection} --upstream", soft_wrap=True)


def run_plan(
    store: Store, plan: Plan, *, force: bool = False, vital: Collection[str] = ()
) -> tuple[int, list[dict[str, Any]], str]:
    """(exit status, one entry per batch, totals in words) after running every batch with a display, or all up to the
    first failure of a stage in `vital`.
    """
    # Loading the definitions here keeps `rsft --help` and wrong usage fast.
    from rsft_assets.defs.code_location import defs
    from rsft_assets.runs.database import database_errors, database_words
    from rsft_assets.runs.instance import open_instance
    from rsft_assets.runs.running import run_batches

    if not plan.batches:
        return (FAILED if plan.waiting else DONE), [], ""
    results: list[dict[str, Any]] = []
    with open_instance(store) as instance, Display(plan.batches) as display, watching(display.watch):
        outcomes = run_batches(defs, instance, plan.batches, force=force, vital=vital)
        for number, batch in enumerate(plan.batches):
            display.start(number)
            try:
                outcome = next(outcomes, None)
            except database_errors() as error:
                raise StepError(database_words(error)) from error
            if outcome is None:
                break
            display.end(batch, outcome.problem)
            first, last = batch.partitions[0], batch.partitions[-1]
            entry: dict[str, Any] = {"assets": list(batch.assets), "from": first, "to": last, "run_id": outcome.run_id}
            entry |= {"ok": outcome.ok, "failed": sorted(key.to_user_string() for key in outcome.failed)}
            results.append({**entry, "problem": outcome.problem, "recorded": dict(display.counts)})
        totals = display.totals()
    sys.stderr.flush()
    return (DONE if all(entry["ok"] for entry in results) else FAILED), results, totals
