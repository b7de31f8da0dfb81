"""One self-contained HTML report for each study: questions, answers with their uncertainty, figures, tables, traces.

In: the published results and figures. Out: `<home>/report/…/<study>.html` and `receipt.json`, an output with a
manifest like any other. `--check` says of every figure and report whether its numbers still match. How to run:

    python -m rsft_assets.steps.report.write [--check] [--force]
"""

import argparse
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import SHORT, fingerprint
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study, load_study
from rsft_assets.specs.titles import titles_of, with_runs
from rsft_assets.steps.figures.catalogue import FIGURES, Figure
from rsft_assets.steps.figures.draw import RECEIPT, read_receipt, rows_digest, rows_of
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.processes.program import run_step
from rsft_assets.steps.questions.tracing.links import damage
from rsft_assets.steps.records.identity import Identity
from rsft_assets.steps.records.manifest import InputRecord, write_json
from rsft_assets.steps.records.stage import parser_of_all
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.report import enough, lengths, models, outcomes, phrases, safety, training, trust
from rsft_assets.steps.report.answer import Answer, Tables
from rsft_assets.steps.report.page import page
from rsft_assets.steps.report.score_table import ScoreTable, score_table
from rsft_assets.steps.report.titled import titled, titled_html
from rsft_assets.steps.results.behind import behind
from rsft_assets.steps.results.publishing import Results, open_results, read_results

log = logging.getLogger(__name__)
REPORT = Ref("report")


@dataclass(frozen=True)
class Finding:
    """What a check says of one figure or report, for one study."""

    what: str
    study: str
    state: str
    """match, drifted, or missing inputs."""
    words: str = ""


def make_report(study: Study, store: Store, *, force: bool = False) -> Output:
    """Write the report of every study that has a number; kept where neither tables nor figures changed."""
    results = read_results(store)
    with open_results(store) as db:
        outputs = {figure.name: store.current(Ref(figure.key)) for figure in FIGURES}
        figures = {name: output.verified() for name, output in outputs.items() if output is not None}
        links = [
            InputRecord(f"figures/{name}", "", output.digest, output.folder.relative_to(store.home).as_posix())
            for name, output in figures.items()
        ]
        digests = {name: output.digest for name, output in figures.items()}
        build_id = results.build_id if results else ""
        links.append(InputRecord("results", "", build_id, "results.duckdb"))
        stale = behind(store)
        names = {member: titles_of(study, member) for member in sorted(set(study.member_of.values()))}
        spec = {
            "code": _code(),
            "titles": study.titles,
            "names": fingerprint(names)[:SHORT],
            **({"behind": stale} if stale else {}),
        }
        identity = Identity(REPORT, spec, tuple(links))
        with store.building(REPORT, lambda: identity, force=force) as build:
            if build.finished is None:
                studies = list(names)
                progress = Progress("report", len(studies), "studies")
                for study_name in studies:
                    title = study.titles.get(study_name, f"the {study_name} study")
                    text, short = _texts(db, study_name, title, figures, results, stale)
                    titles = with_runs(study, names[study_name])
                    (build.folder / f"{study_name}.html").write_text(titled_html(text, titles), encoding="utf-8")
                    if short:
                        (build.folder / f"{study_name}.md").write_text(titled(short, titles), encoding="utf-8")
                    progress.step(1, study_name)
                write_json(build.folder / RECEIPT, {"build": build_id, "studies": studies, "figures": digests})
                build.publish({"studies": studies})
    return build.output


def answers_of(db: DuckDBPyConnection, study_name: str, results: Results | None = None) -> list[Answer]:
    """Every question of the report, answered for one study."""
    tables = Tables(db, study_name)
    asked = (enough.long_enough, outcomes.generalised, outcomes.which_data, training.repetition, models.size)
    answers = [_answered(ask, tables) for ask in (*asked, safety.safety, lengths.length)]
    return [*answers, _answered(partial(trust.trusted, results=results), tables)]


def _answered(asked: Callable[[Tables], Answer], tables: Tables) -> Answer:
    """An answer, or, where a table that it needs could not be built, the word on that in its place."""
    try:
        return asked(tables)
    except duckdb.CatalogException as error:
        about = asked.func if isinstance(asked, partial) else asked
        why = str(error).splitlines()[0].removeprefix("Catalog Error: ")
        failed = tables.db.execute("SELECT schema || '.' || name, problem FROM build.tables WHERE state = 'failed'")
        missing = [f"Not available: a table that this is computed from could not be built ({why})"]
        missing += [f"{table}: {problem}" for table, problem in failed.fetchall()]
        question = f"Not answered: {(about.__doc__ or '').splitlines()[0]}"
        return Answer(about.__name__, question, missing=missing)


def _texts(
    db: DuckDBPyConnection,
    study_name: str,
    title: str,
    figures: dict[str, Output],
    results: Results | None,
    stale: str,
) -> tuple[str, str]:
    """The page, and the short answers with the table of scores as Markdown; that is empty where nothing is scored."""
    pictures = {}
    for name, output in figures.items():
        if study_name in output.stats.get("drawn", ()):
            pictures[name] = output.file(f"{study_name}.svg")
    ours = db.execute(
        "SELECT count(*) FROM staging.score_points WHERE source = 'ours' AND study = ?", [study_name]
    ).fetchall()
    about = [
        "Every sentence is computed from the tables; intervals are 95 %, by item, paired where items are shared. "
        "An arm is one model, training set and schedule; the pointer on its title shows the name of its first run. "
        "Where it was trained with several seeds, its numbers are means over them, and the interval allows for items "
        "and for seeds. "
        "Each number leads to its queries with the command beside it.",
        "Better and worse, gain and loss, and beyond noise are said, counted and marked only where they hold after "
        "Holm's correction for all arms and benchmarks of which the same is asked, safety apart: of all answers to the "
        "same question, such as which arms gain, the chance that any is noise is at most 5 %. A heading may hold "
        "several such questions. Not corrected are the intervals, which are those of one comparison by itself, falls "
        "of single runs, and the classes of gaps to the paper's numbers.",
    ]
    first = "" if ours[0][0] else "Nothing of this study is scored here yet. These are the paper's published numbers."
    if first:
        about.append(
            "The intervals of published numbers are computed here, as if each item had been answered once, and cannot "
            "be paired by item."
        )
    receipt = {"build of the results": results.build_id if results else "none"}
    receipt |= {f"figures/{name}": output.digest[:12] for name, output in figures.items()}
    answers, scores = answers_of(db, study_name, results), _scores(Tables(db, study_name))
    above = {"first": f"{stale} {first}".strip(), "lead": _lead(db, study_name)}
    text = page(f"Report: {title}", about, answers, pictures, receipt, scores=scores, **above)
    short = [f"- **{answer.question}** {' '.join(answer.short.splitlines())}" for answer in answers if answer.short]
    return text, "\n".join([*short, "", scores.markdown()]) if scores.lines else ""


def _lead(db: DuckDBPyConnection, study_name: str) -> str:
    """What the study consists of."""
    [(runs, arms, benchmarks)] = db.execute(
        "SELECT count(*), count(DISTINCT arm), (SELECT count(*) FROM declared.benchmarks WHERE study = $study) "
        "FROM declared.runs WHERE study = $study",
        {"study": study_name},
    ).fetchall()
    count = phrases.count_of
    return (
        f"{count(runs, 'training run')} of {count(arms, 'arm')} (a model, a training set and a schedule each), "
        f"scored on {count(benchmarks, 'benchmark')}."
    )


def _scores(tables: Tables) -> ScoreTable:
    """The table of scores; empty where one that it reads could not be built, which the answers say."""
    try:
        return score_table(tables)
    except duckdb.CatalogException:
        return ScoreTable([], [])


def _code() -> str:
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()[:12]


def check_report(study: Study, store: Store) -> list[Finding]:
    """Of every figure and of the report: do its numbers still match the tables, and do the tables' inputs stand?"""
    stale = behind(store)
    findings = [Finding("tables", "", "drifted", stale)] if stale else []
    looked: dict[str, str] = {}
    with open_results(store) as db:
        for figure in FIGURES:
            try:
                findings += _figure_findings(db, store, figure, looked)
            except StepError as error:
                findings.append(Finding(figure.key, "", "drifted", str(error)))
    try:
        return [*findings, _report_finding(store)]
    except StepError as error:
        return [*findings, Finding("report", "", "drifted", str(error))]


def _figure_findings(db: DuckDBPyConnection, store: Store, figure: Figure, looked: dict[str, str]) -> Iterator[Finding]:
    output = store.current(Ref(figure.key))
    if output is None:
        yield Finding(figure.key, "", "missing inputs", "not drawn yet")
        return
    # Its pictures are checked with it.
    receipt = read_receipt(output)
    for study_name, said in receipt["numbers"].items():
        try:
            rows = rows_of(db, figure, study_name)
        except StepError as error:
            yield Finding(figure.key, study_name, "missing inputs", str(error))
            continue
        if rows_digest(rows) != said["digest"]:
            yield Finding(figure.key, study_name, "drifted", "the tables now hold other numbers; draw it again")
            continue
        gone = _gone(store, receipt["traces"].get(study_name, []), looked)
        yield Finding(figure.key, study_name, "missing inputs" if gone else "match", "; ".join(gone[:3]))


def _gone(store: Store, traces: list[str], looked: dict[str, str]) -> list[str]:
    """What is wrong with the outputs that numbers stand on, in words; `looked` remembers those seen before."""
    for trace in traces:
        if trace.startswith(("scores/", "checkpoints/", "datasets/")) and trace not in looked:
            looked[trace] = _wrong_with(store, trace)
    return [looked[trace] for trace in traces if looked.get(trace)]


def _wrong_with(store: Store, trace: str) -> str:
    asset, _, partition = trace.rstrip("]").partition("[")
    try:
        output = store.current(Ref(asset, partition))
    except StepError as error:
        return str(error)
    return f"{trace} is gone" if output is None else damage(output) or ""


def _report_finding(store: Store) -> Finding:
    output = store.current(REPORT)
    if output is None:
        return Finding("report", "", "missing inputs", "not written yet: rsft report")
    results = read_results(store)
    receipt = read_receipt(output)
    if results is None or receipt["build"] != results.build_id:
        return Finding("report", "", "drifted", "the results were built again with other inputs; write it again")
    return Finding("report", "", "match")


def main(arguments: argparse.Namespace) -> None:
    study, store = load_study(), Store.from_env()
    if not arguments.check:
        output = make_report(study, store, force=arguments.force)
        log.info("report: %s", ", ".join(str(path) for path in sorted(output.folder.glob("*.html"))))
        return
    findings = check_report(study, store)
    for finding in findings:
        log.info("%-14s %s %s %s", finding.state, finding.what, finding.study, finding.words)
    bad = [finding for finding in findings if finding.state != "match"]
    if bad:
        raise StepError(f"{len(bad)} of {len(findings)} do not match; draw and write them again: rsft report")


if __name__ == "__main__":
    parser = parser_of_all(__doc__, "ignored: there is one report", "write again even where nothing changed")
    parser.add_argument("--check", action="store_true", help="match, drifted or missing inputs, for every figure")
    run_step(main, parser)
