"""The structure that the design decided, held by the code's own imports."""

import ast
import subprocess
import sys
from pathlib import Path

import rsft_assets

PACKAGE = Path(rsft_assets.__file__).parent
HEAVY = ("torch", "vllm", "transformers", "datasets", "deepspeed", "pandas", "pyarrow", "duckdb", "math_verify")
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


def test_loading_definitions_imports_nothing_heavy():
    code = f"import sys, rsft_assets.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
