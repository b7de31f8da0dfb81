"""`rsft report`: write the report, or check that its numbers and every figure's still match."""

import dataclasses
import json

from rich.console import Console
from rich.markup import escape

from rsft_assets.commands.terminal import run_plan
from rsft_assets.defs.report import KEY
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store

_COLOURS = {"match": "green", "drifted": "red", "missing inputs": "yellow"}


def run_report(*, check: bool, as_json: bool) -> int:
    """Build tables, figures and the report, and print the pages of studies with scores; or with `check` say whether
    their numbers match. The exit status.
    """
    study, store = load_study(), Store.from_env()
    if check:
        return _check(as_json=as_json)
    status, _, _ = run_plan(store, make_plan(study, store, Selection(("results", "figures", KEY))))
    if status == 0:
        pages = sorted(store.require(Ref(KEY)).folder.glob("*.html"))
        scored = {study.member_of.get(("models", place.name)) for place in (store.home / "scores").glob("*")}
        pages = [page for page in pages if page.stem in scored] or pages
        print(json.dumps({"report": [*map(str, pages)]}) if as_json else "\n".join(map(str, pages)))
    return status


def _check(*, as_json: bool) -> int:
    # Reads DuckDB, which no other command of this module needs in this process.
    from rsft_assets.steps.report.write import check_report

    findings = check_report(load_study(), Store.from_env())
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        console = Console(highlight=False)
        for finding in findings:
            state = f"[{_COLOURS[finding.state]}]{finding.state}[/]"
            console.print(f"{state} {finding.what} {finding.study} {escape(finding.words)}", soft_wrap=True)
    return 0 if all(finding.state == "match" for finding in findings) else 1
