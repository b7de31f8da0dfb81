"""Figures: a receipt for every number, drawn again only where one changed, and a clear word where there is none."""

import csv
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import duckdb
import pytest

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.figures import optimization_regimes
from rsft_assets.steps.figures.catalogue import FIGURES, label_of
from rsft_assets.steps.figures.draw import draw_figures, rows_of
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import read_results

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
NEVER_PUBLISHED = {
    *("safety_tradeoff", "response_length", "pass_at_k", "training_curves", "data_yield", "reproduction_gap"),
    "base_comparison",
}


@pytest.fixture(scope="module")
def drawn(reported):
    return {place.name: reported.require(Ref(f"figures/{place.name}")) for place in reported.home.glob("figures/*")}


def test_every_figure_is_drawn_for_every_study(drawn):
    assert drawn.keys() == {figure.name for figure in FIGURES}
    for output in drawn.values():
        for study in ("paper", "tiny"):
            assert output.file(f"{study}.png").read_bytes().startswith(b"\x89PNG")
            ET.parse(output.file(f"{study}.svg"))


def test_every_model_has_a_picture_beside_the_dip_figure(drawn):
    for output in drawn.values():
        pictures = {file.path for file in output.manifest.files if file.path.endswith(".png")}
        models = {f"{name}.png" for name in ("tiny.tiny-1m", "tiny.tiny-3m", "paper.qwen3-1.7b", "paper.qwen3-4b")}
        wanted = models if output.manifest.asset == "figures/dip_and_recovery" else set()
        assert pictures - {"tiny.png", "paper.png"} == wanted
        assert {label_of(name) for name in models} == {
            "tiny study, tiny-1m",
            "tiny study, tiny-3m",
            "paper study, qwen3-1.7b",
            "paper study, qwen3-4b",
        }


def test_where_there_is_no_number_the_figure_says_so(drawn):
    for name, output in drawn.items():
        assert ("paper" in output.stats["not_available"]) == (name in NEVER_PUBLISHED), name
    assert "not available" in drawn["safety_tradeoff"].file("paper.svg").read_text()


def test_a_run_without_scores_is_counted_once_though_it_may_be_ours_or_published():
    shared = {"benchmark": "b", "title": "B", "benchmark_group": "general", "position": 1}
    regimes = {("ours", "a"): "optimal", ("paper", "a"): "not available", ("ours", "c"): "not available"}
    regimes[("paper", "c")] = "not available"
    rows = [{**shared, "source": s, "run": r, "regime": regime} for (s, r), regime in regimes.items()]
    canvas = optimization_regimes.draw(rows, "tiny")
    said = " ".join(text.get_text().replace("\n", " ") for text in canvas.texts)
    assert "Declared runs without any score: 1, not available." in said


def test_text_in_a_picture_stays_text(drawn):
    picture = drawn["dip_and_recovery"].file("tiny.svg").read_text()
    assert "Tiny sums" in picture and "95 % intervals" in picture


def test_the_receipt_names_every_score_that_was_drawn(drawn):
    output = drawn["dip_and_recovery"]
    receipt = json.loads(output.file("receipt.json").read_text())
    with output.file("tiny.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert receipt["numbers"]["tiny"]["rows"] == len(rows) == 5 * 5 * 3
    assert set(receipt["traces"]["tiny"]) == {row["trace"] for row in rows}


def test_each_figure_reads_only_tables_that_are_built(finished):
    known = {f"{table.schema}.{table.name}" for table in read_results(finished).tables}
    for figure in FIGURES:
        assert set(figure.reads) <= known
        assert all(table in figure.query for table in figure.reads)


def test_of_several_schedules_the_one_with_most_to_show_is_drawn():
    [figure] = [figure for figure in FIGURES if figure.name == "capability_curves"]
    # Neither another study's rows nor what is not drawn count: read leniently, or no headline.
    scored = [
        *[("nano", True, "strict", "long", seed) for seed in (1, 2)],
        *[("nano", True, "strict", "short", seed) for seed in (1, 2, 3)],
        *[("nano", True, "lenient", "long", seed) for seed in (1, 2, 3)],
        *[("nano", False, "strict", "long", seed) for seed in (1, 2, 3)],
        *[("paper", True, "strict", "long", seed) for seed in (1, 2, 3, 4)],
    ]
    with duckdb.connect() as db:
        db.execute("CREATE SCHEMA marts")
        db.execute(
            "CREATE TABLE marts.capability_curves (study TEXT, is_headline BOOL, grader TEXT, schedule TEXT, "
            "is_default BOOL AS (is_headline AND grader = 'strict'), "
            "seed INT, source TEXT DEFAULT 'ours', dataset TEXT, position INT, family TEXT, parameters INT, "
            "model TEXT, run TEXT)"
        )
        db.executemany(
            "INSERT INTO marts.capability_curves (study, is_headline, grader, schedule, seed) VALUES (?, ?, ?, ?, ?)",
            scored,
        )
        rows = rows_of(db, figure, "nano")
    assert [(row["schedule"], row["seed"]) for row in rows] == [("short", 1), ("short", 2), ("short", 3)]


@pytest.mark.slow
def test_the_same_numbers_are_not_drawn_again(study, copied):
    first = draw_figures(study, copied, ("data_yield",))[0]
    build_results(study, copied, force=True)
    assert draw_figures(study, copied, ("figures/data_yield",))[0].folder == first.folder


@pytest.mark.slow
def test_a_changed_number_makes_a_new_figure_beside_the_old_one(study, copied):
    first = draw_figures(study, copied, ("dip_and_recovery",))[0]
    (copied.slot(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40")) / "current.json").unlink()
    build_results(study, copied)
    second = draw_figures(study, copied, ("dip_and_recovery",))[0]
    assert second.folder != first.folder and first.folder.is_dir()
    assert copied.current(Ref("figures/dip_and_recovery")).folder == second.folder


@pytest.mark.slow
def test_the_same_picture_has_the_same_bytes(study, copied):
    first = draw_figures(study, copied, ("safety_tradeoff",))[0]
    second = draw_figures(study, copied, ("safety_tradeoff",), force=True)[0]
    assert first.folder != second.folder
    assert first.digest == second.digest


def test_without_results_the_command_that_builds_them_is_named(study, tmp_path):
    with pytest.raises(StepError, match="rsft materialize results"):
        draw_figures(study, Store(tmp_path))


def test_an_unknown_figure_is_answered_with_the_nearest(study, finished):
    with pytest.raises(SpecError, match="dip_and_recovery"):
        draw_figures(study, finished, ("figures/dip_and_recover",))


def test_the_order_in_which_a_sum_was_made_changes_no_number_that_is_drawn():
    sums = ("0.1::DOUBLE + 0.2::DOUBLE", "0.3::DOUBLE")
    with duckdb.connect() as db:
        exact, drawn = set(), []
        for one in sums:
            query = f"SELECT {one} AS x, $study AS study"
            exact.add(db.execute(query, {"study": "tiny"}).fetchall()[0][0])
            drawn.append(rows_of(db, replace(FIGURES[0], query=query), "tiny"))
    assert len(exact) == 2 and drawn == [[{"x": 0.3, "study": "tiny"}]] * 2
