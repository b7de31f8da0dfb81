"""What the README and the pages behind it name must exist: partitions, assets, files, tables, study files."""

import re
from pathlib import Path

import pytest

from rsft_assets.defs.partitions import full_partitions
from rsft_assets.specs.lineage import partitions_of
from rsft_assets.specs.study import load_study

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "rsft_assets" / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is only in a checkout")


def _all_pages():
    return "\n".join(page.read_text() for page in PAGES)


def test_a_reader_gets_through_the_readme():
    assert len(README.read_text().splitlines()) <= 150


def test_links_lead_somewhere():
    for page in (*PAGES, README.parent / ".github" / "CONTRIBUTING.md"):
        for target, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", (page.parent / target).read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{page.name}: {target}#{anchor}"


def test_partitions_and_runs_exist():
    # The partitions of own_study.md are of its own study: test_howto.py.
    text = "\n".join(page.read_text() for page in PAGES if page.name != "own_study.md")
    study = load_study()
    known = {p for model in study.models for p in partitions_of(study, f"checkpoints/{model}")}
    named = set(re.findall(r"(?<!--partition )'([\w.-]+\|\d+)'", text))
    assert len(named) >= 2
    assert named <= known
    (key,) = re.findall(r"--partition '([^']+)'", text)
    assert full_partitions(study, "scores/qwen3-14b/math500")[key] in known


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
