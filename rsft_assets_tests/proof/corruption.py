"""Every kind of file of a finished home, damaged in every way, before every command that could read it.

A damage must be named before the file is used, or mended to the same digest, or change nothing that is used. A stack,
a failure that names no file, and another number with status 0 are lost.
"""

import itertools
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rsft_assets.specs.lineage import TABLE_OF, Ref
from rsft_assets.steps.records.digest import file_digest
from rsft_assets.steps.records.manifest import FILE_NAME, POINTER
from rsft_assets.steps.records.output import Output
from rsft_assets.steps.records.proof import COMPLETIONS
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.outputs_found import completions_place
from rsft_assets_tests.proof import damage
from rsft_assets_tests.proof.cases import Bench, Case, Lost, Seen
from rsft_assets_tests.proof.pipeline import Said, copied, differences, problems, reference, say, tables

PROMISE = "A damaged file is found before it is used, and named"
BY_CHECK = ("figures/", "report/", "results.duckdb")
"""Kinds whose damage `rsft report --check` must find."""


@dataclass(frozen=True)
class Target:
    """A file of a home, the output that it belongs to, if it does, and what stands on that."""

    kind: str
    path: Path
    ref: Ref | None = None
    users: tuple[Ref, ...] = ()

    @property
    def is_view(self) -> bool:
        """Whether nothing has to find its damage. A lock says only words for people; `.checked.json` is believed where
        it agrees with the file system; Dagster's files, logs and plans can be deleted. It must harm nothing.
        """
        return Path(self.kind).name.startswith(".") or self.kind.startswith(("dagster/", "logs/", "plans/"))

    @property
    def is_proved(self) -> bool:
        return self.ref is not None and not self.is_view


def cases(bench: Bench) -> Iterator[Case]:
    """Each kind once with a random damage, then each kind with every other one, in an order of the seed."""
    kinds = targets(reference(bench))
    left = {kind: numbered(bench, kind, kinds) for kind in sorted(kinds)}
    order = sorted(kinds)
    bench.random("order").shuffle(order)
    for round_of_cases in itertools.zip_longest(*(left[kind] for kind in order)):
        yield from (case for case in round_of_cases if case is not None)


def numbered(bench: Bench, kind: str, kinds: dict[str, list[Target]]) -> list[Case]:
    numbers = bench.random(f"kind {kind}")
    first = kinds[kind][0]
    ways = [*damage.OF_BYTES, *(damage.OF_JSON if kind.endswith(".json") else ())]
    if first.is_proved and Path(kind).name not in (FILE_NAME, POINTER):
        ways += [*damage.OF_OUTPUTS, *(damage.OF_INPUTS if first.users and first.ref.stage != COMPLETIONS else ())]
    numbers.shuffle(ways)
    return [
        Case(f"{kind} {way.__name__}", lambda way=way: attack(bench, kind, kinds, way), seconds=400.0) for way in ways
    ]


def targets(home: Path) -> dict[str, list[Target]]:
    """Every file of a home by its kind."""
    store = Store(home)
    outputs = {folder: Output.at(folder) for folder in store.folders()}
    users: dict[str, set[Ref]] = {}
    for output in outputs.values():
        if output.manifest.ref.stage in TABLE_OF:
            for place in (*(one.output for one in output.manifest.inputs), completions_place(output.stats)):
                users.setdefault(place, set()).add(output.manifest.ref)
    folders = {**{folder.parent: folder for folder in outputs}, **{folder: folder for folder in outputs}}
    found: dict[str, list[Target]] = {}
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        folder, relative = folders.get(path.parent), path.relative_to(home)
        output = outputs.get(folder)
        kind = kind_of(relative)
        ref = output.manifest.ref if output else None
        using = users.get(folder.relative_to(home).as_posix(), set()) if folder else set()
        found.setdefault(kind, []).append(Target(kind, relative, ref, tuple(sorted(using))))
    return found


def kind_of(path: Path) -> str:
    """Its stage and name, numbers and hashes left out; of many names of a stage, what they end in."""
    stage, name = path.parts[0], path.name
    if len(path.parts) == 1:
        return name
    if stage in ("figures", "logs", "dagster") and not name.endswith(".json") and not name.startswith("."):
        name = path.suffix or "file"
    return f"{stage}/{re.sub(r'[0-9a-f-]{8,}|[0-9]+', 'N', name)}"


def attack(bench: Bench, kind: str, kinds: dict[str, list[Target]], way: damage.Damage) -> Seen:
    """Damage one file of a kind in a copy of the reference, and let every command meet it."""
    numbers = bench.random(f"{kind} {way.__name__}")
    target = numbers.choice(kinds[kind])
    home = copied(bench, "corrupted")
    path = home / target.path
    others = [one for one in kinds[kind] if one.path != target.path] or kinds[numbers.choice(sorted(kinds))]
    before = content_of(path)
    path.chmod(0o644)
    way(path, numbers, home / numbers.choice(others).path)
    if content_of(path) == before:
        return Seen(f"{target.path}: no change", 0)
    seen = []
    for name, words in commands(target, numbers, forged=way in damage.OF_INPUTS):
        if name == "made again" and words[1] != getattr(target.ref, "asset", None):
            shutil.rmtree(Store(home).slot(Ref(words[1], *words[3:])))
        said = say(bench, home, *words)
        try:
            seen.append(f"{name}: {judged(bench, home, target, name, words, said)}")
        except Lost as lost:
            raise Lost(f"{target.path}: rsft {' '.join(words)}: {lost}") from lost
    return Seen(f"{target.path}: {', '.join(seen)}", len(seen))


def content_of(path: Path) -> str:
    """What digests are made of, rows for Parquet: a changed byte of a page's statistics changes none."""
    if not path.is_file():
        return "no file"
    try:
        return file_digest(path)[0]
    except (OSError, ValueError) as error:
        return f"unreadable: {error}"


def commands(target: Target, numbers: Random, *, forged: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What meets a damaged file: those that only read come first. A forged file shows where it was used before."""
    yield "doctor", ("doctor", "--content")
    ref, users = target.ref, target.users
    traced = numbers.choice(users) if forged else ref
    if traced is not None and traced.stage in TABLE_OF:
        yield "trace", ("trace", traced.asset, *filter(None, [traced.partition]), "--content")
    if forged:
        return
    if ref is not None and ref.stage == "figures":
        yield "trace", ("trace", ref.asset)
    if target.is_view:
        yield "kept", materialize(ref if ref is not None and ref.stage != COMPLETIONS else Ref("queries/small-chains"))
        return
    yield "check", ("report", "--check")
    if ref is None or ref.stage not in ("figures", "report", "audits"):
        yield "results", ("materialize", "results/*")
    made = numbers.choice(users or (ref,))
    if made is not None and made.stage != COMPLETIONS:
        yield "made again", materialize(made)


def materialize(ref: Ref) -> tuple[str, ...]:
    return ("materialize", ref.asset, *(("--partition", ref.partition) if ref.partition else ()))


def judged(bench: Bench, home: Path, target: Target, name: str, words: tuple[str, ...], said: Said) -> str:
    """How a command took it, in a word; `Lost` where that breaks the promise."""
    if said.status not in (0, 1):
        raise Lost(f"a stack, or wrong usage: {said.words[-1_500:]}")
    if said.status == 1:
        if not any(one in said.words for one in names_of(home, target)):
            raise Lost(f"status 1, and it is not named: {said.words[-1_500:]}")
        return "named"
    if target.is_proved and (name in ("doctor", "trace") or (name == "check" and target.kind.startswith(BY_CHECK))):
        raise Lost(f"not found: {said.words[-1_000:]}")
    if name == "made again":
        ref = Ref(words[1], *words[3:])
        found, expected = (Store(place).sound(ref) for place in (home, reference(bench)))
        if found is None or found.digest != expected.digest:
            raise Lost(f"status 0, and {ref} has another digest: {said.words[-1_500:]}")
    if name == "results" and (changed := differences(tables(home), tables(reference(bench)))):
        if not any(one in problems(home) for one in names_of(home, target)):
            raise Lost(f"status 0, it is not named, and tables changed: {changed[:3]}")
        return "named in marts.problems"
    return "unharmed"


def names_of(home: Path, target: Target) -> list[str]:
    """What names a file to a person: its path or folder, or the asset that it belongs to."""
    path = home / target.path
    names = [str(path), str(target.path)]
    names += [str(path.parent)] if path.parent != home else []
    names += [str(home / "dagster")] if target.path.parts[0] == "dagster" else []
    return names + ([target.ref.asset] if target.ref is not None else [])
