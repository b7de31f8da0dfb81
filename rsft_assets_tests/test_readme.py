"""What the README and the pages behind it name must exist: partitions, assets, files, tables, study files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rsft_assets.defs.partitions import full_partitions
from rsft_assets.specs.lineage import partitions_of
from rsft_assets.specs.study import _load, load_study
from rsft_assets.steps.questions.planning.selection import select

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "rsft_assets" / "docs"
OWN_STUDY = DOCS / "own_study.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is only in a checkout")


def _all_pages():
    return "\n".join(page.read_text() for page in PAGES)


def test_a_reader_gets_through_the_readme():
    assert len(README.read_text().splitlines()) <= 150


def test_links_lead_somewhere():
    for page in (*PAGES, README.parent / ".github" / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_partitions_and_runs_exist():
    text = _all_pages()
    study = load_study()
    known = {p for model in study.models for p in partitions_of(study, f"checkpoints/{model}")}
    named = set(re.findall(r"(?<!--partition )'([\w.-]+\|\d+)'", text))
    assert len(named) >= 2
    assert named <= known
    runs = set(re.findall(r"--run '?([\w.-]+)'?", text))
    assert runs and runs <= set(study.runs) | {run.short_name for run in study.runs_of("qwen3-14b")}
    (key,) = re.findall(r"--partition '([^']+)'", text)
    assert full_partitions(study, "scores/qwen3-14b/math500")[key] in known


def study_of(name, tmp_path):
    """The study that a file printed on one of the pages gives."""
    (block,) = re.findall(rf"```toml\n(# {name}.*?)```", _all_pages(), flags=re.DOTALL)
    (tmp_path / name).write_text(block)
    return _load.__wrapped__(str(tmp_path / name))


def test_selections_match_something(tmp_path):
    selections = re.findall(r"rsft materialize '?([^\s'`]+)'?", _all_pages())
    assert len(selections) >= 4
    for selection in selections:
        own = selection == "datasets/my-traces"
        assert select(study_of("my_traces.toml", tmp_path) if own else load_study(), [selection])


def test_the_study_files_are_valid(tmp_path):
    assert "my-base-1.7b_math-cot-20k_lr5e-5_ep8_bs256" in study_of("my_study.toml", tmp_path).runs
    authors = study_of("my_traces.toml", tmp_path).datasets["authors-math-cot-20k"].published
    declared = load_study().datasets["math-cot-20k"].published
    assert (authors.repo, authors.file) == (declared.repo, declared.file)
    assert (authors.revision, authors.sha256) == (declared.revision, declared.sha256)


@pytest.mark.slow
def test_own_traces_as_printed(tmp_path):
    text = OWN_STUDY.read_text().partition("## Your own traces")[2].partition("\n## ")[0]
    make, study, use = re.findall(r"```(?:sh|toml)\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "my_traces.toml").write_text(study)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RSFT_")}
    done = subprocess.run(
        ["bash", "-ec", make + use],
        cwd=tmp_path,
        env={**environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "verdicts: correct 1, wrong 1, not judged 1" in done.stdout


def test_folders_and_tables_exist():
    text = _all_pages()
    for path in re.findall(r"`((?:rsft_assets|dbt_like_sql)/[\w./]*)`", text):
        assert (README.parent / path).exists(), path
    for schema, table in re.findall(r"FROM (?:\w+\.)?(\w+)\.(\w+)", text):
        assert (README.parent / "dbt_like_sql" / schema / f"{table}.sql").exists()


def test_pictures_are_there():
    named = {page.parent / path for page in PAGES for path in re.findall(r"\]\(([^)]+\.png)\)", page.read_text())}
    assert len(named) >= 5
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in named)
