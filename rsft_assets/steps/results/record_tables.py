"""The tables that hold the records: `records.*`, one per kind, without the long texts.

Their columns come from `records/columns.py`; a row carries `output_id`, the output it was read from.
`STAGES_OF` says which stages of the asset graph a table is filled from.
"""

from dataclasses import dataclass

from rsft_assets.specs.lineage import TABLE_OF
from rsft_assets.steps.records.columns import KINDS, Column

SQL_TYPES = {"string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN"}


@dataclass(frozen=True)
class RecordTable:
    """One kind of record as a table: from which file of which stage, and which columns."""

    kind: str
    stage: str
    leave_out: tuple[str, ...] = ()
    """Texts, which stay in the Parquet files: a database of numbers opens fast and can be shared."""
    hashed: tuple[str, ...] = ()
    """Of these texts, `<name>_hash` says which rows have the same one; the texts are left out, too."""
    cumulative: bool = False
    """Each checkpoint repeats the rows of those before it, so only a run's latest is loaded."""

    @property
    def table(self) -> str:
        return f"records.{self.kind}"

    @property
    def file(self) -> str:
        return f"{self.kind}.parquet"

    @property
    def columns(self) -> tuple[Column, ...]:
        left_out = (*self.leave_out, *self.hashed)
        return tuple(column for column in KINDS[self.kind] if column.name not in left_out)

    @property
    def ddl(self) -> str:
        columns = [f'"{c.name}" {SQL_TYPES[c.type]}' for c in self.columns]
        columns += [f"{name}_hash UINTEGER" for name in self.hashed]
        return f"CREATE TABLE {self.table} (output_id BIGINT, {', '.join(columns)})"

    @property
    def source(self) -> str:
        """The rows of the files `$paths`, as what a query reads from."""
        added = [f"NULL::{SQL_TYPES[c.type]} AS {c.name}" for c in self.columns if c.is_added]
        if not added:
            return "read_parquet($paths, filename = 'path_of_file')"
        rows = "FROM read_parquet($paths, filename = 'path_of_file', union_by_name = true)"
        return f"({rows} UNION ALL BY NAME SELECT {', '.join(added)} WHERE false)"


RECORD_TABLES = (
    RecordTable("queries", "queries", ("question", "prompt", "gold", "solution", "fields")),
    RecordTable("responses", "responses", ("text", "engine", "seed")),
    RecordTable("verdicts", "verdicts", ("extracted",)),
    RecordTable("examples", "datasets", ("question", "answer", "message", "response")),
    RecordTable("items", "benchmarks", ("question", "gold", "fields")),
    RecordTable("curves", "checkpoints", cumulative=True),
    RecordTable("seen", "checkpoints", cumulative=True),
    RecordTable("completions", "completions", ("seed", "prompt_sha256", "text")),
    RecordTable("graded", "scores", hashed=("extracted",)),
    RecordTable("scores", "scores"),
)

OUTPUTS_DDL = """CREATE TABLE records.outputs (
    output_id BIGINT, asset VARCHAR, partition VARCHAR, stage VARCHAR, name VARCHAR, benchmark VARCHAR,
    run VARCHAR, step BIGINT, fingerprint VARCHAR, digest VARCHAR, folder VARCHAR, origin VARCHAR,
    spec JSON, stats JSON, made_by JSON, commit VARCHAR, started_at VARCHAR, finished_at VARCHAR,
    seconds DOUBLE, bytes BIGINT, damage VARCHAR)"""
INPUTS_DDL = """CREATE TABLE records.inputs (
    output_id BIGINT, asset VARCHAR, partition VARCHAR, digest VARCHAR, folder VARCHAR, input_id BIGINT)"""
PROBLEMS_DDL = "CREATE TABLE records.problems (place VARCHAR, problem VARCHAR)"

STAGES = tuple(TABLE_OF)
STAGES_OF: dict[str, tuple[str, ...]] = {
    **{table.table: (("scores",) if table.stage == "completions" else (table.stage,)) for table in RECORD_TABLES},
    "records.outputs": STAGES,
    "records.inputs": STAGES,
    "records.problems": STAGES,
}
"""Table -> the stages of the graph whose assets fill it: the upstream of what reads it."""
