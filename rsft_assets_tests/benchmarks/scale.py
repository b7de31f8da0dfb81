"""How long the paper's study takes on 1 to 512 GPUs: the plan's pieces, put on nodes one after another.

    python -m rsft_assets_tests.benchmarks.scale [--gpus 1 8 64 512]

Nothing is run. The batches are those of `rsft materialize 'scores/qwen*' 'scores/internlm*' --upstream`, the pieces
those of the Ray launcher, their hours the plan's estimates. With one command, batches run one after another, and the
pieces of a batch at the same time. With one command a model or a run, batches of different ones run at the same time,
once what they share is made. Prints the table of docs/scale.md: days, and the share of the GPUs' time that is used.
"""

import argparse
import heapq
import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsft_assets.defs.launchers import ELSEWHERE, StepCall
from rsft_assets.defs.on_ray.pieces import split
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.questions.planning.amounts import CostEstimate
from rsft_assets.steps.questions.planning.batches import Batch, batches
from rsft_assets.steps.questions.planning.costs import HOUR
from rsft_assets.steps.questions.planning.plan import Plan, make_plan
from rsft_assets.steps.questions.planning.quantities import Line
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store

SELECTION = ("scores/qwen*", "scores/internlm*")
GPUS_A_NODE, CORES_A_GPU = 8, 14
"""Assumed."""
START_SECONDS = 123.0
"""Of a piece: 3 seconds on Ray, measured; two minutes until a model has loaded its weights, assumed."""
WRITTEN_A_SECOND = 6e8
"""Bytes of a checkpoint that are written and hashed in a second, measured on the machine of an H100."""


@dataclass
class Work:
    """A batch: the seconds of each of its pieces on one node, and the GPU-seconds among them."""

    pieces: list[float]
    gpu_seconds: float


def shared(ref: Ref) -> str:
    """One command for all."""
    return ""


def by_model(ref: Ref) -> str:
    return ref.name if ref.stage in ("base_models", "checkpoints", "scores") else ""


def by_run(ref: Ref) -> str:
    return ref.run if ref.stage in ("checkpoints", "scores") else ""


WAYS = {"one command": shared, "one a model": by_model, "one a run": by_run}


def seconds_of(plan: Plan, store: Store, group: Callable[[Ref], str], nodes: int, width: int) -> tuple[float, float]:
    """(seconds until all is made, GPU-seconds of it), with one command for each group of refs."""
    costs = CostEstimate(plan.states)
    groups: dict[str, list[Ref]] = {"": []}
    for ref in plan.refs:
        groups.setdefault(group(ref), []).append(ref)
    chains = {
        name: [_work(costs, store, batch, nodes, width) for batch in batches(costs.study, refs)]
        for name, refs in groups.items()
    }
    first = chains.pop("")
    used = sum(work.gpu_seconds for chain in [first, *chains.values()] for work in chain)
    return span([first], nodes) + span(list(chains.values()), nodes), used


def _work(costs: CostEstimate, store: Store, batch: Batch, nodes: int, width: int) -> Work:
    refs = [Ref(asset, partition) for asset in batch.assets for partition in batch.partitions]
    first = refs[0]
    if first.stage not in ELSEWHERE:
        hours, _, written = _costs(costs, refs)
        return Work([hours * HOUR + written / WRITTEN_A_SECOND], 0.0)
    options = [word for partition in batch.partitions for word in ("--partition", partition)]
    call = StepCall("", (*batch.assets, *options), store.home, batch.title)
    wide = width * (CORES_A_GPU if first.stage == "verdicts" else 1)
    pieces, gpu_seconds = [], 0.0
    for piece in split(costs.study, store, call, slots=nodes, wide=wide, count=0):
        cpu, gpu, written = _costs(costs, piece.refs)
        saving = written / WRITTEN_A_SECOND if first.stage == "checkpoints" else 0.0
        pieces.append(START_SECONDS + (gpu / width if gpu else cpu / (width * CORES_A_GPU)) * HOUR + saving)
        gpu_seconds += gpu * HOUR
    return Work(pieces, gpu_seconds)


def _costs(costs: CostEstimate, refs: Sequence[Ref]) -> tuple[float, float, float]:
    """Hours of cores and of GPUs, and bytes."""
    line = Line("")
    for asset in dict.fromkeys(ref.asset for ref in refs):
        costs.add(line, asset, [ref for ref in refs if ref.asset == asset])
    figures = (line.figures.get(name) for name in ("cpu_hours", "gpu_hours", "disk_bytes"))
    cpu, gpu, written = (figure.value if figure else 0.0 for figure in figures)
    return cpu, gpu, written


def span(chains: Sequence[Sequence[Work]], nodes: int) -> float:
    """Seconds until all chains have ended: batches of a chain follow each other, a free node takes the next piece."""
    now, busy, order = 0.0, [], itertools.count()
    waiting: list[tuple[int, float, int]] = []
    left = [[len(work.pieces) for work in chain] for chain in chains]

    def begin(chain: int, place: int) -> None:
        if place < len(chains[chain]):
            for seconds in sorted(chains[chain][place].pieces, reverse=True):
                heapq.heappush(waiting, (next(order), seconds, chain))

    places = [0] * len(chains)
    for chain in range(len(chains)):
        begin(chain, 0)
    while waiting or busy:
        while waiting and len(busy) < nodes:
            _, seconds, chain = heapq.heappop(waiting)
            heapq.heappush(busy, (now + seconds, chain))
        now, chain = heapq.heappop(busy)
        left[chain][places[chain]] -= 1
        if not left[chain][places[chain]]:
            places[chain] += 1
            begin(chain, places[chain])
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 512])
    study = load_study()
    print(f"| GPUs | {' | '.join(f'{way} | in use' for way in WAYS)} |\n|{'---|' * (1 + 2 * len(WAYS))}")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        plan = make_plan(study, store, Selection(SELECTION, upstream=True), assume_inputs=True)
        for gpus in parser.parse_args().gpus:
            nodes, width = max(1, gpus // GPUS_A_NODE), min(gpus, GPUS_A_NODE)
            cells = []
            for group in WAYS.values():
                seconds, used = seconds_of(plan, store, group, nodes, width)
                cells += [f"{seconds / 86400:.1f} days", f"{used / seconds / gpus:.0%}"]
            print(f"| {gpus} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
