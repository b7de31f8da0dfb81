"""Checks of an installation and its outputs; each finding has its remedy."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rsft_assets.specs.errors import SpecError, StepError, nearest
from rsft_assets.specs.judges import JUDGES_SETTING, judge_specs
from rsft_assets.specs.lineage import Ref, asset_keys, partitions_of
from rsft_assets.specs.lock import LOCK_SETTING, lock_path
from rsft_assets.specs.placement import PLACEMENT_SETTING, Placement, read_placements
from rsft_assets.specs.repositories import repositories
from rsft_assets.specs.study import load_study
from rsft_assets.specs.study_file import STUDY_FILE_SETTING
from rsft_assets.steps.processes.hardware import GIB, Capabilities, gpus
from rsft_assets.steps.processes.torch_device import gpu_problem
from rsft_assets.steps.records.hub import MIRROR_SETTING
from rsft_assets.steps.records.manifest import AGAIN, pointer_beside
from rsft_assets.steps.records.pointers import outputs_in_use
from rsft_assets.steps.records.proof import COMPLETIONS
from rsft_assets.steps.records.store import HOME_SETTING, Output, Store
from rsft_assets.steps.results.behind import behind
from rsft_assets.steps.results.outputs_found import completions_place
from rsft_assets.steps.results.publishing import database_path
from rsft_assets.steps.scores.completions import DAMAGED

_LITTLE_DISK, _NO_DISK = 5 * GIB, GIB // 4
_NOT_NEEDED = "no output in use needs it, so delete it"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    state: Literal["ok", "note", "problem"]
    what: str
    words: str


def examine(
    store: Store, capabilities: Callable[[Placement], Capabilities], *, content: bool = False
) -> Iterator[Finding]:
    """Look at settings, devices, packages and outputs; `content` reads every byte of every output.

    `capabilities` asks the launcher of a placement what its steps can use.
    """
    yield _python()
    yield _home(store)
    yield _settings_file(STUDY_FILE_SETTING, _study)
    placement = _settings_file(PLACEMENT_SETTING, _placement)
    yield placement
    if placement.state == "ok":
        yield from _devices(capabilities)
    if gpus():
        problem = gpu_problem()
        yield Finding("problem" if problem else "ok", "torch", problem or "can use the GPUs")
    yield _settings_file(JUDGES_SETTING, _judges)
    yield _lock()
    yield _mirror()
    yield _engine()
    yield from _outputs(store, content=content)
    yield _tables(store)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("ok" if sys.version_info >= (3, 11) else "problem", "python", f"{version} (3.11 or newer is needed)")


def _home(store: Store) -> Finding:
    try:
        store.check_writable()
    except StepError as error:
        return Finding("problem", HOME_SETTING, str(error))
    free = shutil.disk_usage(store.home).free
    state: Literal["ok", "note", "problem"] = "ok" if free > _LITTLE_DISK else "note" if free > _NO_DISK else "problem"
    return Finding(state, HOME_SETTING, f"{store.home}, {free / GIB:.0f} GiB free")


def _settings_file(setting: str, read: Callable[[], str]) -> Finding:
    """What a TOML file declares, or what is wrong with it."""
    path = os.environ.get(setting)
    try:
        content = read()
    except SpecError as error:
        return Finding("problem", setting, str(error).removeprefix(f"{setting}="))
    return Finding("ok", setting, f"{path}: {content}" if path else f"not set: {content}")


def _devices(capabilities: Callable[[Placement], Capabilities]) -> Iterator[Finding]:
    """The devices that the placement's launchers report."""
    launchers = {placement.launcher: placement for placement in reversed(read_placements().values())}
    for name, placement in launchers.items():
        try:
            there = capabilities(placement)
        except StepError as error:
            yield Finding("problem", f"launcher {name}", str(error))
            continue
        cores = f"{there.cores} core{'s' * (there.cores != 1)}"
        devices = f"{cores}, {there.memory / GIB:.0f} GiB of memory, steps at a time: {there.slots}"
        yield Finding("ok", f"launcher {name}", f"{there.place}: {devices}")
        yield from (Finding("ok", "node", machine) for machine in there.machines)
        if there.gpus:
            yield Finding("ok", "gpu", ", ".join(f"{name} {memory / GIB:.0f} GiB" for name, memory in there.gpus))
        else:
            yield Finding("note", "gpu", "none: the nano study runs here, the paper's models need a GPU node")


def _study() -> str:
    study = load_study()
    return f"{len(study.models)} models, {len(study.runs)} runs, {len(study.benchmarks)} benchmarks"


def _placement() -> str:
    placements, study = read_placements(), load_study()
    known = {"", *study.models, *(pool.teacher.name for pool in study.pools.values())}
    for name in placements.keys() - known:
        where = f"{PLACEMENT_SETTING}={os.environ[PLACEMENT_SETTING]}: models.{name}"
        raise SpecError(f"{where}: unknown model or teacher: {nearest(name, known - {''})}")
    return f"launcher {placements[''].launcher!r}; {len(placements) - 1} models with fields of their own"


def _judges() -> str:
    judges = judge_specs()
    return ", ".join(f"{role} by {judge.model}" for role, judge in judges.items()) or "no judges"


def _lock() -> Finding:
    """How many of the repositories that the study reads have a revision."""
    try:
        study = load_study()
    except SpecError as error:
        return Finding("problem", LOCK_SETTING, str(error))
    cells = (Ref(key, part) for key in asset_keys(study) for part in partitions_of(study, key) or ("",))
    read = repositories(study, cells)
    left = sum(one.unpinned for one in read)
    known = f"{lock_path()}: {len(read) - left} of {len(read)} repositories have a revision"
    if left:
        return Finding("note", LOCK_SETTING, f"{known}; resolve the others: rsft lock")
    return Finding("ok", LOCK_SETTING, known)


def _mirror() -> Finding:
    mirror = os.environ.get(MIRROR_SETTING)
    if not mirror:
        return Finding("ok", MIRROR_SETTING, "not set: models and data come from the hub")
    if not Path(mirror).is_dir():
        return Finding("problem", MIRROR_SETTING, f"{mirror} is not a folder; name one in the hub's layout or unset it")
    return Finding("ok", MIRROR_SETTING, mirror)


def _engine() -> Finding:
    if importlib.util.find_spec("vllm"):
        return Finding("ok", "vllm", "installed")
    package = "rsft_assets[gpu]" if gpus() else "rsft_assets[cpu]"
    return Finding("note", "vllm", f"not installed: text is generated by Transformers; pip install '{package}'")


def _tables(store: Store) -> Finding:
    if not database_path(store).is_file():
        return Finding("ok", "tables", "not built yet: rsft materialize 'results/*'")
    stale = behind(store)
    return Finding("note" if stale else "ok", "tables", stale or "hold every output")


def _outputs(store: Store, *, content: bool) -> Iterator[Finding]:
    """Every output in use, everything that one was made from, and every output beside them."""
    sound, in_use = 0, {}
    for pointer, output in outputs_in_use(store.home):
        if isinstance(output, str):
            yield Finding("problem", str(pointer), output)
        else:
            in_use[output.folder] = output
    folders = {folder: in_use.get(folder) or _read(folder) for folder in [*in_use, *store.folders()]}
    needed = {*in_use, *(store.home / place for output in in_use.values() for place in _made_from(output))}
    for folder, output in folders.items():
        if isinstance(output, str):
            if DAMAGED in folder.name:
                yield Finding("note", str(folder), "was put aside because it is damaged; it may be deleted")
            elif folder in needed or pointer_beside(folder).output == folder.name:
                yield Finding("problem", str(folder), output)
            else:
                yield Finding("note", str(folder), f"{output.removesuffix(AGAIN)}; {_NOT_NEEDED}")
        elif folder not in needed:
            if problem := output.damage(content=content):
                yield Finding("note", str(output.manifest.ref), f"{problem}; {_NOT_NEEDED}")
        elif problem := output.damage(content=content) or (
            # The inputs of an output that is no longer in use may be deleted.
            _broken_link(store, output, folders) if folder in in_use else None
        ):
            yield Finding("problem", str(output.manifest.ref), f"{problem}{AGAIN}")
        else:
            sound += 1
    yield Finding("ok", "outputs", f"{sound} finished and {'intact' if content else 'complete'}")
    if old := sum(folder.name not in pointer_beside(folder).manifests for folder in in_use):
        message = f"{old} have no hash of their manifest in the pointer; it is added when they are next kept or made"
        yield Finding("note", "manifests", message)


def _read(folder: Path) -> Output | str:
    try:
        return Output.at(folder)
    except StepError as error:
        return str(error)


def _made_from(output: Output) -> dict[str, str | None]:
    """Folders that an output was made from, and the digest that each had."""
    links: dict[str, str | None] = {
        link.output: link.digest for link in output.manifest.inputs if link.asset.split("/")[0] != "results"
    }
    if texts := completions_place(output.stats):
        said = output.stats[COMPLETIONS]
        links[texts] = said.get("digest") if isinstance(said, dict) else None
    return links


def _broken_link(store: Store, output: Output, folders: Mapping[Path, Output | str]) -> str | None:
    """The first input of an output that is gone or changed."""
    for place, digest in _made_from(output).items():
        source = folders.get(store.home / place)
        if source is None:
            return f"{store.home / place}, which it was made from, is gone"
        if isinstance(source, Output) and digest not in (None, source.digest):
            return f"{source.folder}, which it was made from, is another version than was used"
    return None
