"""The `rsft` command: what Dagster lacks. Each command is one call into a module beside it or a step.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped.
"""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from rsft_assets.commands.selecting import assets, partitions, selecting
from rsft_assets.specs.errors import SpecError, StepError, lost_home
from rsft_assets.specs.lock import FROZEN_SETTING

FAILED, WRONG_USAGE, STOPPED = 1, 2, 130
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_COMPLETION = 'Completion, here of bash: eval "$(_RSFT_COMPLETE=bash_source rsft)"'
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group(context_settings=_CONTEXT, epilog=_COMPLETION)
@click.version_option(package_name="rsft_assets", prog_name="rsft")
def rsft() -> None:
    """Reasoning fine-tuning experiments as data assets. Outputs live under RSFT_HOME (default .rsft)."""


@rsft.command()
@click.option("--full", is_flag=True, help="The whole nano study: every base, set, schedule and seed; 75 minutes.")
@click.option("--from-scratch", is_flag=True, help="Pretrain the base models, too, which otherwise come with rsft.")
@_json
def demo(full: bool, from_scratch: bool, as_json: bool) -> None:
    """Run a small study end to end, on a CPU.

    It makes the smallest part of the nano study: queries, training, scores, tables, figures.
    """
    from rsft_assets.commands.demo import run_demo

    sys.exit(run_demo(full=full, from_scratch=from_scratch, as_json=as_json))


@rsft.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True)
def dev(host: str, port: int) -> None:
    """Serve Dagster's UI on this study.

    Its database is kept under RSFT_HOME.
    """
    from rsft_assets.commands.webserver import run_webserver

    run_webserver(host, port)


@rsft.command()
@selecting("Make", required=True)
@click.option("--force", is_flag=True, help="Make it again even if it is finished.")
@click.option("--frozen", is_flag=True, envvar=FROZEN_SETTING, help="Refuse repositories that are not locked.")
@_json
def materialize(frozen: bool, as_json: bool, **asked: Any) -> None:
    """Make what SELECTION names and is not done.

    SELECTION is one or more asset keys or globs, such as 'scores/nano-300k/*' or checkpoints/qwen3-14b. Repositories
    that are not locked are resolved and written to the lock file first.
    """
    from rsft_assets.commands.terminal import materialize_in_terminal
    from rsft_assets.steps.questions.planning.selection import Selection

    sys.exit(materialize_in_terminal(Selection(**asked), frozen=frozen, as_json=as_json))


@rsft.command()
@selecting("Always on: lock")
@click.option("--upgrade", multiple=True, metavar="REPO", help="Take the newest revision of REPO; may be repeated.")
@click.option("--check", is_flag=True, help="Ask and write nothing; exit status 1 where something is not locked.")
@_json
def lock(upgrade: tuple[str, ...], check: bool, as_json: bool, **asked: Any) -> None:
    """Lock the hub repositories that SELECTION is made from.

    The revision and the hashes of the files of each are written to the lock file. Without SELECTION, of every
    repository of the study. The lock file is rsft.lock beside the study file, else in the
    working directory.
    """
    from rsft_assets.commands.lock import run_lock
    from rsft_assets.steps.questions.planning.selection import Selection

    selection = Selection(**{**asked, "globs": asked["globs"] or ("*",), "upstream": True})
    sys.exit(run_lock(selection, upgrade=upgrade, check=check, as_json=as_json))


@rsft.command()
@selecting("Count")
@click.option("--last", "--actual", "last", is_flag=True, help="Estimated and actual costs of the last plan.")
@_json
def plan(last: bool, as_json: bool, **asked: Any) -> None:
    """Show what would run, and what it costs.

    What `rsft materialize SELECTION` would run: tokens, GPU- or CPU-hours, disk and judge money, from measured rates
    where finished outputs hold some. With --run, --step or --partition, inputs that do not exist yet are taken to
    be there.
    """
    if last == bool(asked["globs"]):
        raise click.UsageError("name a SELECTION, such as 'scores/qwen3-14b/*', or --last, not both")
    from rsft_assets.commands.plan import run_last, run_plan_command
    from rsft_assets.steps.questions.planning.selection import Selection

    if last:
        sys.exit(run_last(as_json=as_json))
    sys.exit(run_plan_command(Selection(**asked), as_json=as_json))


@rsft.command()
@selecting("")
@_json
def status(as_json: bool, **asked: Any) -> None:
    """Show what is done, running, missing, and behind.

    Of the whole study, or of SELECTION. The last lines say what the rest will cost.
    """
    from rsft_assets.commands.status import run_status
    from rsft_assets.steps.questions.planning.selection import Selection

    sys.exit(run_status(Selection(**{**asked, "globs": asked["globs"] or ("*",)}), as_json=as_json))


@rsft.command()
@click.option("--sync", is_flag=True, help="Tell Dagster about outputs whose events it has not seen.")
@click.option("--content", is_flag=True, help="Read every byte of every output.")
@click.option("--disk", is_flag=True, help="List what takes up disk besides current outputs, and what can be deleted.")
@click.option("--delete", is_flag=True, help="With --disk: delete what can be deleted.")
@click.option("--hub", is_flag=True, help="Ask the hub about each repository of SELECTION: revision, size, access.")
@click.argument("globs", metavar="[SELECTION]...", nargs=-1)
@_json
def doctor(sync: bool, content: bool, disk: bool, delete: bool, hub: bool, globs: tuple[str], as_json: bool) -> None:
    """Check this installation and its outputs."""
    if delete and not disk:
        raise click.UsageError("--delete goes with --disk, which says what would be deleted")
    if globs and not hub:
        raise click.UsageError("SELECTION goes with --hub")
    from rsft_assets.commands.doctor import run_disk, run_doctor

    if hub:
        from rsft_assets.commands.lock import run_hub
        from rsft_assets.steps.questions.planning.selection import Selection

        sys.exit(run_hub(Selection(globs or ("*",), upstream=True), as_json=as_json))
    if disk:
        sys.exit(run_disk(delete_safe=delete, as_json=as_json))
    sys.exit(run_doctor(sync_events=sync, content=content, as_json=as_json))


@rsft.command()
@click.argument("what", shell_complete=assets)
@click.argument("partition", default="", shell_complete=partitions)
@click.argument("item", default="")
@click.option("--up", "upwards", is_flag=True, help="What was made from it, instead of what it was made from.")
@click.option("--content", is_flag=True, help="Read every byte of every output on the way.")
@_json
def trace(what: str, partition: str, item: str, upwards: bool, content: bool, as_json: bool) -> None:
    """Follow a result to its origin, or the reverse.

    WHAT is an asset (with its PARTITION), a query, response or item id, a results table or a figure with the
    columns that single out a row ('run=RUN,step=10,benchmark=nano-dot').
    """
    from rsft_assets.specs.study import load_study
    from rsft_assets.steps.questions.trace import trace as follow
    from rsft_assets.steps.questions.tracing.node import as_json as to_json
    from rsft_assets.steps.questions.tracing.node import as_tree
    from rsft_assets.steps.records.store import Store

    node = follow(load_study(), Store.from_env(), what, partition, item, upwards=upwards, content=content)
    click.echo(to_json(node) if as_json else as_tree(node))
    for problem in node.problems:
        click.echo(f"broken: {problem}", err=True)
    sys.exit(FAILED if node.problems else 0)


@rsft.command()
@click.option("--check", is_flag=True, help="Check every figure and report: match, drifted or missing inputs.")
@_json
def report(check: bool, as_json: bool) -> None:
    """Build tables, figures and the HTML report."""
    from rsft_assets.commands.report import run_report

    sys.exit(run_report(check=check, as_json=as_json))


@rsft.command()
@selecting("", required=True)
@click.option("--to", "owner", required=True, metavar="OWNER", help="User or organisation of the hub.")
@click.option("--yes", is_flag=True, help="Send it; without this, only say what would be sent.")
@click.option("--private", is_flag=True, help="Make new repositories private.")
@click.option("--license", "licence", metavar="ID", help="Licence of what is published, for the cards, such as mit.")
@_json
def publish(owner: str, yes: bool, private: bool, licence: str | None, as_json: bool, **asked: Any) -> None:
    """Publish training sets, checkpoints or results.

    They go to a hub, with cards and lineage.

    SELECTION is datasets/…, checkpoints/… or results: one repository for each set, for each run with its steps, and for
    the results, one commit each. Items of gated or sensitive benchmarks, and what is made from gated repositories, are
    never sent. The token is that of HF_TOKEN.
    """
    from rsft_assets.commands.publish import run_publish
    from rsft_assets.steps.questions.planning.selection import Selection

    selection = Selection(**asked)
    sys.exit(run_publish(selection, owner=owner, yes=yes, private=private, licence=licence, as_json=as_json))


@rsft.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(["math", "countdown"]), default="math", show_default=True)
@click.option("--scope", type=click.Choice(["tail", "whole"]), default="tail", show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one per usable core.")
@_json
def verify(source: Path, target: Path, kind: str, scope: str, workers: int | None, as_json: bool) -> None:
    """Judge responses in a file of your own.

    Reads the responses in SOURCE (JSONL or Parquet: gold, response) and writes them, judged, to TARGET. Verdicts:
    correct, wrong, unparseable, undecided. `tail` judges what follows the last </think>.
    """
    from rsft_assets.commands.terminal import counting
    from rsft_assets.steps.verdicts.verify_file import verify_file

    with counting("rows judged") as progress:
        counts = verify_file(source, target, kind=kind, scope=scope, workers=workers, progress=progress)
    if as_json:
        print(json.dumps(counts))
    else:
        click.echo(", ".join(f"{count} {name}" for name, count in counts.items() if "/" not in name))


def main() -> None:
    """Entry point: errors that a person can fix become one message and a status, not a stack trace."""
    _open_standard_streams()
    try:
        rsft.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG_USAGE)
    except SpecError as error:
        click.echo(f"rsft: {error}", err=True)
        sys.exit(WRONG_USAGE)
    except StepError as error:
        click.echo(f"rsft: {error}", err=True)
        sys.exit(FAILED)
    except (NotADirectoryError, PermissionError) as error:
        click.echo(f"rsft: {error.strerror}: {error.filename}; set RSFT_HOME to a folder that can be used", err=True)
        sys.exit(FAILED)
    except OSError as error:
        if error.errno == errno.ENOENT and not _has_working_directory():
            click.echo("rsft: the working directory has been deleted; change to another one", err=True)
            sys.exit(FAILED)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            _tell_lost_home(error)
            raise
        click.echo(f"rsft: {error.strerror}; finished work is kept, free some disk space and run it again", err=True)
        sys.exit(FAILED)
    except (click.Abort, KeyboardInterrupt):
        click.echo("rsft: stopped; finished work is kept, run the same command to resume", err=True)
        sys.exit(STOPPED)
    except Exception as error:
        _tell_lost_home(error)
        raise


def _tell_lost_home(error: Exception) -> None:
    """End with the remedy where the home's file system is gone; Dagster's database is there, too."""
    if message := lost_home(Path(os.environ.get("RSFT_HOME") or ".rsft"), error):
        click.echo(f"rsft: {message}", err=True)
        sys.exit(FAILED)


def _open_standard_streams() -> None:
    """Open streams that the caller closed on /dev/null. Python sets them to None, and the next opened files would get
    their descriptors, to which the processes of a step write messages.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _has_working_directory() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
