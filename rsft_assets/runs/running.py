"""Running batches in this process, one Dagster run each, and the result of each."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from rsft_assets.defs.dagster_private import AssetGraph
from rsft_assets.defs.failures import show_traces
from rsft_assets.defs.partitions import dagster_key
from rsft_assets.defs.process_mark import process_tag
from rsft_assets.runs.dead_runs import closed_pool, ending_dead_runs, wait_for_slots
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import TABLE_OF, Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.questions.planning.batches import Batch

# The terminal has its own progress display; Dagster's lines still go to its event log.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class BatchResult:
    """How one batch ended; `problem` is empty for a success."""

    batch: Batch
    run_id: str
    problem: str
    failed: frozenset[dg.AssetKey] = frozenset()
    """Assets that were not made; what is below them cannot be made."""

    @property
    def ok(self) -> bool:
        return not self.problem


def run_batches(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    batches: Sequence[Batch],
    *,
    force: bool = False,
    vital: Collection[str] = (),
) -> Iterator[BatchResult]:
    """Run each batch whose upstream batches did not fail; yields as they end.

    The first failure of a stage in `vital` is the last batch, whatever else could still run.
    """
    failed: set[dg.AssetKey] = set()
    repository = definitions.get_repository_def()
    if closed := closed_pool(instance, _pools(repository, batches)):
        raise StepError(closed)
    with ending_dead_runs(instance):
        for batch in batches:
            result = _run_what_can_run(repository, instance, batch, failed, force)
            failed |= result.failed
            yield result
            if not result.ok and Ref(batch.assets[0]).stage in vital:
                return


def _run_what_can_run(
    repository: dg.RepositoryDefinition,
    instance: dg.DagsterInstance,
    batch: Batch,
    failed: Collection[dg.AssetKey],
    force: bool,
) -> BatchResult:
    """Run the assets of a batch with nothing upstream in `failed`."""
    keys = [dg.AssetKey(asset.split("/")) for asset in batch.assets]
    stage = Ref(batch.assets[0]).stage
    above = {key: repository.asset_graph.get_non_virtual_ancestor_keys(key) & set(failed) for key in keys}
    if stage in ("figures", "report"):
        # They name missing tables themselves.
        above = {}
    elif stage not in TABLE_OF:
        # The tables are built together.
        above = dict.fromkeys(keys, set().union(*above.values()))
    broken = {key: min(cause.to_user_string() for cause in causes) for key, causes in above.items() if causes}
    if len(broken) == len(keys):
        return BatchResult(batch, "", f"not run, since {broken[keys[0]]} failed", frozenset(keys))
    result = _run(repository, instance, batch, [key for key in keys if key not in broken], force)
    not_run = [f"{key.to_user_string()}: not run, since {cause} failed" for key, cause in broken.items()]
    problem = "\n".join(filter(None, (result.problem, *not_run)))
    return replace(result, problem=problem, failed=result.failed.union(broken))


def _run(
    repository: dg.RepositoryDefinition,
    instance: dg.DagsterInstance,
    batch: Batch,
    keys: Sequence[dg.AssetKey],
    force: bool,
) -> BatchResult:
    job, graph = repository.get_implicit_job_def_for_assets(keys), repository.asset_graph
    assert job is not None, f"no job holds {keys}"
    wait_for_slots(instance, _pools(repository, [batch]))
    result = job.execute_in_process(
        instance=instance,
        asset_selection=keys,
        tags={**_range_of(batch), **process_tag()},
        run_config={**_QUIET, **_force_config(graph, keys)} if force else _QUIET,
        raise_on_error=False,
    )
    show_traces()
    if result.success:
        return BatchResult(batch, result.run_id, "")
    _stop_if_interrupted(result)
    if Ref(batch.assets[0]).stage in TABLE_OF:
        # An asset with partitions may lack some, and one that was made may have failed a check.
        done = {event.step_key for event in result.all_events if event.is_step_success}
        sound = {key for key in keys if graph.get(key).assets_def.node_def.name in done}
    else:
        # Of tables made together, those that were made are sound.
        sound = _made_in(instance, result.run_id)
    return BatchResult(batch, result.run_id, failure_of(result), frozenset(keys) - sound)


def _pools(repository: dg.RepositoryDefinition, batches: Sequence[Batch]) -> list[str]:
    assets = {asset for batch in batches for asset in batch.assets}
    get = repository.asset_graph.get
    return sorted({pool for asset in assets for pool in get(dg.AssetKey(asset.split("/"))).pools or ()})


def _range_of(batch: Batch) -> dict[str, str]:
    """Dagster's tags for the corners of a block."""
    if batch.partitions == ("",):
        return {}
    study = load_study()
    first, last = (dagster_key(study, Ref(batch.assets[0], corner)) for corner in batch.corners)
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def _made_in(instance: dg.DagsterInstance, run_id: str) -> set[dg.AssetKey]:
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {entry.dagster_event.asset_key for entry in logs if entry.dagster_event and entry.dagster_event.asset_key}


def _force_config(graph: AssetGraph, keys: Sequence[dg.AssetKey]) -> dict[str, object]:
    # Tables are rebuilt from files whenever those change; only stages can be made again.
    ops = {graph.get(key).assets_def.node_def.name for key in keys if key.path[0] in TABLE_OF}
    return {"ops": {op: {"config": {"force": True}} for op in ops}}


def _stop_if_interrupted(result: dg.ExecuteInProcessResult) -> None:
    """Ctrl-C ends the whole command, not one batch of it."""
    for event in result.all_events:
        error = event.step_failure_data.error if event.is_step_failure else None
        while error is not None:
            if "Interrupt" in (error.cls_name or ""):
                raise KeyboardInterrupt
            error = error.cause


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """The messages of the failed steps, without Dagster's stack traces."""
    failures = [event for event in result.all_events if event.is_step_failure]
    messages = [_message_of(event, named=len(failures) > 1) for event in failures]
    return "\n".join(dict.fromkeys(messages)) or "failed before its first step"


def _message_of(event: dg.DagsterEvent, *, named: bool) -> str:
    """The words of a failure that a person can mend, which name what failed; `named` adds the step's name to others."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    message = error.message.strip() if error else "failed"
    return f"{event.step_key}: {message}" if named else message
