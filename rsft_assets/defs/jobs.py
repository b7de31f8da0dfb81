"""Jobs for the usual wishes and two switches, off until someone turns them on.

A job runs `rsft materialize`, which plans across assets and partitions as Dagster's own jobs cannot; what it makes is
recorded in runs of its own. `refresh_when_behind` rebuilds tables, figures and report when outputs are newer than they
are. `score_new_checkpoints` scores a checkpoint once it is there: it is the only one that starts work on a GPU.
"""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg

from rsft_assets.defs.process_mark import mark
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.child import Child, end
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.behind import behind

SEEN = ["results/*", "figures/*", "report"]
"""What people look at: made from outputs alone, in seconds to minutes, without a GPU."""
_TABLE_1 = ("5e-5_8x256_math-cot-20k", "5e-5_8x32_math-cot-2.5k", "5e-5_1x32_math-cot-20k")
"""Settings 1, 2 and 3: the same 640 steps."""
_LAST_LINES = 12


class Wish(dg.Config):
    """What `rsft materialize` is asked for; `rsft plan` prices it."""

    select: list[str]
    run: list[str] | None = None
    step: list[int] | None = None
    upstream: bool = True
    force: bool = False


@dg.op
def rsft_materialize(context: dg.OpExecutionContext, config: Wish) -> None:
    """Run `rsft materialize`; its lines are this op's log."""
    mark(context)
    command = [sys.executable, "-m", "rsft_assets.commands.cli", "materialize", *config.select]
    for run in config.run or ():
        command += ["--run", run]
    for step in config.step or ():
        command += ["--step", str(step)]
    command += [f"--{name}" for name in ("upstream", "force") if getattr(config, name)]
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
        raise dg.Failure(description="\n".join(said[-_LAST_LINES:]), allow_retries=False)


def _job(name: str, description: str, wish: Wish | None = None) -> dg.JobDefinition:
    graph = dg.GraphDefinition(name=name, node_defs=[rsft_materialize])
    config = dg.RunConfig(ops={"rsft_materialize": wish}) if wish else None
    return graph.to_job(description=description, config=config)


def jobs(study: Study) -> list[dg.JobDefinition]:
    """The jobs of a study: those for the nano study and the paper where it extends these."""
    wanted = [
        _job("make", "Make what you name, with everything it is made from. Price it first: `rsft plan`."),
        _job(
            "refresh_results",
            "Tables, figures and report, from the outputs there are.",
            Wish(select=SEEN, upstream=False),
        ),
    ]
    if "nano-300k" in study.models:
        everything = Wish(select=["audits/nano-*", "scores/nano-*/*", *SEEN])
        wanted.append(
            _job("nano_study", "The whole nano study, to its report: about an hour on two cores.", everything)
        )
    if set(_TABLE_1) <= {run.short_name for run in study.runs_of("qwen3-14b")}:
        table = Wish(select=["scores/qwen3-14b/*", *SEEN], run=list(_TABLE_1), step=[0, 640])
        words = "The paper's Table 1: three schedules of 640 steps at 14B, trained and scored. Needs GPUs."
        wanted.append(_job("paper_table_1", words, table))
    if adopted := [run for run in study.runs.values() if run.adopt]:
        models = sorted({run.model for run in adopted})
        wish = Wish(select=[*(f"scores/{model}/*" for model in models), *SEEN], run=[run.name for run in adopted])
        wanted.append(_job("score_adopted", "Take over the published checkpoints of this study and score them.", wish))
    return wanted


def sensors(declared: list[dg.JobDefinition]) -> list[dg.SensorDefinition]:
    """Both are off until they are turned on under Automation."""
    refresh = next(job for job in declared if job.name == "refresh_results")

    words = "Rebuild tables, figures and report when outputs are newer than they are. Uses no GPU."

    @dg.sensor(job=refresh, minimum_interval_seconds=60, description=words)
    def refresh_when_behind(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        at_work = dg.RunsFilter(job_name=refresh.name, statuses=[*_UNFINISHED])
        if not (words := behind(Store.from_env())):
            yield dg.SkipReason("the tables hold every output")
        elif context.instance.get_run_records(at_work, limit=1):
            yield dg.SkipReason(f"{words}; they are being built")
        else:
            yield dg.RunRequest()

    scores = dg.AutomationConditionSensorDefinition(
        "score_new_checkpoints",
        target=dg.AssetSelection.tag("stage", "scores"),
        description="Score a checkpoint on every benchmark once it is there. Uses the GPU.",
    )
    return [refresh_when_behind, scores]


_UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def score_when_ready() -> dg.AutomationCondition[Any]:
    """A score that is missing while all it needs is there."""
    ready = dg.AutomationCondition.missing() & ~dg.AutomationCondition.any_deps_missing()
    return ready.newly_true().since_last_handled() & ~dg.AutomationCondition.in_progress()
