"""Files of a model's folder: curves and the rows it has seen beside the model, and a model taken over as it is."""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.checkpoints.training.work import FineTuning
from rsft_assets.steps.records.columns import KINDS, arrow_schema

_LEFT_OUT = (".bin", ".pt", ".pth", ".onnx", ".gguf", ".msgpack", ".h5")
"""Copies of the weights in other formats."""
CURVES, SEEN = "curves.parquet", "seen.parquet"


def write_curves(path: Path, curves: Iterable[dict[str, Any]]) -> None:
    # A training resumed from a state of an earlier version lacks what was added since.
    added = dict.fromkeys(column.name for column in KINDS["curves"] if column.is_added)
    names = [column.name for column in KINDS["curves"]]
    _write(path, "curves", [{name: (added | entry)[name] for name in names} for entry in curves])


def write_seen(path: Path, work: FineTuning, dataset: Path, step: int) -> None:
    """Every row that the weights of `step` were trained on, in order."""
    ids = pq.read_table(dataset, columns=["query_id"])["query_id"].to_pylist()
    lengths, cut = work.tokens.lengths, work.tokens.cut
    _write(
        path,
        "seen",
        [
            {
                "step": done,
                "position": place,
                "row": row,
                "query_id": ids[row],
                "tokens": int(lengths[row]),
                "cut_tokens": int(cut[row]),
            }
            for done in range(1, step + 1)
            for place, row in enumerate(work.rows(done))
        ],
    )


def _write(path: Path, kind: str, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(kind)), path, compression="zstd")


def link_model(source: Path, folder: Path) -> list[str]:
    """A model's files in another folder, without copies of the weights in other formats; their names.

    A `StepError` where it would not load: weights, all parts of them, and a tokenizer are needed.
    """
    files = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if not path.is_dir()]
    safetensors = any(name.endswith(".safetensors") for name in files)
    kept = [
        name
        for name in files
        if not any(part.startswith(".") for part in Path(name).parts) and not (safetensors and name.endswith(_LEFT_OUT))
    ]
    if missing := _missing(source, kept):
        raise StepError(f"{source} lacks {', '.join(missing)}; complete the mirror, or fetch the revision again")
    link_files(source, kept, folder)
    return kept


def _missing(source: Path, files: Sequence[str]) -> list[str]:
    index = source / "model.safetensors.index.json"
    wanted = {"model.safetensors"}
    if index.is_file():
        wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    missing = sorted(wanted - set(files))
    return missing if any(name.startswith("tokenizer") for name in files) else [*missing, "tokenizer.json"]


def link_files(source: Path, names: Iterable[str], folder: Path) -> None:
    """The same files in another folder, sharing their bytes where the file system allows it.

    The hub's cache holds links into its `blobs/`; the files are linked or copied, not the links.
    """
    for name in names:
        file, place = (source / name).resolve(), folder / name
        if not file.is_file():
            raise StepError(f"{source / name} is a link to {file}, which is not a file; fetch the revision again")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        try:
            os.link(file, place)
        except OSError:
            shutil.copy2(file, place)
