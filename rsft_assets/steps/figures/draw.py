"""Draw the figures from `results.duckdb`: SVG, PNG, the numbers, and a receipt for them.

In: the published results. Out: `<home>/figures/<figure>/…`, an output with a manifest like any other: for each
study `<study>.svg`, `<study>.png`, `<study>.csv` (the numbers drawn) and `receipt.json`, which says which
score digests they stand on; of some figures also `<study>.<model>.svg` and `.png`. Drawn again only where a number
changed. How to run:

    python -m rsft_assets.steps.figures.draw [figures/dip_and_recovery ...] [--force]
"""

import argparse
import csv
import hashlib
import importlib
import json
import logging
import shutil
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsft_assets.specs.errors import SpecError, StepError, nearest
from rsft_assets.specs.fingerprint import SHORT, fingerprint
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study, load_study
from rsft_assets.specs.titles import titles_of, with_runs, with_words
from rsft_assets.steps.figures.catalogue import FIGURES, Figure, label_of
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.processes.hardware import cores
from rsft_assets.steps.processes.program import run_step
from rsft_assets.steps.records.identity import Identity
from rsft_assets.steps.records.manifest import InputRecord, read_json, write_json
from rsft_assets.steps.records.side_by_side import step_pool
from rsft_assets.steps.records.stage import parser_of_all
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.results.publishing import open_results

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)
_LEAST_OF_A_PROCESS = 3
"""Figures for which starting another process pays."""
Rows = list[dict[str, Any]]
RECEIPT = "receipt.json"


class MissingTable(StepError):
    """A table that a figure reads is missing from the database because its SQL failed."""


def draw_figures(study: Study, store: Store, names: tuple[str, ...] = (), *, force: bool = False) -> list[Output]:
    """Draw every figure, or those named (`figures/<name>` or `<name>`); the outputs, new or kept."""
    wanted = [_figure(name) for name in names] or list(FIGURES)
    progress = Progress("figures", len(wanted), "figures")
    outputs: list[Output] = []
    failed: list[str] = []
    new: list[Figure] = []
    with open_results(store) as db:
        for figure in wanted:
            try:
                kept = None if force else store.keep(_planned(db, study, figure).identity)
            except MissingTable as error:
                failed.append(str(error))
            else:
                if kept is None:
                    new.append(figure)
                    continue
                outputs.append(kept)
            progress.step(1, figure.name)
    processes = min(cores(), len(new) // _LEAST_OF_A_PROCESS)
    if processes < 2:
        outputs += (_drawn(figure, progress, _draw(study, store, figure, force)) for figure in new)
    else:
        with step_pool(processes, "a drawing process died; finished figures are kept, run it again") as pool:
            futures = {pool.submit(_draw, study, store, figure, force): figure for figure in new}
            outputs += (_drawn(futures[future], progress, future.result()) for future in as_completed(futures))
    if failed:
        raise StepError("; ".join(failed))
    return outputs


def _drawn(figure: Figure, progress: Progress, output: Output) -> Output:
    progress.step(1, figure.name)
    return output


def _figure(name: str) -> Figure:
    known = {figure.name: figure for figure in FIGURES}
    if name.removeprefix("figures/") not in known:
        raise SpecError(f"unknown figure {name!r}: {nearest(name.removeprefix('figures/'), known)}")
    return known[name.removeprefix("figures/")]


def rows_of(db: "DuckDBPyConnection", figure: Figure, study: str) -> Rows:
    """The numbers that a figure draws for one study; `MissingTable` where a table that it reads was not built.

    They have nine digits: sums made in parallel differ in the last one, which would make another picture and CSV file.
    """
    import duckdb

    try:
        cursor = db.execute(figure.query, {"study": study})
    except duckdb.CatalogException as error:
        problem = str(error).splitlines()[0].removeprefix("Catalog Error: ")
        raise MissingTable(f"{figure.key} reads what could not be built: {problem}") from error
    names = [column[0] for column in cursor.description]
    return [_rounded(dict(zip(names, row, strict=True)), 9) for row in cursor.fetchall()]


def rows_digest(rows: Rows) -> str:
    """Of the numbers as they can be seen in a picture: to six digits."""
    return hashlib.sha256(json.dumps(_rounded(rows, 6), sort_keys=True, default=str).encode()).hexdigest()


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, list):
        return [_rounded(item, digits) for item in value]
    return {key: _rounded(item, digits) for key, item in value.items()} if isinstance(value, dict) else value


@dataclass(frozen=True)
class _Planned:
    """A figure's numbers, how they are to look, and the identity that both give."""

    identity: Identity
    rows: dict[str, Rows]
    places: dict[str, int]
    titles: dict[str, dict[str, str]]


def _planned(db: "DuckDBPyConnection", study: Study, figure: Figure) -> _Planned:
    rows = {study_name: rows_of(db, figure, study_name) for study_name in sorted(set(study.member_of.values()))}
    places, titles = _places(study), {name: _titles(study, name) for name in rows}
    identity = Identity(
        Ref(figure.key),
        {
            **{"figure": figure.name, "title": figure.title, "question": figure.question},
            **{"query": figure.query, "code": _code(figure), "places": places},
            "titles": fingerprint(titles)[:SHORT],
        },
        tuple(
            InputRecord(f"results/{figure.name}", study_name, rows_digest(rows[study_name]), "results.duckdb")
            for study_name in rows
        ),
    )
    return _Planned(identity, rows, places, titles)


def _draw(study: Study, store: Store, figure: Figure, force: bool) -> Output:
    with open_results(store) as db:
        planned = _planned(db, study, figure)
    identity, rows = planned.identity, planned.rows
    with store.building(identity.ref, lambda: identity, force=force) as build:
        if build.finished is None:
            last = None if force else _last(store, identity)
            drawn = [
                name
                for name in rows
                if _draw_one(figure, name, rows[name], build.folder, last, (planned.places, planned.titles[name]))
            ]
            write_json(build.folder / RECEIPT, _receipt(figure, rows, drawn))
            stats = {
                "drawn": drawn,
                "not_available": [study_name for study_name in rows if study_name not in drawn],
                "numbers": sum(len(rows[study_name]) for study_name in drawn),
            }
            build.publish(stats)
    return build.output


def _last(store: Store, identity: Identity) -> Output | None:
    """The figure as it is now, where it is sound and was drawn by the same code from the same query."""
    output = store.sound(identity.ref)
    if output is None or output.manifest.spec != identity.spec or output.changed(f.path for f in output.manifest.files):
        return None
    return output


def _places(study: Study) -> dict[str, int]:
    """The place of each training set in its study, in the order of the runs; figures colour it by that."""
    trained = dict.fromkeys(run.dataset for run in study.runs.values())
    places: dict[str, int] = {}
    for name in trained:
        member = study.member_of[("datasets", name)]
        places[name] = sum(study.member_of[("datasets", other)] == member for other in places)
    return places


def _titles(study: Study, own: str) -> dict[str, str]:
    """The titles of one study, and of what another shows beside it."""
    titles: dict[str, str] = {}
    for name in sorted(set(study.member_of.values()), key=lambda name: (name == own, name)):
        titles |= with_words(study, with_runs(study, titles_of(study, name)))
    return titles


def _draw_one(
    figure: Figure,
    study: str,
    rows: Rows,
    folder: Path,
    last: Output | None,
    look: tuple[dict[str, int], dict[str, str]],
) -> bool:
    """Draw one study's pictures, or take over the last ones where none of its numbers changed."""
    from rsft_assets.steps.figures import style

    if last is not None:
        receipt = read_receipt(last)
        if receipt["numbers"].get(study, {}).get("digest") == rows_digest(rows):
            for record in last.manifest.files:
                if record.path.startswith(f"{study}."):
                    shutil.copyfile(last.folder / record.path, folder / record.path)
            return study in receipt["drawn"]
    module = importlib.import_module(f"rsft_assets.steps.figures.{figure.name}")
    with style.house_style(*look):
        canvas = module.draw(rows, study)
        if canvas is None:
            why = f"no scores of the {study} study for it yet"
            style.save(style.not_available(figure.title, why), folder, study)
            log.info("%s: no numbers for the %s study yet", figure.key, study)
            return False
        pictures = {study: canvas}
        for model, own in style.by(rows, "model").items() if figure.by_model else ():
            if (of_model := module.draw_model(own, study)) is not None:
                pictures[f"{study}.{model}"] = of_model
        for name, picture in pictures.items():
            style.heading(picture, f"{figure.title}: {label_of(f'{name}.png')}", figure.question)
            style.save(picture, folder, name)
    with (folder / f"{study}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return True


def _receipt(figure: Figure, rows: dict[str, Rows], drawn: list[str]) -> dict[str, Any]:
    """Which numbers were drawn, and what they stand on."""
    return {
        "figure": figure.name,
        "reads": list(figure.reads),
        "query": figure.query,
        "numbers": {
            study_name: {"rows": len(rows[study_name]), "digest": rows_digest(rows[study_name])} for study_name in rows
        },
        "drawn": drawn,
        "traces": {
            study_name: sorted({row["trace"] for row in rows[study_name] if row.get("trace")}) for study_name in drawn
        },
    }


def read_receipt(output: Output) -> dict[str, Any]:
    """The receipt of a figure or a report; a `StepError` where any of its files is not as it was published."""
    receipt: dict[str, Any] = read_json(output.verified().file(RECEIPT), "receipt")
    return receipt


def _code(figure: Figure) -> str:
    """A figure drawn by other code is another figure."""
    folder = Path(__file__).parent
    source = (folder / f"{figure.name}.py").read_bytes() + (folder / "style.py").read_bytes()
    return hashlib.sha256(source).hexdigest()[:12]


def main(arguments: argparse.Namespace) -> None:
    draw_figures(load_study(), Store.from_env(), tuple(arguments.assets), force=arguments.force)


if __name__ == "__main__":
    about_assets = "figures/<figure>; all where none is named"
    run_step(main, parser_of_all(__doc__, about_assets, "draw again even where no number changed"))
