"""`rsft lock` and what uses it: the revisions of hub repositories, resolved, written down, looked at."""

import dataclasses
import json
from collections.abc import Collection
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rsft_assets.specs.errors import NoAccess, StepError, Unavailable
from rsft_assets.specs.lock import LockedRepository, lock_path
from rsft_assets.specs.repositories import Repository, repositories
from rsft_assets.specs.study import Study, load_declared_study, load_study
from rsft_assets.steps.questions.planning.blocked import lock_command, not_locked, to_lock
from rsft_assets.steps.questions.planning.closure import closure
from rsft_assets.steps.questions.planning.plan import Plan, make_plan
from rsft_assets.steps.questions.planning.selection import Selection, cells
from rsft_assets.steps.records.hub import MIRROR_ONLY_SETTING, mirror_only, mirrored
from rsft_assets.steps.records.hub_client import check_access, information
from rsft_assets.steps.records.lock_file import is_content, lock, unlocked, upgradable
from rsft_assets.steps.records.store import Store


def run_lock(selection: Selection, *, upgrade: Collection[str] = (), check: bool = False, as_json: bool = False) -> int:
    """Lock what a selection is made from; the exit status."""
    console = Console(stderr=True, highlight=False, markup=False)
    read = _read_by(load_study(), selection)
    newer = upgradable(_read_by(load_declared_study(), selection), upgrade) if upgrade else []
    asked = list({one.key: one for one in [*unlocked(read), *newer]}.values())
    if not all(mirrored(one.hubs[0]) for one in asked):
        _refuse_without_hub()
    if check:
        for one in asked:
            console.print(f"not locked: {one.kind} {one.name}", soft_wrap=True)
        if asked:
            console.print(f"{len(asked)} of {len(read)} repositories are not locked; run: {lock_command(selection)}")
        return 1 if asked else 0
    written: list[LockedRepository] = []

    def say(locked: LockedRepository) -> None:
        written.append(locked)
        console.print(_locked_words(locked), soft_wrap=True)

    problems = lock(asked, say, upgrade=upgrade)
    for problem in problems.values():
        console.print(f"failed {problem}", soft_wrap=True)
    console.print(f"{lock_path()}: {len(written)} written, {len(read) - len(asked)} locked before")
    if as_json:
        print(json.dumps({"locked": [dataclasses.asdict(one) for one in written], "problems": problems}))
    return 1 if problems else 0


def _refuse_without_hub() -> None:
    if mirror_only():
        raise StepError(f"{MIRROR_ONLY_SETTING}=1: the hub is not asked; unset it")


def _read_by(study: Study, selection: Selection) -> list[Repository]:
    return repositories(study, closure(study, cells(study, selection)))


def _locked_words(locked: LockedRepository) -> str:
    commit = f", commit {locked.commit} of the hub" if locked.commit else ""
    gated = ", gated" if locked.gated else ""
    return f"locked {locked.kind} {locked.name} at {locked.revision}{commit}{gated}"


def resolved_plan(console: Console, store: Store, selection: Selection, *, frozen: bool) -> Plan:
    """The plan of a selection once every repository that it reads is locked; `frozen` refuses to lock any."""
    plan = make_plan(load_study(), store, selection)
    left = to_lock(plan.states.study, plan.states.to_make(plan.refs))
    if not left:
        return plan
    if frozen:
        raise StepError(f"frozen: {not_locked(left, selection)}")
    many = f"{len(left)} repositories are" if len(left) > 1 else "1 repository is"
    console.print(f"{many} not locked yet; writing {lock_path()}", soft_wrap=True)
    problems = lock(left, lambda locked: console.print(_locked_words(locked), soft_wrap=True))
    # What has a revision can be read without the hashes, and a benchmark that cannot be had is a state of its own.
    unknown = [one for one in left if one.name in problems and (one.unpinned or is_content(one))]
    needed = [one for one in unknown if any(not asset.startswith("benchmarks/") for asset in one.assets)]
    if needed:
        raise StepError("\n".join(problems[one.name] for one in needed))
    for problem in problems.values():
        console.print(f"note   {problem}", soft_wrap=True)
    return make_plan(load_study(), store, selection)


def run_hub(selection: Selection, *, as_json: bool = False) -> int:
    """Ask the hub about each repository and print a table; 1 where one cannot be read."""
    _refuse_without_hub()
    rows: list[dict[str, Any]] = []
    silent = False
    for one in _read_by(load_study(), selection):
        row: dict[str, Any] = {"repository": one.name, "kind": one.kind, "revision": one.revision}
        row |= {"bytes": None, "date": None}
        try:
            if silent:
                raise StepError(f"{one.name}: not asked, since the hub did not answer")
            about = information(one.hubs[0])
            row["bytes"] = sum(file.size or 0 for file in about.siblings or ())
            row["date"] = about.last_modified.date().isoformat() if about.last_modified else None
            check_access(one.hubs[0])
            rows.append({**row, "access": "yes"})
        except StepError as error:
            rows.append({**row, "access": str(error)})
            silent = silent or (isinstance(error, Unavailable) and not isinstance(error, NoAccess))
    refused = [row for row in rows if row["access"] != "yes"]
    if as_json:
        print(json.dumps(rows))
    else:
        console = Console(highlight=False, markup=False)
        console.print(_table(rows))
        for row in refused:
            console.print(f"no access: {row['access']}", soft_wrap=True)
    return 1 if refused else 0


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("repository", overflow="fold")
    for heading in ("revision", "date", "size", "access"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "size" else "left")
    for row in rows:
        size = f"{row['bytes'] / 1e6:,.1f} MB" if row["bytes"] is not None else "–"
        access = "yes" if row["access"] == "yes" else "no"
        table.add_row(row["repository"], (row["revision"] or "none")[:12], row["date"] or "–", size, access)
    return table
