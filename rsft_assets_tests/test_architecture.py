"""The structure that the design decided, held by the code's own imports."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rsft_assets

PACKAGE = Path(rsft_assets.__file__).parent
HEAVY = ("torch", "vllm", "transformers", "datasets", "deepspeed", "pandas", "pyarrow", "duckdb", "math_verify", "ray")
DATABASE = ("sqlalchemy", "alembic")
LAYERS = ("specs", "steps", "defs", "runs", "commands")
"""Each may import itself and what stands before it."""
DAGSTER = ("defs", "runs", "commands", "definitions.py")


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_imports_point_one_way():
    files = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE]
    looked_at = 0
    for path in files:
        part = path.relative_to(PACKAGE).parts[0]
        for module in imported_modules(path):
            if module.startswith("rsft_assets."):
                below = LAYERS[: LAYERS.index(part) + 1]
                assert module.split(".")[1] in below, f"{path} imports {module}"
                looked_at += 1
            if module.split(".")[0] in ("dagster", "dagster_ray"):
                assert part in DAGSTER, f"{path} imports {module}"
    assert len(files) > 240 and looked_at > 900, "the walk must see the package"


def test_specs_use_the_standard_library_only():
    for path in (PACKAGE / "specs").rglob("*.py"):
        for module in imported_modules(path):
            top = module.split(".")[0]
            assert top == "rsft_assets" or top in sys.stdlib_module_names, f"{path} imports {module}"


def run_python(code: str) -> str:
    """What a new interpreter prints, which keeps compiled files whatever this one's setting is."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WITHOUT_PARSING = """
import ast, sys
parse = ast.parse
def refused(*given, **more):
    # Python 3.12 parses signatures of its own with it.
    assert not sys._getframe(1).f_globals["__name__"].startswith("rsft_assets")
    return parse(*given, **more)
ast.parse = refused
import rsft_assets.definitions
print("sqlglot" in sys.modules)
"""


def test_loading_definitions_imports_nothing_heavy():
    loaded = run_python(
        f"import sys, rsft_assets.definitions; print([m for m in {HEAVY + DATABASE} if m in sys.modules])"
    )
    assert loaded == "[]"


@pytest.mark.slow
def test_loading_definitions_again_parses_no_file():
    run_python("import rsft_assets.definitions")
    assert run_python(WITHOUT_PARSING) == "False"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["plan"], 2),
        (["plan", "--help"], 0),
        (["plan", "scores/qwen3-14/*"], 2),
        (["plan", "scores/qwen3-14b/math500", "--run", "5e-5_8x256_math-cot-20k", "--step", "640", "--upstream"], 0),
        (["materialize", "scores/qwen3-14b/math50"], 2),
        (["doctor"], 0),
        (["lock", "benchmarks/math500", "--check"], 1),
        (["trace", "scores/qwen3-14"], 2),
    ],
)
def test_what_dagster_is_not_asked_does_not_import_it(tmp_path, words, status):
    code = (
        f"import os, sys; os.environ['RSFT_HOME'] = {str(tmp_path)!r}; sys.argv = ['rsft', *{words}]\n"
        "from rsft_assets.commands.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    status = end.code or 0\nelse:\n    status = 0\n"
        "print()\nprint(status, 'dagster' in sys.modules)"
    )
    assert run_python(code).splitlines()[-1] == f"{status} False"


def test_what_a_plan_stands_on_needs_no_dagster():
    beneath = (
        "specs.study, rsft_assets.steps.records.store, rsft_assets.steps.results.sql_files, "
        "rsft_assets.steps.figures.catalogue, rsft_assets.steps.questions.planning.amounts, rsft_assets.defs.launchers"
    )
    code = (
        f"import sys, rsft_assets.{beneath}; print([m for m in ('dagster', 'sqlglot', *{HEAVY}) if m in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_names_and_texts_hold_none_of_the_old_metaphors():
    metaphors = re.compile(r"(?i)(\b|_)(prison|jailer|walls|nursery|crew|hire|bury|steward|orphans?|reckoning)(\b|_)")
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".md")]
    assert len(files) > 240
    assert [f"{path}: {match[0]}" for path in files for match in metaphors.finditer(path.read_text())] == []
