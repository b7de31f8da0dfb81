"""Splitting one step's call by partition into pieces, each for one node."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from rsft_assets.defs.launchers import StepCall
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import Study
from rsft_assets.steps.processes.program import requested, step_parser
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.questions.planning.amounts import CostEstimate
from rsft_assets.steps.questions.planning.costs import HOUR
from rsft_assets.steps.questions.planning.quantities import Line
from rsft_assets.steps.records.store import Store

_SECONDS = 300.0
"""Work of one piece at least: starting one takes seconds of processor time, and a model of many billion minutes."""
_PIECES_PER_SLOT = 4


@dataclass
class Piece:
    """Part of a step's call. What is published leaves it, so that a second try does not make it again."""

    call: StepCall
    refs: list[Ref]
    node: str = ""
    """Where it runs; empty while it waits."""
    node_id: str = ""
    lost: int = 0
    """Nodes that were lost under it since it last published something."""
    published: set[Ref] = field(default_factory=set)

    def left(self) -> StepCall:
        """The call for the partitions of which something is not published."""
        return _call_of(self.call, [ref for ref in self.refs if ref not in self.published])


def gpus_of(study: Study, ref: Ref, placement: Placement) -> int:
    """GPUs that a piece reserves on its node. Models made for CPUs get them with `device = "cuda"` only."""
    if placement.device == "cpu" or (ref.stage != "checkpoints" and placement.engine == "endpoint"):
        return 0
    if ref.stage == "responses":
        pool = study.get("pools", ref.name)
        needs_gpu = isinstance(pool.teacher.origin, Hub) and pool.adopted is None
    elif ref.stage in ("checkpoints", "scores"):
        needs_gpu = study.get("models", ref.name).runs_on_gpu or placement.device == "cuda"
    else:
        needs_gpu = False
    if not needs_gpu:
        return 0
    if ref.stage == "checkpoints":
        return placement.processes * max(1, placement.runs)
    return placement.engines * placement.tensor_parallel


def capacity(nodes: Sequence[tuple[int, int]], gpus: int, cpus: int) -> tuple[int, int]:
    """(cores that a piece reserves, pieces at the same time) on nodes of so many (cores, GPUs); 0 cores leave them to
    us. A `StepError` where no node can hold a piece.
    """
    able = [node for node in nodes if node[0] >= max(1, cpus) and node[1] >= gpus]
    if not able:
        raise StepError(
            f"a piece needs {in_words(max(1, cpus), gpus)} on one node, and the cluster has "
            f"{'; '.join(_counted(nodes))}; lower `ray_cpus`, `processes`, `runs`, `engines` or `tensor_parallel` in "
            "the placement, or start a larger node"
        )
    pieces = [node[1] // gpus if gpus else 1 for node in able]
    cpus = cpus or max(1, min(node[0] // count for node, count in zip(able, pieces, strict=True)))
    return cpus, sum(min(node[0] // cpus, node[1] // gpus if gpus else node[0]) for node in able)


def in_words(cores: int, gpus: int) -> str:
    """Such as `8 cores and 1 GPU`."""
    counts = ((cores, "core"), (gpus, "GPU"))
    return " and ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in counts if count or name == "core")


def _counted(nodes: Sequence[tuple[int, int]]) -> Iterator[str]:
    for (cores, gpus), count in Counter(nodes).items():
        yield f"{count} node{'s' * (count > 1)} of {in_words(cores, gpus)}"


def refs_of(study: Study, call: StepCall) -> list[Ref]:
    """What a call makes."""
    return requested(study, step_parser(None).parse_args(call.arguments))


def split(study: Study, store: Store, call: StepCall, *, slots: int, wide: int, count: int) -> list[Piece]:
    """`count` pieces of about the same work, or with 0 as many as hold five minutes each; `wide` is how many cores or
    GPUs work on one.
    """
    groups: dict[str, list[Ref]] = {}
    for ref in refs_of(study, call):
        groups.setdefault(_together(ref), []).append(ref)
    costs = CostEstimate(States(study, store, assume_inputs=True))
    seconds = {name: _seconds(costs, refs) / wide for name, refs in groups.items()}
    whole = math.floor(sum(seconds.values()) / _SECONDS)
    number = min(len(groups), count or max(1, min(whole, slots * _PIECES_PER_SLOT)))
    shares: list[list[str]] = [[] for _ in range(number)]
    loads = [0.0] * number
    for name in sorted(groups, key=lambda name: -seconds[name]):
        lightest = loads.index(min(loads))
        shares[lightest].append(name)
        # A group costs something even where nothing is estimated.
        loads[lightest] += max(seconds[name], 1e-3)
    order = list(groups)
    members = [[ref for name in sorted(share, key=order.index) for ref in groups[name]] for share in shares]
    return [
        Piece(
            replace(_call_of(call, refs), label=f"{call.label}-{place}of{number}" if number > 1 else call.label), refs
        )
        for place, refs in enumerate(members, 1)
    ]


def _together(ref: Ref) -> str:
    """What one process must make: the checkpoints of a run, and the scores of one checkpoint or of a base model."""
    if ref.stage == "checkpoints":
        return ref.run
    return "step 0" if ref.stage == "scores" and ref.step == 0 else ref.partition


def _seconds(costs: CostEstimate, refs: Sequence[Ref]) -> float:
    """The plan's estimate on one core or GPU."""
    line = Line("piece")
    for asset in dict.fromkeys(ref.asset for ref in refs):
        costs.add(line, asset, [ref for ref in refs if ref.asset == asset])
    gpu, cpu = (line.figures.get(f"{kind}_hours") for kind in ("gpu", "cpu"))
    return HOUR * ((gpu.value if gpu else 0.0) or (cpu.value if cpu else 0.0))


def _call_of(call: StepCall, refs: Sequence[Ref]) -> StepCall:
    """The same call for the partitions of `refs`."""
    asked = step_parser(None).parse_args(call.arguments)
    partitions = dict.fromkeys(ref.partition for ref in refs if ref.partition)
    options = [word for partition in partitions for word in ("--partition", partition)]
    return replace(call, arguments=(*asked.assets, *options, *(("--force",) if asked.force else ())))
