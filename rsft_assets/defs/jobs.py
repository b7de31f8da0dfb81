"""Jobs for common selections, and two sensors that are off until someone turns them on.

A job runs `rsft materialize`, which plans across assets with different partitions; a Dagster job cannot. What it makes
is recorded in runs of its own. `refresh_when_behind` rebuilds tables, figures and report when outputs are newer.
`score_new_checkpoints` scores a checkpoint once it is published; only this sensor starts work on a GPU.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import dagster as dg
import yaml

from rsft_assets.defs.dagster_private import NOT_FINISHED_STATUSES
from rsft_assets.defs.failures import failure, show_traces
from rsft_assets.defs.partitions import dagster_key
from rsft_assets.defs.placing import PLACEMENT_RESOURCE, PlacementResource
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.questions.planning.selection import Selection, cells
from rsft_assets.steps.records.pointers import pointers
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.behind import behind

RESULTS = ["results/*", "figures/*", "report"]
"""Made from finished outputs, without a GPU."""
_TABLE_1 = ("5e-5_8x256_math-cot-20k", "5e-5_8x32_math-cot-2.5k", "5e-5_1x32_math-cot-20k")
"""Settings 1, 2 and 3: the same 640 steps."""
_LAST_LINES = 12
_LINKS = 12
MAKE = "make"
"""The job that makes what it is told, with everything that it is made from."""


class MaterializeConfig(dg.Config):
    """What `rsft materialize` is asked for; `rsft plan` prices it."""

    select: list[str]
    run: list[str] | None = None
    step: list[int] | None = None
    partition: list[str] | None = None
    upstream: bool = True
    force: bool = False


@dg.op
def rsft_materialize(context: dg.OpExecutionContext, config: MaterializeConfig, placement: PlacementResource) -> None:
    """Run `rsft materialize`; its lines are this op's log."""
    show_traces()
    command = [sys.executable, "-m", "rsft_assets.commands.cli", "materialize", *config.select]
    for option in ("run", "step", "partition"):
        command += [word for value in getattr(config, option) or () for word in (f"--{option}", str(value))]
    command += [f"--{name}" for name in ("upstream", "force") if getattr(config, name)]
    with placement.applied():
        child = Child(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said: list[str] = []
    try:
        for line in child.stdout or ():
            said.append(line.decode(errors="replace").rstrip())
            context.log.info(said[-1])
        status = child.wait()
    finally:
        end([child], seconds=30.0)
    if status:
        raise failure("\n".join(said[-_LAST_LINES:]))
    context.add_output_metadata(_asset_pages(load_study(), config))


def _asset_pages(study: Study, config: MaterializeConfig) -> dict[str, dg.MetadataValue[Any]]:
    """Links to the pages of what was asked for; of one partition where it is one."""
    asked = tuple(config.select), tuple(config.run or ()), tuple(config.step or ()), tuple(config.partition or ())
    by_asset: dict[str, list[str]] = {}
    for ref in cells(study, Selection(*asked)):
        if ref.stage not in ("results", "figures"):
            by_asset.setdefault(ref.asset, []).append(str(dagster_key(study, ref)))
    pages: dict[str, dg.MetadataValue[Any]] = {}
    for asset, keys in list(by_asset.items())[:_LINKS]:
        one = {"view": "partitions", "partition": keys[0]} if len(keys) == 1 and keys[0] else {}
        pages[asset] = dg.MetadataValue.url(f"/assets/{asset}{'?' if one else ''}{urlencode(one)}")
    return pages


def launchpad_path(run: dg.DagsterRun, refs: Sequence[Ref]) -> str:
    """The page of Dagster's UI where `make` is filled in to make `refs`, in the code location of a run.

    With scores, tables, figures and report are made too: they show what was asked for.
    """
    origin = run.remote_job_origin
    location = origin.repository_origin.code_location_origin.location_name if origin else "rsft_assets.definitions"
    grid = [ref for ref in refs if ref.stage in ("checkpoints", "scores")]
    asked: dict[str, Iterable[str | int]] = {
        "select": [*(ref.asset for ref in refs), *(RESULTS if any(ref.stage == "scores" for ref in refs) else ())],
        "run": (ref.run for ref in grid),
        "step": (ref.step for ref in grid),
        "partition": (ref.partition for ref in refs if ref.partition and ref not in grid),
    }
    config = {name: chosen for name, values in asked.items() if (chosen := list(dict.fromkeys(values)))}
    filled = yaml.safe_dump({"ops": {"rsft_materialize": {"config": config}}}, sort_keys=False)
    return f"/locations/{location}/jobs/{MAKE}/playground/setup?{urlencode({'config': filled})}"


def _job(name: str, description: str, config: MaterializeConfig | None = None) -> dg.JobDefinition:
    graph = dg.GraphDefinition(name=name, node_defs=[rsft_materialize])
    given = dg.RunConfig(ops={"rsft_materialize": config}) if config else None
    return graph.to_job(description=description, config=given, resource_defs=PLACEMENT_RESOURCE)


def jobs(study: Study) -> list[dg.JobDefinition]:
    """The jobs of a study: those for the nano study and the paper where it extends these."""
    wanted = [
        _job(MAKE, "Make what you name, with everything it is made from. Price it first: `rsft plan`."),
        _job(
            "refresh_results",
            "Tables, figures and report, from the outputs there are.",
            MaterializeConfig(select=RESULTS, upstream=False),
        ),
    ]
    if "nano-300k" in study.models:
        everything = MaterializeConfig(select=["audits/nano-*", "scores/nano-*/*", *RESULTS])
        wanted.append(
            _job("nano_study", "The whole nano study, to its report: about 75 minutes on two cores.", everything)
        )
    if set(_TABLE_1) <= {run.short_name for run in study.runs_of("qwen3-14b")}:
        table = MaterializeConfig(select=["scores/qwen3-14b/*", *RESULTS], run=list(_TABLE_1), step=[0, 640])
        description = "The paper's Table 1: three schedules of 640 steps at 14B, trained and scored. Needs GPUs."
        wanted.append(_job("paper_table_1", description, table))
    if adopted := [run for run in study.runs.values() if run.adopt]:
        models = sorted({run.model for run in adopted})
        adopting = MaterializeConfig(
            select=[*(f"scores/{model}/*" for model in models), *RESULTS], run=[run.name for run in adopted]
        )
        wanted.append(
            _job("score_adopted", "Take over the published checkpoints of this study and score them.", adopting)
        )
    return wanted


def sensors(declared: list[dg.JobDefinition]) -> list[dg.SensorDefinition]:
    """Both are off until they are turned on under Automation."""
    refresh = next(job for job in declared if job.name == "refresh_results")

    about = "Rebuild tables, figures and report when outputs are newer. Uses no GPU."

    @dg.sensor(job=refresh, minimum_interval_seconds=60, description=about)
    def refresh_when_behind(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        store = Store.from_env()
        at_work = dg.RunsFilter(job_name=refresh.name, statuses=NOT_FINISHED_STATUSES)
        if not (reason := behind(store)):
            yield dg.SkipReason("the tables hold every output")
        elif context.instance.get_run_records(at_work, limit=1):
            yield dg.SkipReason(f"{reason}; they are being built")
        else:
            # Dagster starts one run a key: a build that fails is tried again when another output is made.
            newest = max((path.stat().st_mtime_ns for path in pointers(store.home) if path.exists()), default=0)
            yield dg.RunRequest(run_key=f"{reason} {newest}")

    scores = dg.AutomationConditionSensorDefinition(
        "score_new_checkpoints",
        target=dg.AssetSelection.tag("stage", "scores"),
        description="Score a checkpoint on every benchmark once it is there. Uses the GPU.",
    )
    return [refresh_when_behind, scores]


def score_when_ready() -> dg.AutomationCondition[Any]:
    """A score that is missing while all it needs is there."""
    ready = dg.AutomationCondition.missing() & ~dg.AutomationCondition.any_deps_missing()
    return ready.newly_true().since_last_handled() & ~dg.AutomationCondition.in_progress()
