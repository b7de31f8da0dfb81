"""SELECTION and its options on the command line, with their shell completion from the study."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import click

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.lineage import asset_keys, partitions_of
from rsft_assets.specs.study import Study, load_study
from rsft_assets.specs.training import Run

Command = TypeVar("Command", bound=Callable[..., None])


def selecting(verb: str, *, required: bool = False) -> Callable[[Command], Command]:
    """SELECTION and the options that limit or widen it: the fields of a `Selection`; without `verb`, no --upstream."""

    def decorate(command: Command) -> Command:
        if verb:
            command = click.option("--upstream", is_flag=True, help=f"{verb} what it is made from, too.")(command)
        shown = "SELECTION..." if required else "[SELECTION]..."
        many = "may be repeated."
        for parameter in (
            click.option("--partition", "partitions", multiple=True, help=f"Whole partition, RUN|STEP or glob; {many}"),
            click.option("--step", "steps", multiple=True, type=int, help=f"Step; {many}", shell_complete=steps),
            click.option("--run", "runs", multiple=True, help=f"Run, name or glob; {many}", shell_complete=runs),
            click.argument("globs", metavar=shown, nargs=-1, required=required, shell_complete=assets),
        ):
            command = parameter(command)
        return command

    return decorate


def assets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Asset keys, up to the next slash."""
    from rsft_assets.steps.questions.planning.selection import all_keys

    study, depth = _study(), incomplete.count("/") + 1
    parts = [key.split("/") for key in (all_keys(study) if study else ())]
    return _begun({"/".join(key[:depth]) + ("/" if len(key) > depth else "") for key in parts}, incomplete)


def runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Short names of runs, and full ones once one is begun."""
    chosen = _runs(context)
    full = _begun((run.name for run in chosen), incomplete) if incomplete else []
    return [*_begun((run.short_name for run in chosen), incomplete), *full]


def steps(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Steps that a selected run keeps."""
    study = _study()
    kept = {step for run in _runs(context) for step in (study.steps_of(run) if study else ())}
    return [step for step in map(str, sorted(kept)) if step.startswith(incomplete)]


def partitions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Partitions of the asset before it."""
    study, asset = _study(), str(context.params.get("what") or "")
    return _begun(partitions_of(study, asset) if study and asset in asset_keys(study) else (), incomplete)


def _study() -> Study | None:
    try:
        return load_study()
    except SpecError:
        return None  # a completion has no place for a message


def _begun(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _runs(context: click.Context) -> list[Run]:
    """Runs of the models that the keys on the line name, or all.

    Where an option lacks its value, click leaves the keys unparsed.
    """
    study, globs = _study(), [glob.split("/") for glob in context.params.get("globs") or context.args]
    named = {glob[1] for glob in globs if len(glob) > 1}
    known = study.runs.values() if study else ()
    return [run for run in known if run.model in named or not named & set(study.models if study else ())]
