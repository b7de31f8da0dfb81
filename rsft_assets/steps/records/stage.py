"""Running a stage as a program: what the command line asks for, made in the store of the environment.

if __name__ == "__main__":
    run_stage(fetch_queries, __doc__)
"""

import argparse
from collections.abc import Callable
from typing import NoReturn

from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.processes.program import requested, run_step, step_parser
from rsft_assets.steps.records.store import Store


def parser_of_all(description: str | None, assets: str, force: str, *spellings: str) -> argparse.ArgumentParser:
    """The arguments of a stage that makes all it has at once; `assets` and `force` are the help of these two."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", nargs="*", help=assets)
    parser.add_argument(*spellings, "--force", dest="force", action="store_true", help=force)
    return parser


def run_stage(make: Callable[..., object], description: str | None) -> NoReturn:
    """Make one output after the other with `make(study, store, ref, force=...)`."""

    def each(study: Study, store: Store, refs: list[Ref], *, force: bool) -> None:
        for ref in refs:
            make(study, store, ref, force=force)

    run_stage_at_once(each, description)


def run_stage_at_once(make: Callable[..., object], description: str | None) -> NoReturn:
    """Make them together with `make(study, store, refs, force=...)`, where they share an engine or processes."""

    def main(arguments: argparse.Namespace) -> None:
        study = load_study()
        make(study, Store.from_env(), requested(study, arguments), force=arguments.force)

    run_step(main, step_parser(description))
