"""The driver of one step: checks the nodes, runs the pieces on them, passes their events on.

    python -m rsft_assets.defs.on_ray.driver --address HOST:PORT --module rsft_assets.steps.verdicts.verify \\
        --label verdicts -- verdicts/nano-math_procedural_n4 --partition 0

Tasks are streams of events and are never retried by Ray. A piece whose node is lost goes to another node without what
it has published; after three losses without an output in between it fails.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from rsft_assets.defs.launchers import Event, StepCall, placement_of
from rsft_assets.defs.on_ray.cluster import (
    LOOK_EVERY_SECONDS,
    Head,
    Node,
    checked_nodes,
    connected,
    refuse_busy_gpus,
    step_environment,
    why_lost,
    working_nodes,
)
from rsft_assets.defs.on_ray.node import BEGAN, FAILED, run_piece
from rsft_assets.defs.on_ray.pieces import Piece, capacity, gpus_of, in_words, refs_of, split
from rsft_assets.defs.on_ray.probe import code_digest
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.processes.events import say_note, send
from rsft_assets.steps.processes.hardware import refuse_without_gpu
from rsft_assets.steps.processes.program import TRY_AGAIN, run_step
from rsft_assets.steps.records.store import Store

_SAY_WAITING_SECONDS = 15.0
_SAY_WAITING_AGAIN_SECONDS = 300.0
_END_SECONDS = 45.0
"""Longer than a step on a node is given to end."""
_LOSSES = 3


def drive(arguments: argparse.Namespace) -> None:
    """Answer what the cluster offers, or run the pieces of a step to their end."""
    store = Store.from_env()
    with connected(arguments.address) as head:
        nodes = checked_nodes(store.home, head)
        if arguments.look:
            send({"event": "capabilities", "offers": _offers(nodes, head.address)})
            return
        study = load_study()
        call = StepCall(arguments.module, tuple(arguments.words), store.home, arguments.label)
        ref = refs_of(study, call)[0]
        placement = placement_of(study, ref)
        gpus = gpus_of(study, ref, placement)
        cpus, slots = capacity([(node.cpus, node.gpus) for node in nodes], gpus, arguments.cpus)
        if gpus:
            for node in (node for node in nodes if node.gpus >= gpus):
                refuse_without_gpu(study, ref, placement, node.capabilities())
            refuse_busy_gpus(nodes)
        pieces = split(study, store, call, slots=slots, wide=gpus or cpus, count=arguments.pieces)
        Pieces(pieces, {"CPU": cpus, "GPU": gpus}, head).run()


def _offers(nodes: Sequence[Node], address: str) -> dict[str, Any]:
    """What one step can use: the GPUs of the node that has most, the cores and memory of the one that has least."""
    best = max(nodes, key=lambda node: node.gpus)
    return {
        "place": f"the Ray cluster at {address} ({len(nodes)} node{'s' * (len(nodes) > 1)})",
        "gpus": best.capabilities().gpus,
        "cores": min((min(node.cpus, node.found["cores"]) for node in nodes if node.cpus), default=0),
        "memory": min(node.found["memory"] for node in nodes),
        "slots": sum(node.gpus == best.gpus for node in nodes),
        "machines": [str(node) for node in nodes],
        "node_sizes": [(node.cpus, node.gpus) for node in nodes],
    }


class Pieces:
    """The pieces of a step at work."""

    def __init__(self, pieces: Sequence[Piece], needs: Mapping[str, int], head: Head) -> None:
        self.needs, self.head = needs, head
        self.several = len(pieces) > 1
        self.failed: list[str] = []
        self._given = (step_environment(needs["GPU"]), code_digest())
        task = ray.remote(max_retries=0, num_returns="streaming")(run_piece)
        self._task = task.options(num_cpus=needs["CPU"], num_gpus=needs["GPU"], scheduling_strategy="SPREAD")
        self._running: dict[Any, Piece] = {}
        self._say_at = time.monotonic() + _SAY_WAITING_SECONDS
        self._waiting_for, self._say_again_at = "", 0.0
        for piece in pieces:
            self._start(piece)

    def run(self) -> None:
        """To the end of all; what has failed is named then."""
        try:
            while self._running:
                ready, _ = ray.wait(list(self._running), timeout=LOOK_EVERY_SECONDS)
                for stream in ready:
                    self._advance(stream)
                # Without its head, what Ray is asked of nodes is not answered.
                if self.head.answers():
                    self._lose_with_nodes()
                    self._say_waiting()
        except BaseException:
            self._stop()
            raise
        if self.failed:
            raise StepError("\n".join(self.failed))

    def _lose_with_nodes(self) -> None:
        """Give up what ran on dead nodes. Ray waits until its connection breaks: minutes, where a host is away."""
        alive = {node["NodeID"] for node in working_nodes()}
        for stream, piece in list(self._running.items()):
            if piece.node and piece.node_id not in alive:
                del self._running[stream]
                self._lose(piece, "the head has not heard from it for a minute, or it has ended")

    def _start(self, piece: Piece) -> None:
        piece.node = piece.node_id = ""
        self._running[self._task.remote(piece.left(), *self._given)] = piece

    def _advance(self, stream: Any) -> None:
        """Take one event."""
        piece = self._running[stream]
        try:
            event = ray.get(next(stream))
        except StopIteration:
            del self._running[stream]
        except RayTaskError as error:
            del self._running[stream]
            self.failed.append(f"{piece.call.label} failed on {piece.node or 'its node'}: {error.cause!r}")
        except RayError as error:
            del self._running[stream]
            self._lose(piece, why_lost(error))
        else:
            self._take(piece, event)

    def _take(self, piece: Piece, event: Event) -> None:
        kind = event["event"]
        if kind == BEGAN:
            piece.node, piece.node_id = event["node"], event["id"]
            self._say_at, self._waiting_for = time.monotonic() + _SAY_WAITING_SECONDS, ""
        elif kind == FAILED:
            if event["status"] == TRY_AGAIN:
                self._lose(piece, "the step was stopped there")
            else:
                self.failed.append(f"on {piece.node}: {event['words']}")
        elif kind != "failed":
            if kind == "published":
                piece.published.add(Ref(event["asset"], event["partition"]))
                piece.lost = 0
            send(_said_on(event, piece.node) if self.several else event)

    def _lose(self, piece: Piece, why: str) -> None:
        piece.lost += 1
        where = piece.node or "its node"
        if piece.published >= set(piece.refs):
            return
        if piece.lost >= _LOSSES:
            self.failed.append(
                f"{piece.call.label} was lost {piece.lost} times without an output in between, last on {where}: {why}"
            )
            return
        left = len(set(piece.refs) - piece.published)
        say_note(f"{piece.call.label} is lost with {where} ({why}); {left} of {len(piece.refs)} left go on elsewhere")
        self._say_at = time.monotonic() + _SAY_WAITING_SECONDS
        self._start(piece)

    def _say_waiting(self) -> None:
        """Name what pieces wait for where none of them runs."""
        if any(piece.node for piece in self._running.values()) or not self._running:
            return
        if time.monotonic() < self._say_at:
            return
        nodes = [node["Resources"] for node in working_nodes()]
        if any(all(node.get(kind, 0) >= amount for kind, amount in self.needs.items()) for node in nodes):
            reason = "all such nodes are in use"
        else:
            reason = f"none of the {len(nodes)} nodes has that; start one with `ray start --address=…`"
        # Another reason is said at once: the head learns of a lost node later than the driver.
        if reason != self._waiting_for or time.monotonic() >= self._say_again_at:
            self._waiting_for, self._say_again_at = reason, time.monotonic() + _SAY_WAITING_AGAIN_SECONDS
            pieces = "1 piece waits" if len(self._running) == 1 else f"{len(self._running)} pieces wait"
            say_note(f"{pieces} for {in_words(self.needs['CPU'], self.needs['GPU'])}: {reason}")

    def _stop(self) -> None:
        """Have every step asked to end, and wait for it."""
        for stream in self._running:
            ray.cancel(stream, force=False)
        until = time.monotonic() + _END_SECONDS
        while self._running and time.monotonic() < until:
            for stream in ray.wait(list(self._running), timeout=LOOK_EVERY_SECONDS)[0]:
                try:
                    ray.get(next(stream))
                except (StopIteration, RayError):
                    del self._running[stream]


def _said_on(event: Event, node: str) -> Event:
    """An event with its node, for readers of several at once."""
    key = {"progress": "what", "note": "words"}.get(event["event"])
    return {**event, key: f"{node}: {event[key]}"} if key else event


def parser() -> argparse.ArgumentParser:
    shown = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shown.add_argument("--address", required=True)
    shown.add_argument("--pieces", type=int, default=0)
    shown.add_argument("--cpus", type=int, default=0)
    shown.add_argument("--look", action="store_true", help="only say what the cluster offers")
    shown.add_argument("--module")
    shown.add_argument("--label")
    shown.add_argument("words", nargs="*")
    return shown


if __name__ == "__main__":
    run_step(drive, parser())
