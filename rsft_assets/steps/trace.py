"""Follow a number to its origin, or an origin to its numbers, from files alone.

WHAT is an asset and its partition; a row of a results table or a point of a figure, by its columns; or the
id of a query, a response or an item. A broken link is reported at that link. How to run:

    python -m rsft_assets.steps.trace scores/nano-300k/nano-dot 'RUN|10' [ITEM]      down to the queries
    python -m rsft_assets.steps.trace datasets/nano-cot --up                       what was made from it
    python -m rsft_assets.steps.trace QUERY_ID | RESPONSE_ID | ITEM_ID             everything it touches
    python -m rsft_assets.steps.trace marts.benchmark_scores 'run=RUN,step=10,benchmark=nano-dot,grader=strict'
    python -m rsft_assets.steps.trace figures/dip_and_recovery 'run=RUN,step=10,benchmark=nano-dot'
"""

import argparse
import re
import sys

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import TABLE_OF, Ref, parse_ref, partitions_of
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.running import run_step
from rsft_assets.steps.tracing import tables, up
from rsft_assets.steps.tracing.down import Downwards
from rsft_assets.steps.tracing.node import Node, as_json, as_tree

_WITH_PARTITION = re.compile(r"^(?P<asset>[^\[\]]+)\[(?P<partition>[^\[\]]+)\]$")


def trace(
    study: Study,
    store: Store,
    what: str,
    partition: str = "",
    item: str = "",
    *,
    upwards: bool = False,
    content: bool = False,
) -> Node:
    """The tree of what `what` stands on, or with `upwards` of what stands on it; see the module for `what`.

    `content` reads every byte of every output on the way, however large.
    """
    if match := _WITH_PARTITION.match(what):
        what, partition, item = match["asset"], match["partition"], partition or item
    if what.startswith(("results/", "marts.", "staging.", "seeds.")):
        return tables.of_table(study, store, what, partition, content=content)
    if what.startswith("figures/"):
        return tables.of_figure(study, store, what, partition, content=content)
    if what.split("/")[0] in TABLE_OF:
        ref = parse_ref(study, what, partition)
        valid = partitions_of(study, ref.asset)
        if valid and not ref.partition:
            raise SpecError(f"{what} has {len(valid)} partitions; name one, such as '{valid[-1]}'")
        return up.output_up(study, store, ref) if upwards else Downwards(study, store, content=content).of(ref, item)
    return _of_id(study, store, what)


def _of_id(study: Study, store: Store, what: str) -> Node:
    query, dash, sample = what.rpartition("-")
    broken: list[Node] = []
    found = up.query_up(study, store, what, broken=broken)
    if found is None and dash and sample.isdigit():
        found = up.query_up(study, store, query, response_id=what)
    if found is None:
        found = up.item_up(study, store, what, broken=broken)
    if found is None and broken:
        return Node(what, "missing", {"note": "in nothing that can be read; perhaps in what cannot"}).add(*broken)
    if found is None:
        raise StepError(
            f"{what!r} is no asset, and no query, response or item under {store.home} has this id; "
            "give an asset such as scores/qwen3-14b/math500 and a partition, or a full id"
        )
    return found


def latest_score(study: Study, store: Store, model: str = "") -> Ref | None:
    """Some score that there is, to show a command that works; the last step of the first run that has one."""
    for run in study.runs.values():
        if model and run.model != model:
            continue
        for step in reversed(study.steps_of(run)):
            for benchmark in study.benchmarks_of(run.model):
                ref = Ref(f"scores/{run.model}/{benchmark.name}", f"{run.name}|{step}")
                if (store.slot(ref) / "current.json").is_file():
                    return ref
    return None


def main(arguments: argparse.Namespace) -> None:
    node = trace(
        load_study(),
        Store.from_env(),
        arguments.what,
        arguments.partition,
        arguments.item,
        upwards=arguments.up,
        content=arguments.content,
    )
    sys.stdout.write((as_json(node) if arguments.json else as_tree(node)) + "\n")
    if node.problems:
        raise StepError(f"{len(node.problems)} broken links:\n  " + "\n  ".join(node.problems))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", metavar="WHAT", help="asset, table, figure or id")
    parser.add_argument("partition", nargs="?", default="", help="partition, or column=value,… of a row")
    parser.add_argument("item", nargs="?", default="", help="one item of a score")
    parser.add_argument("--up", action="store_true", help="what was made from it, in place of what it was made from")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--content", action="store_true", help="read every byte on the way, however large the files")
    return parser


if __name__ == "__main__":
    run_step(main, _parser())
