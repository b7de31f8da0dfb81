"""Running a step as a program: arguments, logging, progress, exit status.

A step does not depend on its launcher. It logs to standard error and reports through `events`.
Exit status: 0 done, 1 failed, 2 wrong usage, 75 (try again) after a signal that asked it to stop.
"""

import argparse
import contextlib
import errno
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from rsft_assets.specs.errors import SpecError, StepError, lost_home
from rsft_assets.specs.lineage import Ref, parse_ref, partitions_of
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.events import send
from rsft_assets.steps.processes.parent_death import PARENT_SETTING, end_spawned_with_this, end_with_parent

TRY_AGAIN = 75
_NO_ROOM_BYTES = 4 << 20
log = logging.getLogger(__name__)


class Stopped(BaseException):
    """A scheduler asked the step to stop; what was finished is kept."""


_asked_to_stop_by: list[str] = []


def _stop(number: int, frame: Any) -> NoReturn:
    # A scheduler may signal the step, and again when the launcher ends; the second signal must not interrupt what the
    # first began.
    signal.signal(number, _ignore)
    name = signal.Signals(number).name
    _asked_to_stop_by.append(name)
    raise Stopped(name)


def _ignore(number: int, frame: Any) -> None:
    """Do nothing. SIG_IGN would be inherited by the processes of this step."""


def run_step(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> NoReturn:
    """The only place where a step's exceptions become an exit status and a readable last line."""
    arguments = parser.parse_args()
    log_to_stderr()
    signal.signal(signal.SIGTERM, _stop)
    launcher = os.environ.get(PARENT_SETTING)
    end_spawned_with_this()
    try:
        if launcher is not None:
            end_with_parent(int(launcher), signal.SIGTERM)
        main(arguments)
        status = 0
    except (Stopped, KeyboardInterrupt) as error:
        status = _stopped(str(error) or "Ctrl-C")
    except Exception as error:
        # Libraries turn a stop into errors of their own.
        status = _stopped(_asked_to_stop_by[0]) if _asked_to_stop_by else _failed(error)
    sys.exit(status)


def _stopped(by: str) -> int:
    return say_failed(f"stopped by {by}; finished work is kept, run it again to resume", TRY_AGAIN)


def _failed(error: Exception) -> int:
    """The exit status of a failure that a person can fix; any other is raised again."""
    if isinstance(error, SpecError):
        return say_failed(str(error), 2)
    if isinstance(error, StepError):
        return say_failed(str(error), 1)
    if message := lost_home(Path(os.environ.get("RSFT_HOME") or ".rsft"), error):
        return say_failed(message, 1)
    if isinstance(error, OSError):
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise error
        place = error.filename or "output"
        return say_failed(f"{error.strerror}: {place}; finished work is kept, free space and run it again", 1)
    # Libraries report a full disk in errors of their own.
    if _free_bytes() > _NO_ROOM_BYTES:
        raise error
    return say_failed(
        f"the disk is full ({type(error).__name__}); finished work is kept, free space and run it again", 1
    )


def log_to_stderr() -> None:
    """How every process of a step logs."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # A line for each request of the hub's client would push the error out of the log's last lines.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _free_bytes() -> int:
    return shutil.disk_usage(os.environ.get("RSFT_HOME") or ".").free


def say_failed(message: str, status: int) -> int:
    """Tell why this step fails; its exit status."""
    # The launcher's file can be in a home that is gone; it then finds that out itself.
    with contextlib.suppress(OSError):
        send({"event": "failed", "message": message})
    log.error("%s", message)
    return status


def step_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every step takes: what to make, which partitions of it, and whether to make it again."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", nargs="+", metavar="ASSET", help="asset key, such as datasets/nano-cot")
    parser.add_argument("--partition", action="append", default=[], metavar="KEY", help="may be repeated")
    parser.add_argument("--force", action="store_true", help="make it again even if it is finished")
    return parser


def requested(study: Study, arguments: argparse.Namespace) -> list[Ref]:
    """Every asset crossed with every partition asked for, checked; a pool without a partition is all its shards."""
    refs = [parse_ref(study, asset, key) for asset in arguments.assets for key in arguments.partition or [""]]
    return [shard for ref in refs for shard in _shards(study, ref)]


def _shards(study: Study, ref: Ref) -> list[Ref]:
    if ref.partition or ref.stage not in ("responses", "verdicts"):
        return [ref]
    return [Ref(ref.asset, key) for key in partitions_of(study, ref.asset)]
