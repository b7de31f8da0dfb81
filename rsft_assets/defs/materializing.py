"""The op of every stage: keep what is finished, launch one step for the rest, record each output as it ends."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import dagster as dg

from rsft_assets.defs.cell_checks import cell_check_results, silent_check_outputs
from rsft_assets.defs.checks import dataset_check_results
from rsft_assets.defs.dagster_private import keep_sqlite_engines
from rsft_assets.defs.failures import failure, show_traces
from rsft_assets.defs.jobs import launchpad_path
from rsft_assets.defs.launchers import Event, StepCall, StepFailed, here, launch, placement_of, refuse_what_cannot_run
from rsft_assets.defs.partitions import full_partitions
from rsft_assets.defs.pool import USES_ACCELERATOR, follow_slots
from rsft_assets.defs.programs import program_of
from rsft_assets.defs.recording import Upstream, instead_of_number, materialization, silent_output
from rsft_assets.defs.watching import progress_line, tell
from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import TABLE_OF, Ref, partitions_of
from rsft_assets.specs.placement import load_placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.program import TRY_AGAIN
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.records.store import Output, Store

_RETRIES = 3
_NAMED = 4


@dataclass
class StageRun:
    """One op at work: which refs were asked for, which exist by now, what went wrong."""

    context: dg.AssetExecutionContext
    study: Study
    store: Store
    force: bool
    upstream: Upstream
    recorded: dict[Ref, Output] = field(default_factory=dict)
    problems: dict[Ref, str] = field(default_factory=dict)

    def record(self, output: Output, state: str) -> None:
        ref = output.manifest.ref
        self.recorded[ref] = output
        if _lacks_access(output):
            state = "no access"
            tell({"event": "note", "words": f"{ref}: no access: {output.stats['reason']}"})
        elif instead_of_number(output):
            tell({"event": "note", "words": f"{ref}: {output.stats['reason']}"})
        self.context.log_event(materialization(output, state, self.upstream))
        for result in cell_check_results(self.context.instance, self.study, output):
            self.context.log_event(result)
            if result.blocking and not result.passed:
                self.problems[ref] = f"{ref}: asset check {result.check_name}: {result.description}"
        tell({"event": "recorded", "state": state, "asset": ref.asset, "partition": ref.partition})

    def keep_finished(self, refs: Sequence[Ref]) -> list[Ref]:
        """Record what is finished already; return what is left to make."""
        left = []
        states = States(self.study, self.store, refs if self.force else (), force=self.force)
        for ref in refs:
            state = states.of(ref)
            if state.kind == "waits":
                self.problems[ref] = state.why
            elif state.kind == "kept" and state.output is not None and not _is_asked_again(state.output):
                self.store.use(state.output)
                self.record(state.output, "kept")
            else:
                left.append(ref)
        return left

    def launch(self, refs: Sequence[Ref]) -> None:
        """Make the rest in one process, recording each output the moment it is published."""
        placement = placement_of(self.study, refs[0])
        call = step_call(self.store, refs, force=self.force)
        self.context.log.info(f"launching {call.command}")
        tell({"event": "launched", "asset": refs[0].asset, "partitions": len(refs), "command": call.command})
        for event in launch(placement, call):
            self.handle(event)
        for ref in refs:
            # Another process made it meanwhile, or the step found it complete.
            if ref not in self.recorded and (kept := self.store.keep(self.store.identity(self.study, ref))):
                self.record(kept, "kept")

    def handle(self, event: Event) -> None:
        tell(event)
        if event["event"] == "progress":
            self.context.log.info(progress_line(event))
        elif event["event"] == "note":
            self.context.log.info(event["words"])
        elif event["event"] == "skipped":
            self.context.log.warning(f"skipped {event['asset']}[{event['partition']}]: {event['reason']}")
        elif event["event"] == "published":
            output = self.store.current(Ref(event["asset"], event["partition"]))
            # A completion set is published too, but is not an asset.
            if output is not None and output.manifest.ref.stage in TABLE_OF:
                self.record(output, "made")


def _lacks_access(output: Output) -> bool:
    """A benchmark whose items could not be had, or a score on it."""
    return output.stats.get("access") == "none" or output.stats.get("state") == "no-access"


def _is_asked_again(output: Output) -> bool:
    """A benchmark without access: asking is the only way to learn that access has been given."""
    return output.manifest.ref.stage == "benchmarks" and _lacks_access(output)


def step_call(store: Store, refs: Sequence[Ref], *, force: bool) -> StepCall:
    """The command line that makes `refs`, which are one stage's: assets crossed with partitions."""
    assets = tuple(dict.fromkeys(ref.asset for ref in refs))
    partitions = dict.fromkeys(ref.partition for ref in refs if ref.partition)
    options = [word for partition in partitions for word in ("--partition", partition)]
    return StepCall(
        module=program_of(refs[0].stage),
        arguments=(*assets, *options, *(("--force",) if force else ())),
        home=store.home,
        label=assets[0].replace("/", "_"),
    )


def run_program(context: dg.AssetExecutionContext, module: str, arguments: Sequence[str], label: str) -> None:
    """Run a program that makes tables, figures or the report; a failure names the cause and the remedy."""
    show_traces()
    store = Store.from_env()
    try:
        store.check_writable()
        call = StepCall(module, tuple(arguments), store.home, label)
        for event in launch(here(load_placement()), call):
            tell(event)
            if event["event"] == "progress":
                context.log.info(progress_line(event))
            elif event["event"] == "note":
                context.log.warning(event["words"])
    except (StepFailed, StepError, SpecError) as error:
        raise failure(str(error)) from None


def make_and_record(
    context: dg.AssetExecutionContext,
    stage: str,
    outputs: Mapping[str, str],
    arguments: Sequence[str],
    event_of: Callable[[dg.DagsterInstance, Output, str], dg.AssetMaterialization],
) -> Iterator[dg.Output[None]]:
    """Run the program of figures or the report and record what there is now; `outputs` maps keys to output names."""
    store = Store.from_env()
    before = {key: store.sound(Ref(key)) for key in outputs}
    run_program(context, program_of(stage), arguments, stage)
    for key, output_name in outputs.items():
        output, old = store.require(Ref(key)), before[key]
        state = "kept" if old is not None and old.digest == output.digest else "made"
        context.log_event(event_of(context.instance, output, state))
        tell({"event": "recorded", "state": state, "asset": key, "partition": ""})
        yield silent_output(output_name)


def asked_refs(context: dg.AssetExecutionContext, study: Study, assets: Sequence[str]) -> tuple[list[Ref], list[Ref]]:
    """(refs that can exist, cells of the grid past the end of their run)."""
    keys = list(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else [""]
    valid: list[Ref] = []
    past_the_end: list[Ref] = []
    for asset in assets:
        possible = set(partitions_of(study, asset)) or {""}
        names = full_partitions(study, asset)
        for name in (names.get(key, key) for key in keys):
            (valid if name in possible else past_the_end).append(Ref(asset, name))
    return valid, past_the_end


def materialize_stage(
    context: dg.AssetExecutionContext, study: Study, assets: dict[str, str], *, force: bool = False
) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
    """The body of every stage's op; `assets` maps the selected asset keys to their output names."""
    show_traces()
    keep_sqlite_engines()
    store = Store.from_env()
    run = StageRun(context, study, store, force, Upstream(context.instance, study))
    refs, past_the_end = asked_refs(context, study, list(assets))
    if past_the_end:
        context.log.warning(f"skipped, since their runs keep no such steps: {_named(past_the_end)}")
    try:
        store.check_writable()
        left = run.keep_finished(refs)
        if left or run.problems:
            refuse_what_cannot_run(study, store, left or refs[:1])
        if left:
            if left[0].stage in USES_ACCELERATOR:
                follow_slots(context.instance, placement_of(study, left[0]), store.home)
            run.launch(left)
    except StepFailed as error:
        if error.status == TRY_AGAIN:
            raise dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=5) from error
        where = {"command": error.call.command, "log": dg.MetadataValue.path(str(error.log_path))}
        raise _failure(run, refs, str(error), where) from None
    except (StepError, SpecError) as error:
        raise _failure(run, refs, str(error)) from None
    if run.problems:
        link = dg.MetadataValue.url(launchpad_path(context.run, list(run.problems)))
        raise _failure(run, refs, "\n".join(dict.fromkeys(run.problems.values())), {"make it": link})
    for asset, output_name in assets.items():
        if any(ref.asset == asset and ref in run.recorded for ref in refs):
            yield silent_output(output_name)
    yield from silent_check_outputs(context)
    for output in run.recorded.values():
        if output.manifest.ref.stage == "datasets":
            yield from dataset_check_results(output)


def _failure(
    run: StageRun, refs: Sequence[Ref], message: str, metadata: Mapping[str, Any] = MappingProxyType({})
) -> dg.Failure:
    """What a person needs to see: which partitions, why, and what else there is to read or to click."""
    missing = [ref for ref in refs if ref not in run.recorded]
    names = _named(missing)
    return failure(": ".join(filter(None, (names, message))), **metadata, **{"not made": names or "nothing"})


def _named(refs: Sequence[Ref]) -> str:
    return ", ".join(map(str, refs[:_NAMED])) + (f" and {len(refs) - _NAMED} more" if len(refs) > _NAMED else "")
