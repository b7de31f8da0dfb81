"""How long the paper's study takes on 1 to 512 GPUs: the plan's pieces, put on nodes one after another.

    python -m rsft_assets_tests.benchmarks.scale [--gpus 1 8 64 512]

Nothing is run. The batches are those of `rsft materialize 'scores/qwen*' 'scores/internlm*' --upstream`, the pieces
those of the Ray launcher, their hours the plan's estimates. With one command, batches run one after another, and the
pieces of a batch at the same time; with one command a model, the batches of different models run at the same time,
once what they share is made. Prints the table of docs/scale.md, as days, and the share of all GPUs' time that is used.
"""

import argparse
import heapq
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsft_assets.defs.launchers import ELSEWHERE, StepCall
from rsft_assets.defs.on_ray.pieces import split
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.questions.planning.amounts import CostEstimate
from rsft_assets.steps.questions.planning.batches import Batch
from rsft_assets.steps.questions.planning.costs import HOUR
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.quantities import Line
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store

SELECTION = ("scores/qwen*", "scores/internlm*")
GPUS_A_NODE, CORES_A_GPU = 8, 14
"""Assumed."""
START_SECONDS = 123.0
"""Of a piece: 3 seconds on Ray, measured; two minutes until a model has loaded its weights, assumed."""
WRITTEN_A_SECOND = 7e8
"""Bytes of a checkpoint that are written, read again and hashed in a second, measured on the machine of an H100."""


@dataclass
class Work:
    """A batch: the seconds of each of its pieces on one node, and the GPU-seconds among them."""

    model: str
    pieces: list[float]
    gpu_seconds: float


def works(study: Study, store: Store, nodes: int, width: int) -> list[Work]:
    """Every batch of the plan, in order."""
    plan = make_plan(study, store, Selection(SELECTION, upstream=True), assume_inputs=True)
    costs = CostEstimate(plan.states)
    return [_work(study, store, batch, costs, nodes, width) for batch in plan.batches]


def _work(study: Study, store: Store, batch: Batch, costs: CostEstimate, nodes: int, width: int) -> Work:
    refs = [Ref(asset, partition) for asset in batch.assets for partition in batch.partitions]
    first = refs[0]
    model = first.name if first.stage in ("base_models", "checkpoints", "scores") else ""
    if first.stage not in ELSEWHERE:
        hours, _, written = _costs(costs, refs)
        return Work(model, [hours * HOUR + written / WRITTEN_A_SECOND], 0.0)
    options = [word for partition in batch.partitions for word in ("--partition", partition)]
    call = StepCall("", (*batch.assets, *options), store.home, batch.title)
    wide = width * (CORES_A_GPU if first.stage == "verdicts" else 1)
    pieces, gpu_seconds = [], 0.0
    for piece in split(study, store, call, slots=nodes, wide=wide, count=0):
        cpu, gpu, written = _costs(costs, piece.refs)
        saving = written / WRITTEN_A_SECOND if first.stage == "checkpoints" else 0.0
        pieces.append(START_SECONDS + (gpu / width if gpu else cpu / (width * CORES_A_GPU)) * HOUR + saving)
        gpu_seconds += gpu * HOUR
    return Work(model, pieces, gpu_seconds)


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
    print("| GPUs | one command | GPUs' time used | one command a model | GPUs' time used |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for gpus in parser.parse_args().gpus:
            nodes, width = max(1, gpus // GPUS_A_NODE), min(gpus, GPUS_A_NODE)
            all_works = works(study, Store(Path(folder)), nodes, width)
            shared = [work for work in all_works if not work.model]
            of_model: dict[str, list[Work]] = defaultdict(list)
            for work in all_works:
                if work.model:
                    of_model[work.model].append(work)
            spans = span([all_works], nodes), span([shared], nodes) + span(list(of_model.values()), nodes)
            used = sum(work.gpu_seconds for work in all_works)
            cells = [f"{seconds / 86400:.1f} days | {used / seconds / gpus:.0%}" for seconds in spans]
            print(f"| {gpus} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
