"""Sending a publication: one commit for each repository, nothing where the repository holds the same already."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.steps.publish.publication import DESCRIBING, LINEAGE, Publication
from rsft_assets.steps.records.digest import bytes_digest
from rsft_assets.steps.records.hub_client import first_line, page

TOKEN_SETTING = "HF_TOKEN"
_OF_THE_HUB = ".gitattributes"
_SHOWN = 3


def writing_token(owner: str) -> str:
    """The token of the environment; a `StepError` where there is none, or its user is not of `owner`."""
    token = os.environ.get(TOKEN_SETTING)
    if not token:
        raise StepError(f"{TOKEN_SETTING} is not set; make a token that may write, and set it: {_tokens_page()}")
    with _in_words(owner):
        who = _api(token).whoami()
    names = [who["name"], *(organisation["name"] for organisation in who.get("orgs", ()))]
    if owner not in names:
        raise StepError(f"--to {owner}: {TOKEN_SETTING} is of {who['name']}, who can write to {', '.join(names)}")
    return token


def send(publication: Publication, token: str, *, private: bool = False) -> str | None:
    """Commit what differs to the repository, made if need be; the address of the commit, None where nothing differs."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api = _api(token)
    with _in_words(publication.repo):
        head, there = _there(api, publication)
        changed = [name for name in sorted(publication.files) if not _equal(publication.files[name], there.get(name))]
        stale = sorted(there.keys() - publication.files.keys())
        _refuse_other_content(publication, there, changed, stale)
        if not changed and not stale:
            return None
        if head is None:
            api.create_repo(publication.repo, repo_type=publication.kind, private=private or None, exist_ok=True)
        additions = [CommitOperationAdd(name, _content(publication.files[name])) for name in changed]
        with warnings.catch_warnings():
            # Curves of a run are Parquet in a model repository.
            warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
            done: Any = api.create_commit(
                publication.repo,
                [*additions, *map(CommitOperationDelete, stale)],
                repo_type=publication.kind,
                commit_message=f"Publish {publication.what}",
                parent_commit=head,
            )
        return str(done.commit_url)


def _api(token: str) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=token)


def _there(api: Any, publication: Publication) -> tuple[str | None, dict[str, Any]]:
    """(commit, file -> what the hub says of it); (None, {}) where there is no such repository."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.repo_info(publication.repo, repo_type=publication.kind, files_metadata=True)
    except RepositoryNotFoundError:
        return None, {}
    return info.sha, {file.rfilename: file for file in info.siblings or () if file.rfilename != _OF_THE_HUB}


def _content(content: Path | bytes) -> str | bytes:
    return content if isinstance(content, bytes) else str(content)


def _equal(content: Path | bytes, there: Any) -> bool:
    if there is None:
        return False
    if there.lfs:
        sha256 = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else bytes_digest(content)
        return bool(there.lfs.sha256 == sha256)
    data = content if isinstance(content, bytes) else content.read_bytes()
    return bool(there.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())


def _refuse_other_content(
    publication: Publication, there: dict[str, Any], changed: list[str], stale: list[str]
) -> None:
    """What others can have pinned is added to, and never replaced."""
    if not there:
        return
    if LINEAGE not in there:
        other = sorted(there)
    elif publication.grows:
        return
    else:
        other = [*stale, *(name for name in changed if name in there and not name.startswith(DESCRIBING))]
    if other:
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        raise StepError(
            f"{publication.repo} holds other content: {', '.join(other[:_SHOWN])}{more}; nothing was sent. Select "
            "these steps, too, if they are of this run; else publish to another owner, or delete the repository: "
            + page(Hub(repo=publication.repo, kind=publication.kind))
        )


def _tokens_page() -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/settings/tokens"


@contextmanager
def _in_words(place: str) -> Iterator[None]:
    """What the client raises, as a `StepError` with its remedy; no file is in the repository before the commit."""
    from huggingface_hub import errors

    connection: Any = vars(errors)["HTTPError"]
    try:
        yield
    except (OSError, ValueError, RuntimeError, connection) as error:
        raise StepError(f"{place}: nothing was published: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "response", None) is None:
        cause = cause.__cause__ or cause.__context__
    status = getattr(getattr(cause, "response", None), "status_code", 0)
    reasons: dict[int, Callable[[], str]] = {
        401: lambda: f"{TOKEN_SETTING} is not accepted (401); make a new token: {_tokens_page()}",
        403: lambda: f"{TOKEN_SETTING} may not write here (403); give it write access: {_tokens_page()}",
        409: lambda: "the repository has changed meanwhile (409); run it again",
        412: lambda: "the repository has changed meanwhile (412); run it again",
        429: lambda: "too many requests (429); run it again later",
    }
    if status in reasons:
        return reasons[status]()
    if status >= 500:
        return f"the hub fails ({status}); run it again later: what was uploaded is not sent twice"
    return f"{first_line(cause or error)}; check the network and HF_ENDPOINT, and run it again"
