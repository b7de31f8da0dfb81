"""Pages for those who carry on: the diagram is the graph, and what they name exists.

After a change of the graph that is meant: `python -m rsft_assets_tests.test_docs` writes the diagram anew.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

import rsft_assets
from rsft_assets.specs.study import _load
from rsft_assets_tests.defs.test_graph import PICTURE

PACKAGE = Path(rsft_assets.__file__).parent
ROOT = PACKAGE.parent
ARCHITECTURE = PACKAGE / "docs" / "architecture.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
PAGES = (ARCHITECTURE, CONTRIBUTING)
DIAGRAM = re.compile(r"```mermaid\n.*?```\n", flags=re.DOTALL)


def diagram() -> str:
    """The stored graph with one box for each first part of a key."""
    upstream: dict[str, set[str]] = {}
    for key, asset in json.loads(PICTURE.read_text()).items():
        stage = key.split("/")[0]
        upstream.setdefault(stage, set()).update({parent.split("/")[0] for parent in asset["upstream"]} - {stage})
    lines = [f"    {' & '.join(sorted(above))} --> {stage}" for stage, above in sorted(upstream.items()) if above]
    assert len(lines) >= 9
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def test_the_diagram_is_the_graph():
    assert DIAGRAM.findall(ARCHITECTURE.read_text()) == [diagram()], "python -m rsft_assets_tests.test_docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_folders_that_a_page_names_exist(page):
    text = page.read_text()
    named = set(re.findall(r"`((?:rsft_assets|rsft_assets_tests|dbt_like_sql|\.ci)/[\w./]+)`", text))
    named |= {f"{name.replace('.', '/')}.py" for name in re.findall(r"python -m (rsft_assets_tests[\w.]+)", text)}
    assert len(named) >= 4
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).is_file()


def test_the_benchmark_that_contributors_are_shown_is_valid(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", CONTRIBUTING.read_text(), flags=re.DOTALL)
    assert "aime25" in tomllib.loads(block)["benchmarks"]
    (tmp_path / "own.toml").write_text(block.replace("…", "0" * 40))
    assert "aime25" in _load.__wrapped__(str(tmp_path / "own.toml")).benchmarks


def test_words_that_the_glossary_explains_are_used():
    words = re.findall(r"^\| (\w+) \|", ARCHITECTURE.read_text().partition("## Words")[2], flags=re.MULTILINE)
    words.remove("word")
    assert words == sorted(words) and len(words) > 15
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "dbt_like_sql").rglob("*.sql")]
    text = "\n".join(path.read_text() for path in files).lower()
    assert [word for word in words if not re.search(rf"\b{word}s?\b", text)] == []


if __name__ == "__main__":
    ARCHITECTURE.write_text(DIAGRAM.sub(diagram(), ARCHITECTURE.read_text()))
    print(f"the diagram of {PICTURE} is in {ARCHITECTURE}")
