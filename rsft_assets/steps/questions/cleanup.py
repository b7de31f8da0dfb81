"""Finding and deleting what takes up disk unnecessarily: resume states of finished trainings, leftovers of killed
steps, replaced weights that no output was made from.

    for item in survey(study, store): print(item.bytes, item.safe, item.path, item.why)

In: a home. Out: `Item`s, each with its size, whether it may be deleted, and why. Never deleted: current outputs, what
any manifest names, what the study declares, what a process uses.
"""

import contextlib
import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref, checkpoint_ref, parse_ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.records.checked import FILE_NAME as CHECKED
from rsft_assets.steps.records.folders import RESUME, discard
from rsft_assets.steps.records.manifest import FILE_NAME, Manifest, read_json, read_manifest
from rsft_assets.steps.records.pointers import outputs_in_use
from rsft_assets.steps.records.store import Store

log = logging.getLogger(__name__)
_WEIGHTS = ("checkpoints", "base_models")
_PARTS = ("state-*", ".writing-*", "*.writing", "tokens-*", "held-out-*", "start-*")
"""Of a training's folder; its logs stay."""
_LOCK = ".lock"
UNREADABLE = "\0"
"""In the place of a folder: what a manifest that cannot be read would name."""
_TEMPORARY = re.compile(r"\..+\.json\.\d+|\.ray-.+")
"""JSON that has no name yet (`write_json`), and what a launcher writes to see whether Ray's nodes share the home."""
_YOUNG_SECONDS = 600.0


@dataclass(frozen=True)
class Item:
    """Something on disk besides current outputs."""

    path: Path
    bytes: int
    """That deleting it would free: files shared with another folder count nothing."""
    safe: bool
    why: str
    lock: Path
    """Held while it is deleted, by whoever makes such things."""


def survey(study: Study, store: Store) -> list[Item]:
    """All of it, largest first."""
    states = States(study, store)
    items = [*_trainings(states), *_unfinished(store), *_left_by_kills(store), *_superseded(states)]
    return sorted(items, key=lambda item: (-item.bytes, item.path))


def delete(items: Iterable[Item]) -> list[Item]:
    """Delete the safe ones; those that are gone. One that a process has taken up meanwhile is left."""
    gone = []
    for item in items:
        if not item.safe:
            continue
        with _free(item.lock) as free:
            if not free:
                log.warning("%s is in use now; left", item.path)
                continue
            if item.path.parent.name == RESUME and item.path.is_dir():
                discard(item.path)
            elif item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
        gone.append(item)
    return gone


@contextlib.contextmanager
def _free(lock: Path) -> Iterator[bool]:
    """Whether a lock is free; it is held here meanwhile."""
    if not lock.exists():
        yield True
        return
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(facts.st_size for facts in map(os.stat, files) if facts.st_nlink == 1)


def _item(path: Path, lock: Path, safe: bool, why: str) -> Item:
    with _free(lock) as free:
        if not free:
            safe, why = False, "in use by a process"
    return Item(path, _size(path), safe, why, lock)


def _trainings(states: States) -> Iterator[Item]:
    store = states.store
    for folder in sorted([*store.home.glob(f"checkpoints/*/*/{RESUME}"), *store.home.glob(f"base_models/*/{RESUME}")]):
        unfinished = _left_to_train(states, folder)
        # A training holds the lock in its folder, a pretraining that of its output.
        lock = folder / _LOCK if (folder / _LOCK).exists() else folder.parent / _LOCK
        for part in sorted({part for pattern in _PARTS for part in folder.glob(pattern)}):
            aside = part.name.startswith(".writing-") or part.name.endswith(".writing")
            if unfinished and not aside:
                yield _item(part, lock, False, unfinished)
            else:
                yield _item(part, lock, True, "half written by a killed process" if aside else "its training is done")


def _left_to_train(states: States, folder: Path) -> str:
    """Why a training's state is still needed; empty where every kept step is published."""
    study = states.study
    stage, *names = folder.parent.relative_to(states.store.home).parts
    try:
        if stage == "base_models":
            refs = [parse_ref(study, f"base_models/{names[0]}")]
        else:
            run = study.get("runs", names[1])
            refs = [checkpoint_ref(run, step) for step in study.steps_of(run) if step]
    except SpecError:
        return "no study declares this run now; it could still be resumed from this state"
    for ref in refs:
        if not states.kept(ref):
            return f"{ref} is not made yet: training resumes from here"
    return ""


def _unfinished(store: Store) -> Iterator[Item]:
    """Work folders of steps that were killed, or that are at work."""
    for folder in sorted(store.home.rglob(".building-*")):
        identity = folder.name.removeprefix(".building-")
        finished = (folder.parent / identity / FILE_NAME).is_file()
        why = "its output is published" if finished else "unfinished: materialize resumes from here"
        yield _item(folder, folder.parent / _LOCK, finished, why)


def _left_by_kills(store: Store) -> Iterator[Item]:
    """What a kill leaves beside what is published: the hidden files of a work folder, and `_TEMPORARY`."""
    for path in sorted(store.home.rglob(".*")):
        published = (path.parent / FILE_NAME).is_file() and path.name != CHECKED
        if any(part.startswith(".") for part in path.parent.relative_to(store.home).parts):
            continue  # part of a work folder
        if not published and not _TEMPORARY.fullmatch(path.name):
            continue
        # A living process may have renamed it meanwhile.
        with contextlib.suppress(FileNotFoundError):
            young = time.time() - path.stat().st_mtime < _YOUNG_SECONDS
            why = "may be in use: written just now" if young else "left by a process that was killed"
            yield _item(path, (path.parent.parent if published else path.parent) / _LOCK, not young, why)


def _superseded(states: States) -> Iterator[Item]:
    """Weights that were made anew: the older ones go where no manifest names them."""
    store = states.store
    named = _named(store)
    for pointer, current in outputs_in_use(store.home, _WEIGHTS):
        if isinstance(current, str):
            continue  # `rsft doctor` reports damage; what lies next to it is kept
        for folder in sorted(path.parent for path in pointer.parent.glob(f"*/{FILE_NAME}")):
            if folder != current.folder:
                yield _older(states, folder, current.manifest, named)


def _older(states: States, folder: Path, current: Manifest, named: dict[str, set[str]]) -> Item:
    lock = folder.parent / _LOCK
    try:
        manifest = read_manifest(folder)
    except StepError as error:
        return _item(folder, lock, False, str(error))
    if manifest.fingerprint != current.fingerprint and (why := _why_declared(states, folder, manifest)):
        return _item(folder, lock, False, why)
    if UNREADABLE in named:
        return _item(folder, lock, False, f"it may be named here: {min(named[UNREADABLE])}")
    place = folder.relative_to(states.store.home).as_posix()
    by = named.get(place, set()) | (named.get(manifest.digest, set()) if manifest.digest != current.digest else set())
    by = by - {f"{manifest.ref}"}
    if by:
        return _item(folder, lock, False, f"replaced, but {sorted(by)[0]} and {len(by) - 1} more were made from it")
    return _item(folder, lock, True, "replaced since, and no output was made from it")


def _why_declared(states: States, folder: Path, manifest: Manifest) -> str:
    """Why an output that is not the current one may be what the study declares now; empty where it is not."""
    try:
        state = states.of(manifest.ref)
    except SpecError:
        return ""
    if state.kind == "waits":
        return f"whether the study declares it cannot be known: {state.why}"
    if state.output is not None and state.output.folder == folder:
        return "the study declares it now: materialize uses it again"
    return ""


def _named(store: Store) -> dict[str, set[str]]:
    """Every folder and digest that a manifest mentions anywhere, and by whom; what cannot be read may name anything."""
    named: dict[str, set[str]] = {}
    for path in store.home.rglob(FILE_NAME):
        try:
            # Unchecked: outputs that a damaged manifest names are kept, too.
            data = read_json(path, "manifest")
            who = str(Ref(data["asset"], data["partition"]))
        except (StepError, KeyError, TypeError) as error:
            named.setdefault(UNREADABLE, set()).add(str(error))
            continue
        own = {str(data.get("digest")), path.parent.relative_to(store.home).as_posix()}
        for text in _texts(data):
            if text not in own:
                named.setdefault(text, set()).add(who)
    return named


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
