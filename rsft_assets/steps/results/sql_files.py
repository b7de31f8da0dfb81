"""The SQL folder as data: its tables, their headers and what they read.

In: `dbt_like_sql/<schema>/<table>.sql`, each one plain SELECT under a comment header, and
`dbt_like_sql/seeds/<table>.csv` under the same header with `#`. The files of `main` become views. What several of
them compute is defined once, in `dbt_like_sql/macros.sql`. Out:
`SqlTable`s in an order in which they can be built. Nothing is run, and sqlglot parses only what has changed
since it last did.

-- What the table holds, in as many lines as it takes.
-- grain: run, step, benchmark
-- incremental: output_id              (optional: rows with one output_id depend on no other's; or
--                                      `a, b among staging.pairs`: one set of rows for each pair)
-- column value: what the column says  (optional, any number)
SELECT ...
"""

import functools
import graphlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rsft_assets
from rsft_assets.specs.errors import StepError, nearest
from rsft_assets.steps.records.kept_readings import KeptReadings

if TYPE_CHECKING:
    from sqlglot import exp

FOLDER_NAME = "dbt_like_sql"
TESTS, SEEDS, VIEWS = "tests", "seeds", "main"
"""`main` is where DuckDB looks for a name without a schema: the narrow views that people read first."""
LOADED_SCHEMAS = ("records", "texts", "declared")
"""Schemas that `build_results` fills from the manifests, the records and the study."""
_PACKAGE = Path(rsft_assets.__file__).parent
_kept = KeptReadings(_PACKAGE / "__pycache__" / "rsft_sql.json", __name__, "sqlglot")
_HEADER = re.compile(r"^(grain|incremental|severity|column\s+\w+):\s*(.*)$")


@dataclass(frozen=True, kw_only=True)
class SqlTable:
    """One file of the folder: a table, a seed, or a test that must return no rows."""

    schema: str
    name: str
    path: Path
    text: str
    description: str
    grain: tuple[str, ...] = ()
    incremental: str | None = None
    severity: str = "error"
    """Of a test: error, or warn where its rows are worth knowing but not wrong."""
    about: dict[str, str] = field(default_factory=dict)
    """Column -> what it says."""
    reads: tuple[str, ...] = ()
    """Every table it names, `schema.table`, in alphabetical order."""
    columns: tuple[str, ...] | None = None
    """Names of the outermost SELECT; None where a `*` hides them or the SQL is broken."""
    problem: str | None = None
    """File, line and cause, where the SQL cannot be read."""

    @property
    def table(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def key(self) -> str:
        """The Dagster asset key."""
        return f"results/{self.schema}/{self.name}"

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The files of this folder that it reads, `schema.table`."""
        return tuple(name for name in self.reads if name.split(".")[0] not in LOADED_SCHEMAS)


def sql_folder() -> Path:
    """The SQL folder: beside the package in a checkout, inside it in an installed wheel."""
    for folder in (_PACKAGE.parent / FOLDER_NAME, _PACKAGE / FOLDER_NAME):
        if folder.is_dir():
            return folder
    raise StepError(f"no folder {FOLDER_NAME} beside or inside {_PACKAGE}; reinstall rsft_assets")


def tables(folder: Path | None = None) -> tuple[SqlTable, ...]:
    """Every table and seed of the folder, those that are read before those that read them."""
    tables = {entry.table: entry for entry in _read(folder or sql_folder()) if entry.schema != TESTS}
    return tuple(tables[name] for name in _ordered(tables))


@functools.cache
def results_keys() -> tuple[str, ...]:
    """Keys of every table, those that are read before those that read them."""
    return tuple(entry.key for entry in tables())


def sql_tests(folder: Path | None = None) -> tuple[SqlTable, ...]:
    """Every test of the folder, by name."""
    return tuple(entry for entry in _read(folder or sql_folder()) if entry.schema == TESTS)


def macros(folder: Path | None = None) -> str:
    """The statements that define the macros of the folder; they run before any of its files."""
    return ((folder or sql_folder()) / "macros.sql").read_text(encoding="utf-8")


def _read(folder: Path) -> tuple[SqlTable, ...]:
    paths = sorted(p for p in folder.glob("*/*") if p.suffix in (".sql", ".csv") and not p.name.startswith("."))
    entries = tuple(_entry(path, path.stat().st_mtime_ns) for path in paths)
    _kept.write()
    return entries


@functools.lru_cache(maxsize=512)
def _entry(path: Path, _changed: int) -> SqlTable:
    text = path.read_text(encoding="utf-8")
    mark = "#" if path.suffix == ".csv" else "--"
    entry = SqlTable(schema=path.parent.name, name=path.stem, path=path, text=text, **_header(text, mark))
    if path.suffix == ".csv":
        first = next((line for line in text.splitlines() if line and not line.startswith("#")), "")
        return replace(entry, columns=tuple(first.split(",")))
    if path.parent.parent == sql_folder():
        reads, columns, problem = _kept.of(f"{entry.schema}/{path.name}", text.encode(), lambda: _parsed(text))
    else:
        reads, columns, problem = _parsed(text)
    return replace(
        entry,
        reads=tuple(reads),
        columns=tuple(columns) if columns else None,
        problem=f"{path}: {problem}" if problem else None,
    )


def _parsed(text: str) -> tuple[tuple[str, ...], tuple[str, ...] | None, str | None]:
    """(tables that are read, columns, what is wrong)."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        statements = [s for s in sqlglot.parse(text, dialect="duckdb") if s is not None]
        query = _only_select(statements)
        return _reads(query), _column_names(query), None
    except SqlglotError as error:
        return (), None, str(error).splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
    except ValueError as error:
        return (), None, str(error)


def _header(text: str, mark: str) -> dict[str, Any]:
    said: dict[str, str] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith(mark):
            break
        line = line.removeprefix(mark).strip()
        if match := _HEADER.match(line):
            said[match[1]] = match[2].strip()
        else:
            lines.append(line)
    about = {key.split()[1]: value for key, value in said.items() if key.startswith("column")}
    grain = tuple(name.strip() for name in said.get("grain", "").split(",") if name.strip())
    return {
        "description": " ".join(filter(None, lines)),
        "grain": grain,
        "incremental": said.get("incremental"),
        "severity": said.get("severity", "error"),
        "about": about,
    }


def _only_select(statements: list[Any]) -> "exp.Query":
    from sqlglot import exp

    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ValueError("a file holds one SELECT and nothing else")
    return statements[0]


def _reads(query: "exp.Query") -> tuple[str, ...]:
    from sqlglot import exp

    inner = {cte.alias_or_name for cte in query.find_all(exp.CTE)}
    named = set()
    for table in query.find_all(exp.Table):
        if table.db:
            named.add(f"{table.db}.{table.name}")
        elif table.name and table.name not in inner:
            line = table.this.meta.get("line", "?")
            raise ValueError(f"line {line}: table {table.name!r} needs its schema, such as staging.{table.name}")
    return tuple(sorted(named))


def _column_names(query: "exp.Query") -> tuple[str, ...] | None:
    names = tuple(query.named_selects)
    return None if "*" in names or not all(names) else names


def _ordered(tables: dict[str, SqlTable]) -> tuple[str, ...]:
    """Upstream first. A cycle is an error of the whole folder and stops the build."""
    graph = {name: [up for up in entry.depends_on if up in tables] for name, entry in tables.items()}
    try:
        return tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        circle = " -> ".join(error.args[1])
        raise StepError(f"{FOLDER_NAME}: these files form a cycle: {circle}; break it") from None


def missing_table(entry: SqlTable, known: set[str], planned: frozenset[str]) -> str | None:
    """A message about the first table that a file reads and that does not exist, with the nearest name."""
    for name in entry.reads:
        if name not in known:
            line = next((i for i, text in enumerate(entry.text.splitlines(), 1) if name in text), "?")
            return f"{entry.path}: line {line}: no table {name}; {nearest(name, known | planned)}"
    return None
