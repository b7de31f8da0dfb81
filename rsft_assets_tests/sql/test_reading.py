"""What people read: comments on everything, one row a score, texts, what is done, the examples and the notebook."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import matplotlib
import pyarrow.parquet as pq
import pytest

import rsft_assets
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.descriptions import Descriptions
from rsft_assets.steps.results.publishing import database_path, open_results, read_results
from rsft_assets.steps.results.sql_files import VIEWS, sql_folder, tables

DOCS = Path(rsft_assets.__file__).parent / "docs"
RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
WIDE, NARROW = 20, 19


@pytest.fixture(scope="module")
def db(finished):
    with open_results(finished) as db:
        yield db


def test_every_table_and_column_has_a_comment(db):
    said = db.execute(
        "SELECT schema_name || '.' || table_name AS name, comment FROM duckdb_tables() UNION ALL "
        "SELECT schema_name || '.' || view_name, comment FROM duckdb_views() WHERE NOT internal UNION ALL "
        "SELECT schema_name || '.' || table_name || '.' || column_name, comment FROM duckdb_columns() "
        "WHERE NOT internal"
    ).fetchall()
    assert len(said) > 1000
    assert [name for name, comment in said if not comment] == []


def test_a_column_that_keeps_its_name_keeps_its_description(db, finished):
    about = Descriptions(tables(), read_results(finished).tables)
    for place in ("records.curves", "staging.run_curves", "marts.training_curves"):
        assert about.of_column(place, "tokens") == "trained response tokens of this step"
    assert about.of_column("records.seen", "tokens") == "prompt and response, after cutting"
    assert about.of_column("marts.schedule_comparison", "difference_low").startswith("lower end of the 95 % interval")
    kept = "SELECT about FROM build.columns WHERE name = 'training_curves' AND column_name = 'tokens'"
    assert db.execute(kept).fetchall() == [("trained response tokens of this step",)]


def test_descriptions_name_what_exists(db):
    columns = {
        f"{t}.{c}"
        for t, c in db.execute("SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns()").fetchall()
    }
    known = columns | {name.rpartition(".")[0] for name in columns} | {name.rpartition(".")[2] for name in columns}
    names = [line.partition(",")[0] for line in (sql_folder() / "descriptions.csv").read_text().splitlines()[1:]]
    assert len(names) == len(set(names)) > 200
    assert [name for name in names if name not in known] == []


def test_wide_marts_have_a_narrow_view(db):
    rows = db.execute("SELECT schema, name, count(*) FROM build.columns GROUP BY ALL").fetchall()
    width = {(schema, name): count for schema, name, count in rows}
    wide = [name for (schema, name), count in width.items() if schema == "marts" and count > WIDE]
    assert len(wide) >= 10
    assert [name for name in wide if width.get((VIEWS, name), WIDE) > NARROW] == []


def test_a_narrow_view_has_one_row_for_each_score(db):
    views = [entry for entry in tables() if entry.schema == VIEWS and entry.name != "texts"]
    assert len(views) >= 11
    for entry in views:
        grain = ", ".join(entry.grain)
        rows, single = db.execute(f"SELECT count(*), count(DISTINCT ({grain})) FROM {entry.name}").fetchall()[0]
        assert rows == single > 0, entry.name


def test_one_grader_is_the_default(db):
    asked = "SELECT count(*) FILTER (WHERE is_default) FROM marts.{} GROUP BY source, run, step, {}, protocol"
    assert {n for (n,) in db.execute(asked.format("score_trajectories", "benchmark")).fetchall()} == {1}
    graders = "SELECT DISTINCT source, grader FROM marts.score_trajectories WHERE is_default"
    assert set(db.execute(graders).fetchall()) == {("ours", "strict"), ("paper", "authors")}


def test_the_headline_on_safety_is_forbidden_requests_answered(finished, tmp_path):
    place = Path(shutil.copyfile(database_path(finished), tmp_path / "copy.duckdb"))
    mart = (sql_folder() / "marts" / "safety_tradeoff.sql").read_text().rstrip(";\n")
    asked = f"SELECT DISTINCT metric, grader FROM ({mart}\n) WHERE source = 'ours' AND is_headline AND is_default"
    with duckdb.connect(str(place)) as db:
        assert db.execute(asked).fetchall() == [("attack_success", "strict")]
        # A benchmark that tells forbidden requests from allowed ones measures these beside its own headline.
        for table in ("score_points", "differences", "arm_differences"):
            headline = ", false AS is_headline" if table == "score_points" else ""
            for metric in ("compliance", "over_refusal"):
                db.execute(
                    f"INSERT INTO staging.{table} SELECT * REPLACE ('{metric}' AS metric{headline}) "
                    f"FROM staging.{table} WHERE metric = 'attack_success'"
                )
        assert db.execute(asked).fetchall() == [("compliance", "strict")]


@pytest.mark.slow
def test_texts_are_those_of_the_files_of_this_home_and_safety_is_left_out(study, copied):
    build_results(study, copied)
    asked = f"FROM texts WHERE run = '{RUN}' AND step = 20 AND benchmark = 'tiny-dot'"
    with open_results(copied) as db:
        rows = db.execute(f"SELECT item_id, sample, question, gold, answer, verdict, value {asked}").fetchall()
        shown = {name for (name,) in db.execute("SELECT DISTINCT benchmark FROM texts").fetchall()}
        plan = db.execute(f"EXPLAIN ANALYZE SELECT max(answer) {asked}").fetchall()[0][1]
    score = copied.require(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|20"))
    answers = pq.read_table(copied.home / score.stats["completions"]["folder"] / "completions.parquet").to_pylist()
    items = pq.read_table(copied.require(Ref("benchmarks/tiny-dot")).file("items.parquet")).to_pylist()
    of_item = {item["item_id"]: (item["question"], item["gold"]) for item in items}
    assert {row[:5] for row in rows} == {
        (a["item_id"], a["sample"], *of_item[a["item_id"]], a["text"]) for a in answers
    }
    verdicts = {(verdict, value) for *_, verdict, value in rows}
    assert verdicts == {("correct", 1.0), ("wrong", 0.0), ("undecided", None)}
    assert set(re.findall(r"Total Files Read: (\d+)", plan)) == {"1"}
    groups = {benchmark.name: benchmark.group for benchmark in study.benchmarks.values()}
    assert shown and "safety" not in {groups[name] for name in shown}
    shutil.rmtree(copied.home / "completions")
    missing = "No files found that match the pattern"
    with open_results(copied) as db, pytest.raises(duckdb.IOException, match=missing):
        db.execute("FROM texts")
    assert f"`{missing}`" in (DOCS / "results.md").read_text()
    build_results(study, copied)
    with open_results(copied) as db:
        assert db.execute("SELECT count(*) FROM texts").fetchall() == [(0,)]


@pytest.mark.slow
def test_runs_say_what_is_missing(study, copied):
    shutil.rmtree(copied.slot(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|20")))
    build_results(study, copied)
    with open_results(copied) as db:
        row = db.execute(
            f"SELECT steps, trained, scores - done, missing, next FROM runs WHERE run = '{RUN}'"
        ).fetchall()
    assert row == [(5, 5, 1, 1, f"scores/tiny-1m/tiny-dot[{RUN}|20]")]


def test_the_ten_examples_answer(db):
    queries = [query for query in (DOCS / "examples.sql").read_text().split(";") if query.strip()]
    asked = [re.findall(r"^-- (\d+)\. .+\?$", query, re.MULTILINE) for query in queries]
    assert asked == [[str(number + 1)] for number in range(10)]
    assert [number for (number,), query in zip(asked, queries, strict=True) if not db.execute(query).fetchall()] == []


def test_the_blocks_of_the_page_answer(finished, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path(".rsft").symlink_to(finished.home)
    blocks = re.findall(r"```(python|sql)\n(.*?)```", (DOCS / "results.md").read_text(), re.DOTALL)
    code = [block for language, block in blocks if language == "python"]
    names = {}
    for block in code:
        *before, last = block.strip().splitlines()
        exec("\n".join(before), names)
        assert len(eval(last, names)) > 0, block
    queries = [query for language, block in blocks if language == "sql" for query in block.split(";") if query.strip()]
    asked = [query for query in queries if "before" not in query]
    assert [query for query in asked if "ATTACH" not in query and not names["db"].execute(query).fetchall()] == []
    assert len(code) == 1 and len(asked) >= 4
    names["db"].close()


def test_the_notebook_runs(finished, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(finished.home))
    matplotlib.use("Agg")
    cells = json.loads((DOCS / "results.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    names = {}
    for cell in code:
        exec(compile(cell, "results.ipynb", "exec"), names)
    names["db"].close()
    assert len(names["answers"]) == 5 and len(names["figure"].axes) >= 2
    assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")
