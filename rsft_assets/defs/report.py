"""The report as an asset, and `rsft report`: write it, or check that its numbers still match."""

import dataclasses
import json
from collections.abc import Iterator

import dagster as dg
from rich.console import Console
from rich.markup import escape

from rsft_assets.defs.batches import make_plan
from rsft_assets.defs.figures import figure_keys
from rsft_assets.defs.launchers import StepFailed
from rsft_assets.defs.materializing import run_program
from rsft_assets.defs.recording import metadata_of, silent_output, upstream_tags
from rsft_assets.defs.terminal import run_plan
from rsft_assets.defs.watching import tell
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.store import Output, Store

MODULE = "rsft_assets.steps.report"
KEY = "report"
_COLOURS = {"match": "green", "drifted": "red", "missing inputs": "yellow"}


def report_asset() -> dg.AssetsDefinition:
    """One HTML file a study: questions, each answered in a sentence with its uncertainty, and its figure."""
    spec = dg.AssetSpec(
        key=KEY,
        deps=[key.split("/") for key in figure_keys()],
        group_name="figures",
        description="The questions that the study asks, each answered in a sentence computed from the tables, with "
        "its uncertainty, its figure and the commands that trace it. One self-contained HTML file for each study.",
        kinds={"html"},
        owners=["team:rsft"],
        tags={"stage": "report"},
        skippable=True,
    )

    @dg.multi_asset(name="report", specs=[spec], op_tags={"rsft/program": MODULE})
    def report_op(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        try:
            run_program(context, MODULE, (), "report")
        except StepFailed as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        output = Store.from_env().require(Ref(KEY))
        context.log_event(report_materialization(context.instance, output, "made"))
        tell({"event": "recorded", "state": "made", "asset": KEY, "partition": ""})
        yield silent_output("report")

    return report_op


def report_materialization(instance: dg.DagsterInstance, output: Output, state: str) -> dg.AssetMaterialization:
    """What Dagster is told about the report."""
    pages = {path.stem: dg.MetadataValue.path(str(path)) for path in sorted(output.folder.glob("*.html"))}
    tags = {**upstream_tags(instance, figure_keys()), "dagster/data_version": output.digest}
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey(KEY), metadata={"state": state, **pages, **metadata_of(output)}, tags=tags
    )


def run_report(*, check: bool, as_json: bool) -> int:
    """Build tables, figures and the report, or with `check` say whether their numbers match; the exit status."""
    study, store = load_study(), Store.from_env()
    if check:
        return _check(as_json=as_json)
    status, _, _ = run_plan(store, make_plan(study, store, ["results", "figures", KEY]))
    if status == 0:
        pages = [str(path) for path in sorted(store.require(Ref(KEY)).folder.glob("*.html"))]
        print(json.dumps({"report": pages}) if as_json else "\n".join(pages))
    return status


def _check(*, as_json: bool) -> int:
    # Reads DuckDB, which no other command of this module needs in this process.
    from rsft_assets.steps.report import check_report

    findings = check_report(load_study(), Store.from_env())
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        console = Console(highlight=False)
        for finding in findings:
            state = f"[{_COLOURS[finding.state]}]{finding.state}[/]"
            console.print(f"{state} {finding.what} {finding.study} {escape(finding.words)}", soft_wrap=True)
    return 0 if all(finding.state == "match" for finding in findings) else 1
