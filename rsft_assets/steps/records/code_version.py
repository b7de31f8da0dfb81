"""The version of the code that makes a stage. It is reported and never invalidates an output.

A stage's version covers its whole folder, `steps/<stage>`, and every folder that those files reach by an import or by
a string that names a module (programs, workers, graders). Files are compared as syntax trees without docstrings, so a
comment changes no version. Left out are `specs`, which is hashed as identity; `processes` and `questions`, which make
nothing; and the files of `records` below. Of `records` and of `scores/kinds`, only what is imported counts. Where a
dictionary maps names to modules, as `scores/grading/tasks.py` does, only the module of the chosen name counts, and so a
new entry drifts nothing. Of `scores`, a lock uses what reads items: the file of its benchmark's kind and what leads to
it, not what that file imports to grade.
"""

import ast
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.records.kept_readings import KeptReadings

PACKAGE = Path(__file__).parents[2]
PLUMBING = {
    "checked": "whether a file was read before",
    "code_version": "versions themselves",
    "columns": "has a schema version of its own",
    "digest": "names content, does not make it",
    "drift": "only informs",
    "folders": "where work in progress lies",
    "identity": "is the fingerprint, which is compared by itself",
    "journal": "holds rows until they are written",
    "kept_readings": "files that were read before",
    "lock_file": "writes revisions, which are identity",
    "locks": "who may write, not what",
    "manifest": "what is said about an output",
    "output": "what is published, not what makes it",
    "pointers": "which output is in use",
    "proof": "whether a manifest can be true",
    "provenance": "who made an output",
    "side_by_side": "does parts at the same time",
    "stage": "starts a program",
    "store": "where an output lies",
}
"""Files of `records` that no version covers, and why."""
_UNCOVERED = ("processes", "questions")
_BY_IMPORT = ("steps/records", "steps/scores/kinds")
"""Folders of which a file counts only where it is imported or chosen."""
_GRADING = ("steps/scores/grading", "steps/scores/kinds")
_MODULE = re.compile(r"rsft_assets(?:\.\w+)+")


Table = Sequence[tuple[str, str]]
"""(name, module) for each entry of a dictionary."""


@dataclass(frozen=True)
class _File:
    """What counts of one file: its content, the modules that it names, and those that its dictionaries list by name."""

    digest: str
    names: Sequence[str]
    tables: Sequence[Table]

    def chosen(self, choice: str) -> list[str]:
        """The modules of its dictionaries that this file can call for, where `choice` is asked for."""
        named = [[m for name, m in table if name == choice] or [m for _, m in table] for table in self.tables]
        return [module for modules in named for module in modules]


class Code:
    """The package's files, read when they are asked for."""

    def __init__(self, package: Path = PACKAGE) -> None:
        self.package = package
        self._read: dict[str, _File] = {}
        self._kept = KeptReadings(package / "__pycache__" / "rsft_code.json", __name__)

    def version(self, stage: str, choice: str = "") -> str:
        """The version of a stage; `choice` names one entry of a dictionary in its folder, such as a task."""
        seen = hashlib.sha256()
        for path in sorted(self._covered(stage, choice)):
            seen.update(f"{path}\0{self._file(path).digest}\0".encode())
        self._kept.write()
        return seen.hexdigest()[:12]

    def _covered(self, stage: str, choice: str) -> set[str]:
        only_reads = stage == "benchmarks"
        covered: set[str] = set()
        folders = {f"steps/{stage}", *_BY_IMPORT, *(_GRADING if only_reads else ())}
        waiting = [path for path in self._files_in(f"steps/{stage}") if _folder_of(path) not in _BY_IMPORT]
        while waiting:
            path = waiting.pop()
            if path not in covered:
                covered.add(path)
                file = self._file(path)
                names = () if only_reads and _folder_of(path) in _GRADING else file.names
                for module in (*names, *file.chosen(choice)):
                    waiting += self._reached(module, folders)
        return covered

    def _reached(self, module: str, folders: set[str]) -> Iterator[str]:
        """The files that a module's name brings in: itself and, unless its folder is in `folders`, the rest of that."""
        path = self._path(module)
        if path is None or path.split("/")[1] in _UNCOVERED:
            return
        folder, stem = _folder_of(path), Path(path).stem
        if folder != "steps" and not (folder in _BY_IMPORT and stem == "__init__"):
            if folder != "steps/records" or stem not in PLUMBING:
                yield path
            if folder not in folders:
                folders.add(folder)
                yield from (other for other in self._files_in(folder) if _folder_of(other) not in _BY_IMPORT)

    def _path(self, module: str) -> str | None:
        """The file of the longest part of a dotted name that is a module of the package."""
        parts = module.split(".")[1:]
        while parts:
            place = "/".join(parts)
            for path in (f"{place}.py", f"{place}/__init__.py"):
                if path in self._paths:
                    return path
            parts.pop()
        return None

    @functools.cached_property
    def _paths(self) -> frozenset[str]:
        """The files of all stages, without those of editors, file managers and Python's cache."""
        files = (p.relative_to(self.package) for p in (self.package / "steps").rglob("*") if p.is_file())
        return frozenset(
            path.as_posix()
            for path in files
            if "__pycache__" not in path.parts and not path.name.startswith(".") and not path.name.endswith("~")
        )

    def _files_in(self, folder: str) -> Iterable[str]:
        return [path for path in self._paths if path.startswith(f"{folder}/")]

    def _file(self, path: str) -> _File:
        if path not in self._read:
            content = (self.package / path).read_bytes()
            if path.endswith(".py"):
                self._read[path] = _File(*self._kept.of(path, content, lambda: _parsed(content)))
            else:
                self._read[path] = _File(hashlib.sha256(content).hexdigest(), (), ())
        return self._read[path]


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _parsed(source: bytes) -> list[Any]:
    """The parts of a `_File` from a Python file: its syntax tree without docstrings stands for its content."""
    tree = ast.parse(source)
    _drop_docstrings(tree)
    tables = [table for node in ast.walk(tree) if isinstance(node, ast.Dict) and (table := _table(node))]
    listed = {module for table in tables for _, module in table}
    named = dict.fromkeys(module for node in ast.walk(tree) for module in _modules(node))
    names = [module for module in named if module not in listed]
    _drop_modules_by_name(tree)
    return [hashlib.sha256(_shape(tree).encode()).hexdigest(), names, tables]


def _shape(value: Any) -> str:
    """A syntax tree as text that is the same under every Python: empty fields, which newer ones add, are left out."""
    if isinstance(value, ast.AST):
        fields = (f"{name}={_shape(part)}" for name, part in ast.iter_fields(value) if part not in (None, []))
        return f"{type(value).__name__}({','.join(fields)})"
    return f"[{','.join(map(_shape, value))}]" if isinstance(value, list) else repr(value)


def _drop_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A string that is a statement of its own has no effect, docstring or not.
            node.body = [  # type: ignore[attr-defined]
                line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]


def _drop_modules_by_name(tree: ast.AST) -> None:
    """Entries such as `"math": "rsft_assets.….math"`: the chosen module's own file stands for its entry."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            entries = [entry for entry in zip(node.keys, node.values, strict=True) if not _names_a_module(entry[1])]
            node.keys, node.values = [key for key, _ in entries], [value for _, value in entries]


def _names_a_module(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str) and bool(_MODULE.fullmatch(value.value))


def _modules(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _MODULE.findall(node.value)


def _table(node: ast.Dict) -> Table:
    entries: list[tuple[str, str]] = []
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            entries += [(key.value, module) for part in ast.walk(value) for module in _modules(part)]
    return entries


_version = functools.cache(Code().version)


def code_of(study: Study, ref: Ref) -> str:
    """The version of the code that makes `ref` here; of the kinds of benchmarks, only its own counts."""
    benchmark = {"scores": ref.asset.rpartition("/")[2], "benchmarks": ref.name}.get(ref.stage)
    return _version(ref.stage, study.get("benchmarks", benchmark).task if benchmark else "")
