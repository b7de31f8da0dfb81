"""What a gap to the paper's number is put down to: a few cells of one recipe, all but what matters alike."""

import contextlib
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pytest

from rsft_assets.steps.figures import reproduction_gap
from rsft_assets.steps.figures.style import house_style
from rsft_assets.steps.report import trust
from rsft_assets.steps.report.answer import Answer, Tables
from rsft_assets.steps.results.sql_files import sql_folder

PURE = "_bf16-pure"
FAR = -0.4


@dataclass(frozen=True)
class Cell:
    """One score of ours; the paper's is 0.5 everywhere."""

    gap: float = FAR
    dataset: str = "set"
    pure: bool = False
    seed: int = 1
    step: int = 10
    checkpoint: str = "computed"
    data: str = "computed"
    """Origin of the set that is in use by now, whose digest is `a`."""
    trained_on: str = "a"

    @property
    def schedule(self):
        return "s" + PURE * self.pure

    @property
    def recipe(self):
        return f"m_{self.dataset}_s"

    @property
    def arm(self):
        return self.recipe + PURE * self.pure

    @property
    def run(self):
        return self.arm + (f"_seed{self.seed}" if self.seed > 1 else "")


def point(cell, source, run, schedule, arm, value):
    row = {"source": source, "study": "paper", "model": "m", "dataset": cell.dataset, "schedule": schedule, "run": run}
    row |= {"arm": arm, "seed": cell.seed, "step": cell.step, "benchmark": "b", "metric": "accuracy", "title": "B"}
    row |= {"benchmark_group": "general", "position": 1, "is_headline": True, "unit": "share", "grader": "authors"}
    return row | {"benchmark_version": 1, "trace": "", "value": value, "se": 0.01}


def tables_of(cells):
    ours = [point(cell, "ours", cell.run, cell.schedule, cell.arm, 0.5 + cell.gap) for cell in cells]
    published = {(cell.recipe, cell.step): point(cell, "paper", cell.recipe, "s", cell.recipe, 0.5) for cell in cells}
    runs = {name: ("bf16", cell.recipe, 1) for cell in cells for name in [cell.recipe]}
    runs |= {cell.run: ("bf16-pure" if cell.pure else "bf16", cell.recipe, cell.seed) for cell in cells}
    outputs, inputs = [], []
    for number, cell in enumerate(cells):
        checkpoint = {"asset": "checkpoints/m", "stage": "checkpoints", "run": cell.run, "step": cell.step}
        outputs.append({"output_id": number, **checkpoint, "origin": cell.checkpoint, "digest": "c"})
        inputs.append({"output_id": number, "asset": f"datasets/{cell.dataset}", "digest": cell.trained_on})
    for name, origin in {cell.dataset: cell.data for cell in cells}.items():
        of = {"asset": f"datasets/{name}", "stage": "datasets", "run": None, "step": None}
        outputs.append({"output_id": len(outputs), **of, "origin": origin, "digest": "a"})
    score = {"model": "m", "schedule": "s", "benchmark": "b", "metric": "accuracy", "rank": 1, "confidence": "high"}
    absent = {"run": "", "step": 0, "benchmark": "b", "metric": "accuracy", "grader": "authors"}
    absent |= {"benchmark_version": 1, "instead": "of another run"}
    return {
        "marts.coverage": [absent],
        "marts.benchmark_scores": [absent],
        "staging.score_points": ours + list(published.values()),
        "declared.runs": [
            {"study": "paper", "run": name, "recipe": recipe, "seed": seed, "precision": precision}
            | {"schedule": "s" + PURE * (precision == "bf16-pure")}
            for name, (precision, recipe, seed) in runs.items()
        ],
        "seeds.paper_scores": [
            {**score, "dataset": cell.dataset, "step": cell.step, "paper_table": "", "note": ""}
            for cell in {(cell.dataset, cell.step): cell for cell in cells}.values()
        ],
        "records.outputs": outputs,
        "records.inputs": inputs,
    }


@contextlib.contextmanager
def mart(cells):
    """A database with `marts.reproduction_gap` of these cells."""
    folder = sql_folder()
    with duckdb.connect() as db:
        for schema in ("staging", "declared", "seeds", "records", "marts"):
            db.execute(f"CREATE SCHEMA {schema}")
        for name, rows in tables_of(cells).items():
            db.register("content", pa.Table.from_pylist(rows))
            db.execute(f"CREATE TABLE {name} AS FROM content")
        for name in ("seed_spread", "student_t"):
            path = folder / "seeds" / f"{name}.csv"
            db.execute(f"CREATE TABLE seeds.{name} AS FROM read_csv('{path}', comment='#', header=true)")
        make(db)
        yield Tables(db, "paper")


def make(db):
    query = (sql_folder() / "marts" / "reproduction_gap.sql").read_text()
    db.execute(f"CREATE OR REPLACE TABLE marts.reproduction_gap AS {query}")


@pytest.mark.parametrize(
    ("of_score", "of_benchmark", "said"),
    [
        (None, "no access", "not available: no access"),
        ("no rubric", None, "not available: no rubric"),
        (None, None, "not available: not scored"),
    ],
)
def test_a_cell_without_a_number_of_ours_says_why(of_score, of_benchmark, said):
    cell = Cell()
    with mart([cell]) as tables:
        # The mart is made anew on what it reads, without our score.
        tables.db.execute("DELETE FROM staging.score_points WHERE source = 'ours'")
        for table, instead in (("marts.benchmark_scores", of_score), ("marts.coverage", of_benchmark)):
            tables.db.execute(f"UPDATE {table} SET run = ?, step = ?, instead = ?", [cell.run, cell.step, instead])
        make(tables.db)
        [row] = tables.ask("SELECT class FROM marts.reproduction_gap WHERE study = $study")
    assert row["class"] == said


def gaps(*cells):
    """Run and step -> row of the mart, for the scores of seed 1."""
    with mart(cells) as tables:
        rows = tables.ask("SELECT * FROM marts.reproduction_gap WHERE study = $study AND ours IS NOT NULL")
    return {(row["run"], row["step"]): row for row in rows}


def class_of(first, *others):
    return gaps(first, *others)[first.run, first.step]["class"]


@pytest.mark.parametrize(
    ("trained_on", "origin", "said"),
    [
        ("a", "adopted", "training or precision"),
        ("b", "adopted", "data or training or precision"),
        ("a", "computed", "data or training or precision"),
    ],
)
def test_the_class_of_a_gap_is_by_the_set_that_was_trained_on(trained_on, origin, said):
    """`b` is a set of ours, in the place of which the authors' stands by now."""
    assert class_of(Cell(trained_on=trained_on, data=origin)) == said


SMALL = Cell(gap=-0.06)
"""Twice the half-width of the items alone."""


@pytest.mark.parametrize(
    ("cell", "others", "spread", "said"),
    [
        (SMALL, (), "assumed", "noise"),
        (Cell(gap=-0.07), (), "assumed", "data or training or precision"),
        (Cell(gap=-0.06, step=0), (), "not trained", "harness"),
        (Cell(gap=-0.06, checkpoint="adopted"), (), "not trained", "harness"),
        (SMALL, (Cell(gap=-0.061, seed=2), Cell(gap=-0.059, seed=3)), "measured", "data or training or precision"),
        (Cell(gap=-0.12), (Cell(gap=-0.06, seed=2), Cell(gap=-0.18, seed=3)), "measured", "noise"),
    ],
)
def test_one_seed_of_each_is_noise_unless_seeds_lie_nearer(cell, others, spread, said):
    row = gaps(cell, *others)[cell.run, cell.step]
    assert (row["seed_spread"], row["class"]) == (spread, said)


def test_the_interval_holds_items_and_both_seeds():
    row = gaps(SMALL)[SMALL.run, 10]
    half = 1.959964 * (2 * 0.01**2 + 2 * 0.02**2) ** 0.5
    assert (row["gap_low"], row["gap_high"]) == (pytest.approx(-0.06 - half), pytest.approx(-0.06 + half))


@pytest.mark.parametrize(
    ("data", "pure", "said"),
    [
        ("adopted", Cell(gap=0.0, pure=True, data="adopted"), "precision"),
        ("computed", Cell(gap=0.0, pure=True), "precision"),
        ("adopted", Cell(pure=True, data="adopted"), "training"),
        ("computed", Cell(pure=True), "data or training"),
        # Trained on a set that is no longer in use.
        ("computed", Cell(gap=0.0, pure=True, trained_on="b"), "data or training or precision"),
        # Neither at the paper's number nor clearly off it.
        ("adopted", Cell(gap=0.3, pure=True, data="adopted"), "training or precision"),
    ],
)
def test_a_run_in_pure_bf16_tells_precision_from_training(data, pure, said):
    assert class_of(Cell(data=data), pure) == said


def test_a_run_in_pure_bf16_stands_beside_the_papers_numbers_too():
    found = gaps(Cell(data="adopted"), Cell(gap=0.0, pure=True, data="adopted"))
    row = found["m_set_s_bf16-pure", 10]
    assert (row["class"], row["schedule"], row["paper"]) == ("noise", "s_bf16-pure", 0.5)
    assert class_of(Cell(pure=True, data="adopted")) == "training"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Cell(gap=0.0, dataset="theirs", data="adopted"), "data"),
        (Cell(gap=0.0, dataset="theirs", data="adopted", checkpoint="adopted"), "data or training or precision"),
        (Cell(gap=0.0, dataset="ours"), "data or training or precision"),
        (Cell(gap=FAR, dataset="theirs", data="adopted"), "data or training or precision"),
    ],
)
def test_the_same_training_on_the_authors_data_tells_data_from_training(other, said):
    assert class_of(Cell(), other) == said


def test_what_the_base_shows_already_is_the_harness():
    assert class_of(Cell(), Cell(step=0)) == "harness"
    assert class_of(Cell(), Cell(gap=-FAR, step=0)) == "data or training or precision"


CELLS = (
    Cell(data="adopted"),
    Cell(gap=0.0, pure=True, data="adopted"),
    Cell(gap=-0.01, step=0),
    *(Cell(gap=-0.1, dataset="other", seed=seed) for seed in (1, 2)),
)


def test_the_report_says_what_the_gaps_stand_on_and_where_training_departs():
    answer = Answer("trusted", "?")
    with mart(CELLS) as tables:
        trust._gaps(tables, answer)
    counts, spread, departure = answer.sentences
    assert all(f"1 {one}" in counts for one in ("precision", "data or training or precision")) and "2 noise" in counts
    assert spread.endswith("The spread between seeds is measured in 1 cell and taken as 2.0 % elsewhere.")
    assert "fp32 master weights, where they trained in pure bf16, as the runs named bf16-pure do" in departure


def test_every_class_has_a_look_of_its_own():
    rows = list(gaps(*CELLS).values())
    pairs = reproduction_gap.CLASSES
    assert {row["class"] for row in rows} < set(pairs)
    with house_style():
        canvas = reproduction_gap.draw([dict(rows[0], **{"class": name}) for name in pairs], "paper")
    (legend,) = canvas.legends
    assert [text.get_text() for text in legend.get_texts()] == list(pairs)
    looks = {(str(line.get_color()), str(line.get_marker())) for line in legend.legend_handles}
    assert len(looks) == len(pairs)
