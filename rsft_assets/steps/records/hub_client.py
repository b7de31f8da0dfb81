"""Asking the hub through huggingface_hub: files of a revision, the commit of a branch, access.

    folder = fetch(hub, ["README.md", "data/*"])       # checked against the lock file
    locked = resolve("dataset", "open-r1/OpenR1-Math-220k")

The client resumes, caches and fetches files in parallel. What it raises becomes `NoAccess`, `Unavailable` or a
`StepError`, each with its remedy; what may pass is tried again after the time that the server asks for.
"""

import datetime
import errno
import fnmatch
import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rsft_assets.specs.errors import NoAccess, StepError, Unavailable
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lock import LockedFile, LockedRepository, commit_of, locked_files
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.digest import bytes_digest

log = logging.getLogger(__name__)
_TRIES = 4
_WAIT_SECONDS = 1.0
_LONGEST_WAIT = 300.0
_MB = 1_000_000
Answer = TypeVar("Answer")


def page(hub: Hub) -> str:
    """The address of a repository for people."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if hub.kind == 'dataset' else ''}{hub.repo}"


def pinned(hub: Hub) -> str:
    """The commit that is read."""
    if (commit := commit_of(hub)) is None:
        raise Unavailable(
            f"{hub.repo}: no revision is known; run `rsft lock` with what you make, name one under [pins] in the study "
            "file (RSFT_STUDY), or set RSFT_MIRROR to a folder that holds the repository"
        )
    return commit


def fetch(hub: Hub, patterns: Sequence[str]) -> Path:
    """A folder with the files of the known revision that match."""
    from huggingface_hub import snapshot_download

    revision = pinned(hub)
    files = _locked(hub, patterns)
    _check_disk(hub, files)
    bar = _bar(Progress(f"fetching {hub.repo}", sum(file.size for file in files) // _MB, "MB"))

    def download() -> str:
        return snapshot_download(
            hub.repo, repo_type=hub.kind, revision=revision, allow_patterns=list(patterns), tqdm_class=bar
        )

    folder = Path(ask(hub, download, resumes=True))
    check_files(hub, folder, patterns, fetched=True)
    return folder


def check_files(hub: Hub, folder: Path, patterns: Sequence[str], *, fetched: bool = False) -> None:
    """Refuse files that are not what was locked; one that was `fetched` is removed."""
    from huggingface_hub import constants

    for file in _locked(hub, patterns):
        path = folder / file.name
        if not path.is_file():
            continue
        actual, locked = (bytes_digest(path), file.sha256) if file.sha256 else (git_hash(path), file.git)
        if locked and actual != locked:
            if fetched:
                _remove(path, Path(constants.HF_HUB_CACHE))
            raise StepError(
                f"{path}: its hash is {actual}, but {locked} is locked for {hub.repo}@{hub.revision}; "
                + ("it has been removed, so try again" if fetched else "replace it")
                + f", or accept another revision: rsft lock --upgrade {hub.repo}"
            )


def _remove(path: Path, cache: Path) -> None:
    """Remove a fetched file and what it links to, both only inside the cache."""
    blob = path.resolve()
    if blob.is_relative_to(cache.resolve()):
        blob.unlink()
        path.unlink(missing_ok=True)


def _locked(hub: Hub, patterns: Sequence[str]) -> list[LockedFile]:
    return [f for f in locked_files(hub).values() if any(fnmatch.fnmatchcase(f.name, one) for one in patterns)]


def git_hash(path: Path) -> str:
    """Git's hash of a file."""
    seen = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(_MB):
            seen.update(chunk)
    return seen.hexdigest()


def _check_disk(hub: Hub, files: Sequence[LockedFile]) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    wanted = {file.sha256 or file.git for file in files}
    there = sum(path.stat().st_size for path in _blobs(cache, hub) if path.name in wanted)
    size, free = sum(file.size for file in files), shutil.disk_usage(cache).free
    if size - there > free:
        raise StepError(
            f"{hub.repo}: {(size - there) / 1e9:.1f} GB to fetch, but {cache} has {free / 1e9:.1f} GB free; "
            "make room, or set HF_HOME to another disk"
        )


def _blobs(cache: Path, hub: Hub) -> Iterator[Path]:
    from huggingface_hub.file_download import repo_folder_name

    yield from (cache / repo_folder_name(repo_id=hub.repo, repo_type=hub.kind) / "blobs").glob("*")


def _bar(progress: Progress) -> Any:
    """A class of bars for huggingface_hub that shows nothing and tells our progress of the bytes."""
    from huggingface_hub.utils.tqdm import tqdm

    lock, seen = threading.Lock(), [0]

    class Bar(tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:
            # Of the two bars in bytes, this one counts what is on disk already, too.
            self.counts = str(settings.get("desc", "")).startswith("Reconstruct")
            super().__init__(*args, **{**settings, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            if self.counts:
                with lock:
                    before, seen[0] = seen[0], seen[0] + int(n or 0)
                    if whole := seen[0] // _MB - before // _MB:
                        progress.step(whole)

    return Bar


def resolve(kind: str, name: str, revision: str | None = None) -> LockedRepository:
    """A repository at a revision, by default the newest, as the lock file has it."""
    hub = Hub(repo=name, kind=kind, revision=revision)  # type: ignore[arg-type]
    info = information(hub)
    card = getattr(info, "card_data", None)
    licence = card.get("license") if card else None
    return LockedRepository(
        kind=hub.kind,
        name=name,
        revision=info.sha,
        resolved=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        gated=bool(info.gated),
        licence=licence if isinstance(licence, str) else None,
        files=tuple(_locked_file(file) for file in info.siblings or () if not file.rfilename.startswith(".")),
    )


def information(hub: Hub) -> Any:
    """What the hub says of a repository at its revision, by default the newest."""
    from huggingface_hub import HfApi

    commit = commit_of(hub)
    return ask(hub, lambda: HfApi().repo_info(hub.repo, repo_type=hub.kind, revision=commit, files_metadata=True))


def _locked_file(file: Any) -> LockedFile:
    sha256 = file.lfs.sha256 if file.lfs else None
    return LockedFile(name=file.rfilename, size=file.size or 0, sha256=sha256, git=None if sha256 else file.blob_id)


def check_access(hub: Hub) -> None:
    """Raise `NoAccess` where its files may not be read."""
    from huggingface_hub import HfApi

    ask(hub, lambda: HfApi().auth_check(hub.repo, repo_type=hub.kind))


def ask(hub: Hub, call: Callable[[], Answer], *, resumes: bool = False) -> Answer:
    """What a call of the client answers; the last try's error in words. `resumes`: it tries again itself, too."""
    tries = 2 if resumes else _TRIES
    for attempt in range(tries):
        try:
            return call()
        except (OSError, ValueError, _connection_error()) as error:
            cause = _cause(error)
            wait = _wait(cause, attempt) if _status(cause) or not resumes else None
            if wait is None or attempt == tries - 1:
                raise _in_words(hub, error) from error
            log.warning("%s: %s; trying again in %.0f s", hub.repo, first_line(cause), wait)
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _connection_error() -> Any:
    """The base of what the client's own HTTP library raises."""
    from huggingface_hub import errors

    return vars(errors)["HTTPError"]


def _cause(error: BaseException) -> BaseException:
    """What the server or the connection did, below the client's own words for it."""
    from huggingface_hub import errors

    known = (errors.HfHubHTTPError, errors.FileMetadataError, _connection_error())
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, known):
            return cause
        # datasets raises its own errors `from None`.
        cause = cause.__cause__ or cause.__context__
    return error


def _status(error: BaseException) -> int:
    return getattr(getattr(error, "response", None), "status_code", 0)


def _wait(error: BaseException, attempt: int) -> float | None:
    """Seconds until another try, None where that is of no use."""
    status, usual = _status(error), _WAIT_SECONDS * 2**attempt
    if status == 429 or status >= 500:
        asked = str(error.response.headers.get("Retry-After", ""))  # type: ignore[attr-defined]
        return min(float(asked), _LONGEST_WAIT) if asked.isdigit() else usual
    return usual if isinstance(error, _connection_error()) and not status else None


def _in_words(hub: Hub, error: Exception) -> Exception:
    """The error to raise in place of the client's."""
    from huggingface_hub import errors

    cause, place = _cause(error), f"{hub.repo}@{hub.revision or 'main'}"
    status, message = _status(cause), first_line(cause)
    token = "the token in HF_TOKEN has none" if has_token() else "no token is set (HF_TOKEN)"
    if isinstance(error, errors.HFValidationError):
        return StepError(f"{hub.repo!r} is not the name of a repository, owner/name; correct it in the study file")
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return cause
    if isinstance(cause, errors.GatedRepoError) or status == 403:
        return NoAccess(f"{place}: access has to be granted and {token}; ask for it at {page(hub)}")
    if isinstance(cause, errors.RepositoryNotFoundError) or status == 401:
        return NoAccess(f"{place}: no such repository, or a private one and {token}; see {page(hub)}")
    if isinstance(cause, errors.RevisionNotFoundError):
        return StepError(f"{place}: the repository has no such revision; correct it, or rsft lock --upgrade {hub.repo}")
    if isinstance(cause, errors.RemoteEntryNotFoundError):
        return NoAccess(f"{place}: {message}; the repository has no such file")
    if status == 429:
        return Unavailable(f"{place}: too many requests (429); try again later, or set HF_TOKEN for a higher limit")
    if status >= 500:
        return Unavailable(f"{place}: the hub fails ({status}); try again later, or set RSFT_MIRROR")
    if status >= 400:
        return Unavailable(f"{place}: the hub refuses the request: {message}; check HF_ENDPOINT, and see {page(hub)}")
    if isinstance(cause, (errors.FileMetadataError, json.JSONDecodeError)):
        return Unavailable(f"{place}: the answer is not a hub's: {message}; check proxy, firewall and HF_ENDPOINT")
    if isinstance(cause, (_connection_error(), errors.LocalEntryNotFoundError, ConnectionError)):
        return Unavailable(f"{place}: the hub cannot be reached: {message}; check the network, or set RSFT_MIRROR")
    return error


def has_token() -> bool:
    """Whether a token of the hub is set."""
    from huggingface_hub import get_token

    return bool(os.environ.get("HF_TOKEN") or get_token())


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
