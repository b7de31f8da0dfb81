"""Results as a data set repository: each mart as Parquet, and the report. No record of an item is in a mart."""

import io
from typing import Any

from rsft_assets.specs.study import Study
from rsft_assets.steps.publish.card import PAPER, card, made_from, table
from rsft_assets.steps.publish.lineage import Ancestry
from rsft_assets.steps.publish.publication import CARD, LINEAGE, Publication, as_json
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.write import REPORT, check_report
from rsft_assets.steps.results.publishing import Results, open_results, read_results
from rsft_assets.steps.results.sql_files import SqlTable, tables

NAME = "rsft-results"
_OF_THIS_MACHINE = ("marts.problems",)
"""Damage in this home, with its paths."""


def publication_of_results(study: Study, store: Store, owner: str, licence: str | None) -> Publication:
    """What the repository of the results is to hold: every mart, and the report if it is of this build."""
    publication = Publication("results", "dataset", f"{owner}/{NAME}", grows=True)
    marts = [entry for entry in tables() if entry.schema == "marts"]
    with open_results(store) as db:
        results = read_results(store)
        built = (
            {f"{t.schema}.{t.name}": t for t in results.tables if t.state not in ("failed", "skipped")}
            if results
            else {}
        )
        rows = {}
        for entry in marts:
            if entry.table in _OF_THIS_MACHINE:
                publication.left_out.append(f"{entry.table}: tells of this machine")
            elif entry.table not in built:
                publication.left_out.append(f"{entry.table}: could not be built")
            else:
                content: Any = db.sql(f"SELECT * FROM {entry.table}").to_arrow_table()
                rows[entry.table] = content.num_rows
                publication.files[_path(entry)] = _parquet(content)
    _add_report(study, store, publication)
    shown = [entry for entry in marts if entry.table in rows]
    scores = [output for output in store.outputs() if output.manifest.ref.stage == "scores"]
    ancestry = Ancestry(study, store, scores)
    publication.licences = ancestry.licences()
    publication.files[CARD] = _card(shown, rows, results, licence, publication.licences)
    publication.files[LINEAGE] = as_json(
        {"asset": "results", "build": results.build_id if results else "", **ancestry.as_json()}
    )
    return publication


def _path(entry: SqlTable) -> str:
    return f"{entry.schema}/{entry.name}.parquet"


def _parquet(content: Any) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(content, buffer, compression="zstd")
    return buffer.getvalue()


def _add_report(study: Study, store: Store, publication: Publication) -> None:
    finding = next(one for one in check_report(study, store) if one.what == "report")
    if finding.state != "match":
        publication.left_out.append(f"report: {finding.words}")
        return
    output = store.require(REPORT).verified()
    pages = [one.path for one in output.manifest.files if one.path.endswith(".html")]
    publication.files |= {f"report/{name}": output.file(name) for name in pages}


def _card(
    shown: list[SqlTable], rows: dict[str, int], results: Results | None, licence: str | None, licences: dict[str, str]
) -> bytes:
    header = {
        "license": licence,
        "pretty_name": NAME,
        "tags": ["rsft_assets", "evaluation"],
        "configs": [{"config_name": entry.name, "data_files": _path(entry)} for entry in shown],
    }
    failed = [test.name for test in results.tests if test.state == "failed"] if results else []
    about = (
        "Scores of checkpoints over training, with intervals and comparisons, from "
        f"[rsft_assets]({PAPER}). `report/` holds one page for each study. No table holds a text of a benchmark or of "
        "a model."
    )
    checks = f"Checks of the tables: {', '.join(failed)} failed." if failed else "Every check of the tables passed."
    listed = table(
        ("table", "rows", "one row for each", ""),
        ((e.name, rows[e.table], ", ".join(e.grain), e.description) for e in shown),
    )
    columns = [(entry.name, name, description) for entry in shown for name, description in entry.about.items()]
    described = table(("table", "column", ""), columns)
    return card(header, NAME, about, checks, listed, "## Columns", described, made_from([], licences))
