"""All reading from a hub, at a pinned revision, or from its offline mirror.

    model_folder(hub)        -> folder with config.json and weights
    dataset_rows(hub)        -> rows as dictionaries, streamed

A repository written as a path (`/…`, `./…`, `~/…`) is a folder of one's own. With RSFT_MIRROR set, nothing
is downloaded: `<mirror>/<owner>/<name>/` must hold the repository in the hub's own layout. Without it, a
revision must be pinned. What may not be read, or is not there, raises `NoAccess`: for a benchmark that is
a state, for everything else an error.
"""

import gzip
import json
import logging
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import NoAccess, StepError, nearest
from rsft_assets.specs.hub import Hub
from rsft_assets.steps.records.digest import bytes_digest

log = logging.getLogger(__name__)
MIRROR_SETTING = "RSFT_MIRROR"
_BUILDERS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".gz": "json", ".csv": "csv", ".tsv": "csv"}


def where_from(hub: Hub) -> str:
    """Words for manifests and messages: repository, revision, and whether a mirror served it."""
    if _local(hub):
        return hub.repo
    place = f"{hub.repo}@{hub.revision or 'unpinned'}"
    return f"{place} (mirror)" if _mirror() else place


def model_folder(hub: Hub) -> Path:
    """A local folder with a model's files; `hub.file` names a subfolder of the repository."""
    if (folder := _folder(hub)) is None:
        from huggingface_hub import snapshot_download

        patterns = [f"{hub.file}/*"] if hub.file else None
        folder = Path(
            _download(hub, lambda: snapshot_download(hub.repo, revision=_pinned(hub), allow_patterns=patterns))
        )
    folder = folder / hub.file if hub.file else folder
    if not (folder / "config.json").is_file():
        raise NoAccess(f"{folder}: no config.json, so this is not a model of {hub.repo}; complete the folder")
    return folder


def dataset_rows(hub: Hub, files: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows of a data set in its own order; `files` (or `hub.file`) reads those files of the repository only."""
    for number, published in enumerate(_rows_as_published(hub, files)):
        row = dict(published)
        for ours, theirs in hub.columns:
            # JSON rows may omit empty columns. A column missing from the first row is taken for a typo.
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
        yield from _load(hub, str(folder))
    else:
        yield from _load(hub, hub.repo, revision=_pinned(hub))


def repository_file(hub: Hub, name: str) -> Path:
    """A local copy of one file of the repository, its content checked where a hash is known."""
    if (folder := _folder(hub)) is not None:
        path = folder / name
        if not path.is_file():
            raise NoAccess(
                f"{path} is not there; put {name} of {hub.repo} there, or unset {MIRROR_SETTING} if it is set"
            )
    else:
        from huggingface_hub import hf_hub_download

        kind, revision = hub.kind, _pinned(hub)
        path = Path(_download(hub, lambda: hf_hub_download(hub.repo, name, repo_type=kind, revision=revision)))
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


def _local(hub: Hub) -> bool:
    return hub.repo.startswith(("/", "./", "../", "~/"))


def _folder(hub: Hub) -> Path | None:
    """The local folder that stands for the repository; None where it has to be downloaded."""
    if _local(hub):
        folder = Path(hub.repo).expanduser()
        if not folder.is_dir():
            raise NoAccess(f"{hub.repo} is not a folder; correct the path in the study file")
        return folder
    mirror = _mirror()
    if mirror is None:
        return None
    folder = mirror / hub.repo
    if not folder.is_dir():
        raise NoAccess(f"{MIRROR_SETTING}={mirror} holds no {hub.repo}; put the repository there or unset it")
    return folder


def _pinned(hub: Hub) -> str:
    if hub.revision is None:
        raise StepError(
            f"{hub.repo}: no revision is pinned; pin one in a study file (RSFT_STUDY) "
            f"or set {MIRROR_SETTING} to a folder that holds it"
        )
    return hub.revision


def _download(hub: Hub, fetch: Any) -> str:
    """Run a download of huggingface_hub; what it raises becomes `NoAccess` or a `StepError` with a remedy."""
    import httpx2
    from huggingface_hub import errors

    try:
        return str(fetch())
    except errors.LocalEntryNotFoundError as error:
        raise StepError(
            f"{hub.repo}@{hub.revision}: the hub cannot be reached and there is no copy here; "
            f"check the network, or set {MIRROR_SETTING} to a folder that holds it"
        ) from error
    except (errors.RepositoryNotFoundError, errors.EntryNotFoundError) as error:
        raise NoAccess(f"{hub.repo}@{hub.revision}: {_first_line(error)}; ask for access and set HF_TOKEN") from error
    except (errors.HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise StepError(
            f"{hub.repo}@{hub.revision}: {_first_line(error)}; try again or set {MIRROR_SETTING}"
        ) from error


def _load(hub: Hub, path: str, revision: str | None = None) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    split = hub.split or "train"
    try:
        rows = load_dataset(path, name=hub.config, split=split, revision=revision, streaming=True)
    except DatasetNotFoundError as error:
        raise NoAccess(f"{hub.repo}: {_first_line(error)}; ask for access and set HF_TOKEN, or mirror it") from error
    except (ValueError, FileNotFoundError) as error:
        bare = Path(path) / hub.config if hub.config else None
        if bare is None or not bare.is_dir():
            raise StepError(f"{hub.repo} ({hub.config or 'default'}, {split}): {_first_line(error)}") from error
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
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            # Data that cannot be decompressed never became a line.
            number += not isinstance(error, ValueError)
            raise StepError(f"{path}, row {number}: {_first_line(error)}; correct that line") from error


def _rows(opened: Callable[[], Any], path: str) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    count = 0
    try:
        for row in opened():
            count += 1
            yield row
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StepError(f"{path}: unreadable after row {count}: {_first_line(error)}; fetch it again") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
