"""Follow a number to its origin, or an origin to its numbers, from files alone.

WHAT is an asset and its partition; a row of a results table or a point of a figure, by its columns; or the
id of a query, a response or an item. A broken link is reported at that link. How to run:

    rsft trace scores/nano-300k/nano-dot 'RUN|10' [ITEM]      down to the queries
    rsft trace datasets/nano-cot --up                       what was made from it
    rsft trace QUERY_ID | RESPONSE_ID | ITEM_ID             everything it touches
    rsft trace marts.benchmark_scores 'run=RUN,step=10,benchmark=nano-dot,grader=strict'
    rsft trace figures/dip_and_recovery 'run=RUN,step=10,benchmark=nano-dot'
"""

import re

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import TABLE_OF, parse_ref, partitions_of
from rsft_assets.specs.study import Study
from rsft_assets.steps.questions.tracing import tables
from rsft_assets.steps.questions.tracing.down import Downwards
from rsft_assets.steps.questions.tracing.node import Node
from rsft_assets.steps.questions.tracing.up import Upwards
from rsft_assets.steps.records.store import Store

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
        return Upwards(study, store).output(ref) if upwards else Downwards(study, store, content=content).of(ref, item)
    return _of_id(study, store, what)


def _of_id(study: Study, store: Store, what: str) -> Node:
    query, dash, sample = what.rpartition("-")
    walk = Upwards(study, store)
    unread: list[Node] = []
    node = walk.query(what, "", unread)
    if node is None and dash and sample.isdigit():
        node = walk.query(query, what, [])
    if node is None:
        node = walk.item(what, unread)
    if node is None and unread:
        return Node(what, "missing", {"note": "in no readable output; it may be in an unreadable one"}).add(*unread)
    if node is None:
        raise StepError(
            f"{what!r} is not an asset, and no query, response or item under {store.home} has this id; "
            "give an asset such as scores/qwen3-14b/math500 and a partition, or a full id"
        )
    return node
