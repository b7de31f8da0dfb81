"""Saving the rolling state while training goes on: it is copied into this machine's memory, and threads write it.

    with Saver(session, folder, belongs_to, what) as saver:
        saver.save(step, curves)        # returns when the weights may change again
        saver.look()                    # raises what went wrong with it so far
        saver.wait()                    # returns when it can be resumed from

Parts are safetensors files, each written and flushed by one thread, with its checksum taken on the way. Each process
writes its own below `.writing-<step>`, then their checksums; the first process waits for those of all, writes
state.json and renames the folder. Where memory does not hold a copy of the whole, `save` waits for the disk.
"""

import json
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.checkpoints.training.disk import resume_bytes
from rsft_assets.steps.checkpoints.training.engine import MOMENTS, Session
from rsft_assets.steps.checkpoints.training.state import MASTER, remove_unfinished, saved_states, whole_tensor
from rsft_assets.steps.processes.events import say_note
from rsft_assets.steps.processes.hardware import free_memory
from rsft_assets.steps.processes.program import Stopped
from rsft_assets.steps.records.manifest import read_json, write_json

_SAVE_EVERY_SECONDS = 60.0
_SAVE_SHARE = 0.05
"""At most this share of the time goes into saving between kept steps."""
_TOLD_FROM_SECONDS = 20.0
"""Schedulers give 30 seconds after SIGTERM unless told otherwise."""
_OTHERS_SECONDS = 60.0
"""After a failure, how long the first process waits for what others have still to write."""
_LOOK_EVERY_SECONDS = 0.02
_PART_BYTES = 2**28
_BUFFER_BYTES = 2**22
"""A power of two, as torch rounds pinned memory up to one. With larger ones, a CPU spends more time on new pages."""
_WRITERS = 2
"""One part is flushed to the disk while the checksum of the next is taken."""
_FEW_PARTS = 3
"""In memory at a time, where it does not hold the whole state: two that are written and one that is filled."""
_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16"}


class Saver:
    """Saves the rolling state, one at a time and at limited cost; every process of a training has one."""

    def __init__(
        self, session: Session, folder: Path, belongs_to: dict[str, Any], what: str, step: int | None = None
    ) -> None:
        """`step`: of the state that training goes on from."""
        self.session, self.folder, self.belongs_to, self.what = session, folder, belongs_to, what
        self.saved_at = time.monotonic()
        self.step = step
        """Of the last state, or of the one under way."""
        self.cost = 0.0
        """Seconds from the copy to the end of the last one."""
        self._threads = ThreadPoolExecutor(_WRITERS, "saving")
        self._room = threading.Semaphore(self._parts_at_once())
        self._closed = threading.Event()
        self._under_way: Future[float] | None = None
        self._began = 0.0
        self._step_seconds = 0.0
        self._told = False

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        # A second Ctrl-C is not waited for. After a failure of the training, a state under way is the last good one.
        hurry = isinstance(error, Stopped | KeyboardInterrupt)
        try:
            if error is None:
                self.wait()
            elif self._under_way is not None and not hurry:
                wait([self._under_way], timeout=None if self.session.world == 1 else _OTHERS_SECONDS)
        finally:
            self._closed.set()
            self._threads.shutdown(wait=not hurry, cancel_futures=True)

    def due(self) -> float:
        """1.0 where the first process finds it time to save; others follow it."""
        waited = time.monotonic() - self.saved_at
        wanted = self._under_way is None and waited > max(_SAVE_EVERY_SECONDS, self.cost / _SAVE_SHARE)
        return float(self.session.rank == 0 and wanted)

    @torch.no_grad()
    def save(self, step: int, curves: list[dict[str, Any]]) -> None:
        """Begin to save the state after a step; every process must ask."""
        self.wait()
        self._began = time.monotonic()
        self.step = step
        # One process gives up the step under way.
        self._step_seconds = curves[-1]["seconds"] if self.session.world > 1 else 0.0
        aside = self.folder / f".writing-{step}"
        if self.session.rank == 0:
            remove_unfinished(self.folder)
            aside.mkdir(parents=True)
        self.session.barrier()
        written = {}
        for number, part in enumerate(self._parts()):
            name = f"part-{self.session.rank}-{number}.safetensors"
            written[name] = self._threads.submit(self._write, aside / name, part)
        facts = {"step": step, "belongs_to": self.belongs_to, "curves": [dict(entry) for entry in curves]}
        self._under_way = self._threads.submit(self._publish, aside, facts, written)

    def look(self) -> None:
        """Raise what went wrong with the state under way, once that is known."""
        if self._under_way is not None and self._under_way.done():
            self._end()

    def wait(self) -> None:
        """Return when no state is under way; every process must ask."""
        if self._under_way is not None:
            self._end()
        self.session.barrier()

    def _end(self) -> None:
        assert self._under_way is not None
        done, self._under_way = self._under_way, None
        self.saved_at = done.result()
        self.cost = self.saved_at - self._began
        needed = self._step_seconds + self.cost
        if self.session.rank == 0 and not self._told and needed > _TOLD_FROM_SECONDS:
            self._told = True
            what = "saving, after the end of a step," if self._step_seconds else "saving"
            say_note(
                f"{self.what}: {what} takes about {needed:.0f} s; a scheduler must grant at least that after SIGTERM "
                "(docs/deploy.md)",
                stop_seconds=needed,
            )

    def _parts(self) -> Iterator["_Part"]:
        """This process's share of the state, copied."""
        pinned = self.session.device.startswith("cuda")
        part: _Part | None = None
        for number, (name, parameter) in enumerate(self.session.named_parameters()):
            for kind in (MASTER, *MOMENTS):
                value = whole_tensor(self.session, parameter, kind)
                if number % self.session.world != self.session.rank:
                    continue
                # Of one type each: tensors of another would not be aligned as their reader wants them.
                if part is not None and (part.bytes >= _PART_BYTES or part.dtype != value.dtype):
                    yield part
                    part = None
                if part is None:
                    self._room.acquire()
                    part = _Part(value.dtype, pinned)
                part.add(f"{kind}/{name}", value)
        if part is not None:
            yield part

    def _parts_at_once(self) -> int:
        parameters = [p for _, p in self.session.named_parameters()]
        # Under ZeRO-3 a parameter's own size is that of what this process holds.
        size = resume_bytes(sum(getattr(p, "ds_numel", p.numel()) for p in parameters), self.session.spec.precision)
        return 3 * len(parameters) if 2 * size <= free_memory() else _FEW_PARTS

    def _write(self, path: Path, part: "_Part") -> int:
        """The checksum of a part, once it is on the disk."""
        seen = 0
        try:
            with path.open("wb") as file:
                for piece in part.pieces():
                    seen = zlib.crc32(piece, seen)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # A failed write names no file.
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            part.buffers.clear()
            self._room.release()
        return seen

    def _publish(self, aside: Path, facts: dict[str, Any], written: dict[str, Future[int]]) -> float:
        """When all parts of this process are on the disk, and for the first process when the state is in its place."""
        files = {name: future.result() for name, future in written.items()}
        if self.session.rank:
            write_json(_checksums(aside, self.session.rank), files)
            return time.monotonic()
        for rank in range(1, self.session.world):
            files |= self._files_of(_checksums(aside, rank))
        write_json(aside / "state.json", {**facts, "files": files})
        place = self.folder / f"state-{facts['step']}"
        shutil.rmtree(place, ignore_errors=True)
        aside.rename(place)
        for old in saved_states(self.folder):
            if old.step < facts["step"]:
                shutil.rmtree(old.folder, ignore_errors=True)
        return time.monotonic()

    def _files_of(self, path: Path) -> dict[str, int]:
        """What another process wrote."""
        while not path.exists():
            if self._closed.wait(_LOOK_EVERY_SECONDS):
                raise StepError(f"{path} was not written: another process of {self.what} has failed; see its log")
        files: dict[str, int] = read_json(path, "list of parts")
        path.unlink()
        return files


def _checksums(aside: Path, rank: int) -> Path:
    return aside / f"part-{rank}.json"


class _Part:
    """Tensors of one type in this machine's memory, as a safetensors file holds them."""

    def __init__(self, dtype: torch.dtype, pinned: bool) -> None:
        self.dtype, self.pinned = dtype, pinned
        self.bytes = 0
        self.header: dict[str, Any] = {}
        self.buffers: list[torch.Tensor] = []

    def add(self, name: str, value: torch.Tensor) -> None:
        """Copy one more tensor."""
        content, start = value.detach().reshape(-1).view(torch.uint8), self.bytes
        while (done := self.bytes - start) < len(content):
            at = self.bytes % _BUFFER_BYTES
            if at == 0:
                self.buffers.append(torch.empty(_BUFFER_BYTES, dtype=torch.uint8, pin_memory=self.pinned))
            count = min(len(content) - done, _BUFFER_BYTES - at)
            self.buffers[-1][at : at + count].copy_(content[done : done + count])
            self.bytes += count
        offsets = [start, self.bytes]
        self.header[name] = {"dtype": _DTYPES[self.dtype], "shape": list(value.shape), "data_offsets": offsets}

    def pieces(self) -> Iterator[memoryview]:
        """The bytes of the file: length of the header, header, tensors."""
        header = json.dumps(self.header).encode()
        header += b" " * (-len(header) % 8)
        yield memoryview(len(header).to_bytes(8, "little") + header)
        for place, buffer in enumerate(self.buffers):
            yield buffer.numpy().data[: self.bytes - place * _BUFFER_BYTES]
