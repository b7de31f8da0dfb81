"""Outputs as nodes of a trace: their facts, and whether the link to each input is intact."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.questions.tracing.node import Node
from rsft_assets.steps.records.identity import materialize_command
from rsft_assets.steps.records.manifest import InputRecord, Manifest
from rsft_assets.steps.records.store import Output, Store

if TYPE_CHECKING:
    import pyarrow

HASHED_BYTES = 2 << 20
"""Files up to this size are checked against their digests; larger ones only with `content`."""
HASHED_SHARDS = 8
"""Of pools with more shards than this, sizes alone are looked at, which takes milliseconds."""


def output_node(output: Output, *, content: bool = False, quick: bool = False) -> Node:
    """An output with its provenance; damage to its files is this node's problem."""
    problem = output.damage(content=False) if quick and not content else damage(output, content=content)
    return Node(str(output.manifest.ref), facts=_facts(output), problem=problem)


def _facts(output: Output) -> dict[str, Any]:
    made = output.manifest
    by = made.made_by
    commit = (
        f"{str(by['commit'])[:10]}{' with uncommitted changes' if by.get('dirty') else ''}"
        if by.get("commit")
        else None
    )
    return {
        "digest": made.digest[:12],
        "identity": made.fingerprint[:12],
        "origin": made.origin if made.origin != "computed" else None,
        "adopted from": {name: value for name, value in (made.adopted_from or {}).items() if value is not None} or None,
        "made": made.finished_at[:19],
        "seconds": made.seconds,
        "seed": by.get("seed"),
        "engine": by.get("engine"),
        "code": commit,
        "rows": sum(record.rows for record in made.files if record.rows is not None) or None,
        "command": by.get("command"),
        "folder": str(output.folder),
    }


def damage(output: Output, *, content: bool = False) -> str | None:
    """What is wrong with an output's files, in words."""
    problem = output.damage(content=content)
    if problem or content:
        return problem
    return output.changed(record.path for record in output.manifest.files if record.bytes <= HASHED_BYTES)


def follow(
    store: Store, link: InputRecord, *, content: bool = False, quick: bool = False
) -> tuple[Node, Output | None]:
    """The output that an input record names; (node, None) where it is gone."""
    ref = Ref(link.asset, link.partition)
    try:
        output = store.used(link)
    except StepError as error:
        return Node(str(ref), "missing", {"folder": str(store.home / link.output)}, f"{error}"), None
    node = output_node(output, content=content, quick=quick)
    if output.digest != link.digest:
        node.problem = f"its digest is {output.digest[:12]}, but {link.digest[:12]} was used"
    elif _replaced(store, ref, output):
        node.facts["note"] = "replaced since; this is the version that was used"
    return node, output


def _replaced(store: Store, ref: Ref, output: Output) -> bool:
    if ref.stage == "completions":
        return False
    current = store.sound(ref)
    return current is not None and current.digest != output.digest


def current_node(store: Store, ref: Ref, *, content: bool = False) -> tuple[Node, Output | None]:
    """The output in use of `ref`; (node with the command that makes it, None) where there is none."""
    try:
        output = store.current(ref)
    except StepError as error:
        return Node(str(ref), "missing", problem=str(error)), None
    if output is None:
        return Node(str(ref), "missing", problem=f"not made yet; make it: {materialize_command(ref)}"), None
    return output_node(output, content=content), output


def input_of(made: Manifest, stage: str) -> InputRecord | None:
    """The first input of a stage."""
    return next((link for link in made.inputs if link.asset.split("/")[0] == stage), None)


def read_rows(path: Path, *, columns: list[str] | None = None, where: list[Any] | None = None) -> list[dict[str, Any]]:
    """Rows of a Parquet file, filtered while reading; a file that cannot be read is a `StepError`."""
    try:
        rows: list[dict[str, Any]] = read_table(path, columns=columns, where=where).to_pylist()
        return rows
    except ValueError as error:
        raise StepError(f"{path} cannot be read ({error}); materialize it again") from error


def read_table(path: Path, *, columns: list[str] | None = None, where: list[Any] | None = None) -> "pyarrow.Table":
    """The same as a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns, filters=where)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StepError(f"{path} cannot be read ({error}); materialize it again") from error
