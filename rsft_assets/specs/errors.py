"""The exceptions that cross a boundary; each message names the value, the place and the remedy."""

import difflib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

_GONE = (errno.ENOTCONN, errno.ESTALE, errno.EIO)
"""What a file system answers whose server, disk or mounting process is gone."""


class SpecError(ValueError):
    """An invalid declaration: a study file, a name, a selection."""


class StepError(Exception):
    """A step that could not do its work: missing or damaged input, wrong machine, full disk."""


class Unavailable(StepError):
    """Nothing can be read at present: no revision is known, or the hub does not answer."""


class NoAccess(Unavailable):
    """The material is gated or absent: asking for access, or a mirror that holds it, is the remedy."""


def lost_home(home: Path, error: Exception) -> str:
    """Words for a home whose file system has failed; empty where that is not behind an error.

    Libraries report it in errors of their own, so the home is asked, unless the error names a file of it.
    """
    cause = error if isinstance(error, OSError) and _is_of(home, error) else _answer_of(home)
    if cause is None:
        return ""
    return (
        f"{cause.strerror}: {cause.filename or home}; the file system of RSFT_HOME={home} has failed: mount it again, "
        "then run the same command again; finished work is kept"
    )


def _is_of(home: Path, error: OSError) -> bool:
    return error.errno in _GONE and isinstance(error.filename, str) and Path(error.filename).is_relative_to(home)


def _answer_of(home: Path) -> OSError | None:
    try:
        os.statvfs(home)
    except OSError as error:
        return error if error.errno in _GONE else None
    return None


def nearest(value: str, choices: Iterable[str]) -> str:
    """Words for an error message: the closest valid choices, or all of a short list."""
    known = sorted(choices)
    close = difflib.get_close_matches(value, known, n=4, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    shown = ", ".join(known[:12]) + (f", … ({len(known)} in all)" if len(known) > 12 else "")
    return f"valid: {shown}" if known else "none is declared"
