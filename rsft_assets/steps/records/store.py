"""The store: every output under RSFT_HOME, found, checked, built aside and published by rename.

    store = Store.from_env()
    with store.build(study, ref, seed=3) as build:
        if build.finished is None:
            rows = pq.read_table(build.input("queries/nano-math").file("queries.parquet"))
            ...write files into build.folder...
            build.publish(stats={"rows": 10})
    build.output              # the Output, new or kept

Layout: `<home>/<asset>/<partition, split at |>/<fingerprint>/`, with `current.json` beside it naming the
folder in use. A work folder keeps its name between tries, so that a killed step finds what it had.
"""

import contextlib
import dataclasses
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError, lost_home
from rsft_assets.specs.fingerprint import SHORT
from rsft_assets.specs.judges import ROLES
from rsft_assets.specs.lineage import Ref, inputs_of, spec_of
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.events import say_published
from rsft_assets.steps.records.code_version import code_of
from rsft_assets.steps.records.identity import Identity, changed_fields, materialize_command
from rsft_assets.steps.records.locks import exclusive
from rsft_assets.steps.records.manifest import (
    FILE_NAME,
    POINTER,
    FileRecord,
    InputRecord,
    Manifest,
    Pointer,
    describe,
    manifest_hash,
    pointer_beside,
    write_json,
)
from rsft_assets.steps.records.output import Output as Output
from rsft_assets.steps.records.pointers import outputs_in_use

log = logging.getLogger(__name__)
HOME_SETTING = "RSFT_HOME"


@dataclass
class Build:
    """An output being made. `finished` is set where nothing is left to do."""

    store: "Store"
    identity: Identity
    folder: Path
    made_by: dict[str, Any]
    finished: Output | None = None
    origin: str = "computed"
    adopted_from: dict[str, Any] | None = None
    started: float = field(default_factory=time.time)

    @property
    def output(self) -> Output:
        """The finished output, new or kept."""
        if self.finished is None:
            raise StepError(f"{self.identity.ref}: its step ended without publishing anything")
        return self.finished

    def input(self, asset: str, partition: str = "", *, check: bool = True) -> Output:
        """An input, its content checked before use, unless the caller does that."""
        known = {(i.asset, i.partition): i for i in self.identity.inputs}
        output = self.store.used(known[(asset, partition)])
        return output.verified() if check else output

    def publish(self, stats: dict[str, Any] | None = None, *, known: Iterable[FileRecord] = ()) -> Output:
        """Digest all files of the folder but the `known`, write the manifest, rename into place, point at it."""
        manifest = describe(
            self.folder,
            self.identity.ref,
            known=known,
            fingerprint=self.identity.fingerprint,
            spec=self.identity.spec,
            inputs=list(self.identity.inputs),
            made_by=self.made_by,
            started=self.started,
            stats=stats or {},
            origin=self.origin,
            adopted_from=self.adopted_from,
        )
        self.finished = self.store.publish(self.folder, manifest)
        return self.finished


class Store:
    """All outputs below one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()

    @classmethod
    def from_env(cls) -> "Store":
        """The store at RSFT_HOME, or `.rsft` in the working directory."""
        return cls(Path(os.environ.get(HOME_SETTING) or ".rsft"))

    def slot(self, ref: Ref) -> Path:
        return self.home.joinpath(*ref.asset.split("/"), *filter(None, ref.partition.split("|")))

    def exists(self, ref: Ref) -> bool:
        """Whether an output was ever published; `current` and `verified` say whether it is sound."""
        return (self.slot(ref) / POINTER).exists()

    def current(self, ref: Ref) -> Output | None:
        """The output in use, None where there is none; damage is a `StepError` that names it."""
        try:
            output = Output.pointed_at(self.slot(ref) / POINTER)
        except FileNotFoundError:
            return None
        if problem := output.damage(content=False):
            raise StepError(f"{ref} is damaged: {problem}; materialize it again")
        return output

    def sound(self, ref: Ref) -> Output | None:
        """The output in use, None where there is none or it is damaged."""
        try:
            return self.current(ref)
        except StepError:
            return None

    def used(self, record: InputRecord) -> Output:
        """The very output that a manifest names as its input."""
        output = Output.at(self.home / record.output)
        if output.manifest.ref != (ref := Ref(record.asset, record.partition)):
            raise StepError(f"{output.folder} is named as {ref}, but holds {output.manifest.ref}")
        return output

    def require(self, ref: Ref) -> Output:
        """The output in use; where there is none, a `StepError` with the command that makes it."""
        output = self.current(ref)
        if output is None:
            raise StepError(f"{ref} does not exist yet; make it first: {materialize_command(ref)}")
        return output

    def identity(self, study: Study, ref: Ref) -> Identity:
        """What `ref` would be if it were made now."""
        inputs = []
        for upstream in inputs_of(study, ref):
            output = self.require(upstream)
            where = output.folder.relative_to(self.home).as_posix()
            inputs.append(InputRecord(upstream.asset, upstream.partition, output.digest, where))
        return Identity(ref, self.spec(study, ref), tuple(inputs))

    def spec(self, study: Study, ref: Ref) -> dict[str, Any]:
        """`spec_of`. Where no judges are configured, a score keeps those it had, so that it stays current."""
        spec = spec_of(study, ref)
        if ref.stage == "scores" and spec["task"] in ROLES and "judges" not in spec:
            before = self.sound(ref)
            if before is not None and "judges" in before.manifest.spec:
                return {**spec, "judges": before.manifest.spec["judges"]}
        return spec

    def kept(self, identity: Identity) -> Output | None:
        """The finished output of this identity, the current one or an earlier one, if there is a sound one."""
        with contextlib.suppress(StepError):
            output = self.current(identity.ref)
            if output is None or output.manifest.fingerprint == identity.fingerprint:
                return output
        with contextlib.suppress(StepError):
            # Returning to an earlier spec reuses its output.
            earlier = Output.at(self.slot(identity.ref) / identity.fingerprint[:SHORT])
            if earlier.manifest.fingerprint == identity.fingerprint and not earlier.damage(content=False):
                return earlier
        return None

    def keep(self, identity: Identity) -> Output | None:
        """The finished output of this identity, made the current one if it is not."""
        output = self.kept(identity)
        if output is not None:
            self.use(output)
        return output

    def use(self, output: Output) -> None:
        """Make a finished output the current one of its slot, if it is not."""
        ref = output.manifest.ref
        if not self._is_current(output):
            self._check_pointer(ref)
            with exclusive(self.slot(ref) / ".lock", str(ref)):
                self._point(output)

    @contextlib.contextmanager
    def build(self, study: Study, ref: Ref, *, force: bool = False, **made_by: Any) -> Iterator[Build]:
        """Hold the lock of `ref` and give its work folder, or the kept output; see the module's example.

        `made_by` adds to the provenance: seed, engine, placement.
        """
        made_by = {"code": code_of(study, ref), **made_by}
        with self.building(ref, lambda: self.identity(study, ref), force=force, **made_by) as build:
            yield build

    @contextlib.contextmanager
    def building(
        self, ref: Ref, identify: Callable[[], Identity], *, force: bool = False, **made_by: Any
    ) -> Iterator[Build]:
        """The same for an identity that is not from the study's specs; it is computed once the lock is held."""
        self.check_writable()
        self._check_pointer(ref)
        with exclusive(self.slot(ref) / ".lock", str(ref)) as waited:
            identity = identify()
            work = self.slot(ref) / f".building-{identity.fingerprint[:SHORT]}"
            build = Build(self, identity, work, made_by)
            # Another process just made it; making it again would only repeat that.
            build.finished = None if force and not waited else self.kept(identity)
            if build.finished is None:
                self._say_what_changed(identity)
                work.mkdir(parents=True, exist_ok=True)
            elif not self._is_current(build.finished):
                self._point(build.finished)
            yield build
            if build.finished is not None:
                shutil.rmtree(work, ignore_errors=True)

    def _say_what_changed(self, identity: Identity) -> None:
        try:
            output = self.current(identity.ref)
        except StepError as error:
            log.warning("%s", error)
            return
        if output is not None and output.manifest.fingerprint != identity.fingerprint:
            changed = ", ".join(changed_fields(output.manifest, identity)) or "schema"
            log.warning("%s is made again and the old output kept, since this changed: %s", identity.ref, changed)

    def publish(self, work: Path, manifest: Manifest) -> Output:
        """Move a complete work folder to its place and point at it."""
        place = work.parent / manifest.fingerprint[:SHORT]
        again = 1
        while place.exists():
            # Forced, or damaged: the old folder is kept, so that outputs made from it can be traced.
            again += 1
            place = work.parent / f"{manifest.fingerprint[:SHORT]}.{again}"
        work.rename(place)
        output = Output(place, manifest)
        self._point(output)
        # The state from which a killed step would resume; as large as the output itself.
        for left in place.glob(".*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        say_published(manifest.ref, place)
        return output

    def _check_pointer(self, ref: Ref) -> None:
        if (pointer := self.slot(ref) / POINTER).is_dir():
            raise StepError(f"{pointer} is a folder; remove it, and materialize again")

    def _is_current(self, output: Output) -> bool:
        """Whether the pointer names it, with the hash of its manifest."""
        pointer, name = pointer_beside(output.folder), output.folder.name
        return pointer.output == name and name in pointer.manifests

    def _point(self, output: Output) -> None:
        """Point at it, and keep the hashes of the manifests beside it."""
        before, name = pointer_beside(output.folder).manifests, output.folder.name
        hashes = {**before, name: manifest_hash(output.folder)}
        write_json(output.folder.parent / POINTER, dataclasses.asdict(Pointer(name, hashes)))

    def check_writable(self) -> None:
        """A `StepError` where nothing can be written, before any work is done."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.home).close()
        except OSError as error:
            raise StepError(
                lost_home(self.home, error)
                or f"{HOME_SETTING}={self.home} cannot be written ({error.strerror}); "
                f"set {HOME_SETTING} to a writable folder, or free space there"
            ) from error

    def outputs(self) -> Iterator[Output]:
        """Every current output whose manifest can be read; for doctor, SQL and traces."""
        for pointer, output in outputs_in_use(self.home):
            if isinstance(output, Output):
                yield output
            else:
                log.warning("%s: %s", pointer, output)

    def folders(self) -> Iterator[Path]:
        """Every folder with a manifest, in use or not, but for those of work in progress."""
        for path in sorted(self.home.rglob(FILE_NAME)):
            if not any(part.startswith(".") for part in path.relative_to(self.home).parts):
                yield path.parent
