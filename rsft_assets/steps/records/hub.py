"""The one place that reads from a hub, at a pinned revision, or from its offline mirror.

    model_folder(hub)        -> folder with config.json and weights
    dataset_rows(hub)        -> rows as dictionaries, streamed

A repository written as a path (`/…`, `./…`, `~/…`) is a folder of one's own. RSFT_MIRROR names a folder with
repositories in the hub's own layout, `<mirror>/<owner>/<name>/`; what it does not hold comes from the hub at a known
revision, unless RSFT_MIRROR_ONLY is 1. What cannot be read raises `Unavailable`, which for a benchmark is a state.
"""

import glob
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import NoAccess, StepError, nearest
from rsft_assets.specs.hub import Hub
from rsft_assets.steps.records.digest import bytes_digest
from rsft_assets.steps.records.hub_client import ask, check_access, check_files, fetch, first_line, pinned

MIRROR_SETTING = "RSFT_MIRROR"
MIRROR_ONLY_SETTING = "RSFT_MIRROR_ONLY"
_BUILDERS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".gz": "json", ".csv": "csv", ".tsv": "csv"}


def where_from(hub: Hub) -> str:
    """Words for manifests and messages: repository, revision, and whether a mirror served it."""
    if hub.local:
        return hub.repo
    place = f"{hub.repo}@{hub.revision or 'unpinned'}"
    return f"{place} (mirror)" if mirrored(hub) else place


def mirrored(hub: Hub) -> Path | None:
    """The mirror's folder of the repository, if it holds one."""
    mirror = _mirror()
    return mirror / hub.repo if mirror is not None and (mirror / hub.repo).is_dir() else None


def model_folder(hub: Hub) -> Path:
    """A local folder with a model's files; `hub.file` names a subfolder of the repository."""
    below = f"{glob.escape(hub.file)}/*" if hub.file else "*"
    if (folder := _folder(hub)) is None:
        folder = fetch(hub, [below])
    else:
        check_files(hub, folder, [below])
    folder = folder / hub.file if hub.file else folder
    if not (folder / "config.json").is_file():
        raise NoAccess(f"{folder}: no config.json, so this is not a model of {hub.repo}; complete the folder")
    return folder


def dataset_rows(hub: Hub, files: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows of a data set in its own order; `files` (or `hub.file`) reads those files of the repository only."""
    for number, published in enumerate(_rows_as_published(hub, files)):
        row = dict(published)
        for ours, theirs in hub.columns:
            # Rows of JSON may leave out what they have not; a column that the first has not is a slip of the pen.
            if theirs not in published and number == 0:
                raise StepError(f"{hub.repo}, row {number}: no column {theirs!r}; {nearest(theirs, published)}")
            row[ours] = published.get(theirs)
        yield row


def _rows_as_published(hub: Hub, files: Sequence[str]) -> Iterator[dict[str, Any]]:
    names = tuple(files) or ((hub.file,) if hub.file else ())
    if names:
        for name in names:
            yield from _file_rows(repository_file(hub, name))
    elif (folder := _folder(hub)) is not None:
        check_files(hub, folder, ["*"])
        yield from _load(hub, str(folder))
    else:
        yield from _fetched_rows(hub)


def repository_file(hub: Hub, name: str) -> Path:
    """A local copy of one file of the repository, its content checked where a hash is known."""
    if (folder := _folder(hub)) is not None:
        path = folder / name
        if not path.is_file():
            raise NoAccess(
                f"{path} is not there; put {name} of {hub.repo} there, or unset {MIRROR_SETTING} if it is set"
            )
        check_files(hub, folder, [glob.escape(name)])
    else:
        path = fetch(hub, [glob.escape(name)]) / name
        if not path.is_file():
            raise NoAccess(
                f"{hub.repo}@{hub.revision}: the repository has no file {name}; correct its name or revision"
            )
    if hub.sha256 and name == hub.file and (actual := bytes_digest(path)) != hub.sha256:
        raise StepError(f"{path}: sha256 is {actual}, but {hub.sha256} is declared for {hub.repo}; fetch it again")
    return path


def _mirror() -> Path | None:
    value = os.environ.get(MIRROR_SETTING)
    if not value:
        return None
    mirror = Path(value)
    if not mirror.is_dir():
        raise StepError(f"{MIRROR_SETTING}={value} is not a folder; name one in the hub's layout or unset it")
    return mirror


def mirror_only() -> bool:
    """Whether the hub is never asked."""
    return os.environ.get(MIRROR_ONLY_SETTING) == "1"


def _folder(hub: Hub) -> Path | None:
    """The local folder that stands for the repository; None where it has to be downloaded."""
    if hub.local:
        folder = Path(hub.repo).expanduser()
        if not folder.is_dir():
            raise NoAccess(f"{hub.repo} is not a folder; correct the path in the study file")
        return folder
    mirror = mirrored(hub)
    if mirror is None and mirror_only():
        raise NoAccess(
            f"{MIRROR_SETTING}={_mirror() or ''} holds no {hub.repo}; put the repository there, or unset "
            f"{MIRROR_ONLY_SETTING}"
        )
    return mirror


def _fetched_rows(hub: Hub) -> Iterator[dict[str, Any]]:
    """Rows of a configuration and split from files that are fetched first: a cut connection resumes."""
    from datasets import load_dataset_builder
    from datasets.data_files import DataFilesDict, DataFilesList

    revision, split = pinned(hub), hub.split or "train"
    try:
        builder = ask(hub, lambda: load_dataset_builder(hub.repo, name=hub.config, revision=revision))
    except (ValueError, FileNotFoundError) as error:
        # datasets says of a repository that is gated, private or gone only that it finds none.
        check_access(hub)
        raise StepError(f"{hub.repo} ({hub.config or 'default'}): {first_line(error)}") from error
    by_split = builder.config.data_files or {}
    if split not in by_split:
        raise StepError(f"{hub.repo} ({hub.config or 'default'}): no split {split!r}; {nearest(split, by_split)}")
    remote = f"hf://datasets/{hub.repo}@{revision}/"
    names = [str(file).removeprefix(remote) for file in by_split[split]]
    folder = fetch(hub, [glob.escape(name) for name in names])
    files = DataFilesList([str(folder / name) for name in names], [(str(folder),)])
    builder.config.data_files = DataFilesDict({split: files})
    yield from _rows(lambda: builder.as_streaming_dataset(split=split), hub.repo)


def _load(hub: Hub, path: str) -> Iterator[dict[str, Any]]:
    """Rows of a local folder."""
    from datasets import load_dataset

    split = hub.split or "train"
    try:
        rows = load_dataset(path, name=hub.config, split=split, streaming=True)
    except (ValueError, FileNotFoundError) as error:
        bare = Path(path) / hub.config if hub.config else None
        if bare is None or not bare.is_dir():
            raise StepError(f"{hub.repo} ({hub.config or 'default'}, {split}): {first_line(error)}") from error
        # A mirror without the README that names the configurations: read the folder of that name.
        for file in sorted(file for file in bare.rglob("*") if file.suffix in _BUILDERS and split in file.name):
            yield from _file_rows(file)
        return
    yield from _rows(lambda: rows, path)


def _file_rows(path: Path) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    if path.name.endswith((".jsonl", ".jsonl.gz")):
        yield from _json_lines(path)
        return
    builder = _BUILDERS.get(path.suffix)
    if builder is None:
        raise StepError(f"{path}: cannot read {path.suffix!r} files; give one of {', '.join(sorted(_BUILDERS))}")
    yield from _rows(lambda: load_dataset(builder, data_files=str(path), split="train", streaming=True), str(path))


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Line by line: a reader of whole files would guess one type for a column, and turn a gold of "0.10" into 0.1."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        number = -1
        try:
            for line in file:
                number += 1
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError(f"a {type(row).__name__} where an object is needed")
                    yield row
        except (ValueError, RecursionError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            # Data that cannot be decompressed never became a line.
            number += not isinstance(error, ValueError | RecursionError)
            raise StepError(f"{path}, row {number}: {first_line(error)}; correct that line") from error


def _rows(opened: Callable[[], Any], path: str) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    count = 0
    try:
        for row in opened():
            count += 1
            yield row
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StepError(f"{path}: unreadable after row {count}: {first_line(error)}; fetch it again") from error
