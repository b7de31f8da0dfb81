"""Downwards: what a thing was made from, and what that was made from, to the queries."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from rsft_assets.specs.errors import StepError, nearest
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.questions.tracing.links import (
    HASHED_SHARDS,
    current_node,
    follow,
    input_of,
    read_rows,
    read_table,
)
from rsft_assets.steps.questions.tracing.node import Node
from rsft_assets.steps.records.manifest import InputRecord
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.results.outputs_found import completions_of

_SHARDED = ("responses", "verdicts")


class Downwards:
    """One walk; each output is shown in full the first time and by name after that."""

    def __init__(self, study: Study, store: Store, *, content: bool = False) -> None:
        self.study, self.store, self.content = study, store, content
        self.shown: set[str] = set()

    def of(self, ref: Ref, item: str = "") -> Node:
        """The output in use of `ref` with everything below it; of a score, one item if it is named."""
        node, output = current_node(self.store, ref, content=self.content)
        if output is not None:
            self.shown.add(f"{ref}")
            self._below(node, output, item)
        return node

    def _link(self, link: InputRecord) -> Node:
        ref = Ref(link.asset, link.partition)
        if str(ref) in self.shown:
            return Node(str(ref), facts={"note": "shown above"})
        self.shown.add(str(ref))
        node, output = follow(self.store, link, content=self.content)
        if output is not None:
            self._below(node, output)
        return node

    def _below(self, node: Node, output: Output, item: str = "") -> None:
        made = output.manifest
        stage = made.asset.split("/")[0]
        try:
            if node.problem:
                pass  # rows of damaged files are not used
            elif stage == "scores":
                self._score(node, output, item)
            elif stage == "checkpoints":
                node.add(self._seen(output))
            elif stage == "datasets":
                node.add(_chosen(output))
        except StepError as error:
            node.add(Node("rows", "rows", problem=str(error)))
        self._made_from(node, made.inputs)

    def _made_from(self, node: Node, links: Collection[InputRecord]) -> None:
        sharded = [link for link in links if link.asset.split("/")[0] in _SHARDED]
        node.add(*(self._link(link) for link in links if link not in sharded))
        node.add(*self._shards(sharded))

    def _shards(self, links: list[InputRecord]) -> list[Node]:
        """The shards of a pool as one node; only a broken one gets its own."""
        nodes = []
        for asset in dict.fromkeys(link.asset for link in links):
            of_asset = [link for link in links if link.asset == asset]
            if asset in self.shown:
                nodes.append(Node(asset, facts={"note": "shown above"}))
                continue
            self.shown.add(asset)
            nodes.append(self._pool(asset, of_asset))
        return nodes

    def _pool(self, asset: str, links: list[InputRecord]) -> Node:
        group = Node(asset, "group")
        rows, commits, stats = 0, set(), Counter[str]()
        deeper: dict[str, InputRecord] = {}
        for link in links:
            many = len(links) > HASHED_SHARDS
            node, output = follow(self.store, link, content=self.content, quick=many)
            if node.problem:
                group.add(node)
            if output is not None:
                rows += node.facts.get("rows") or 0
                commits.add(node.facts.get("code"))
                stats.update({k: v for k, v in output.stats.items() if isinstance(v, int) and not isinstance(v, bool)})
                deeper |= {f"{i.asset}|{i.partition}": i for i in output.manifest.inputs}
        sound = len(links) - len(group.children)
        group.facts = {
            "shards": f"{sound} of {len(links)} sound",
            "rows": rows,
            **stats,
            "code": sorted(filter(None, commits)),
        }
        self._made_from(group, deeper.values())
        return group

    def _score(self, node: Node, output: Output, item: str) -> None:
        benchmark = self.study.benchmarks.get(output.manifest.ref.benchmark)
        scores = read_rows(output.file("scores.parquet"), where=[("category", "=", "all")])
        for row in scores:
            node.facts[f"{row['grader']} {row['metric']}"] = _said(row)
        hidden = benchmark is None or benchmark.sensitive
        if item:
            node.add(self._item(output, item, hidden=hidden))
        else:
            node.add(_graded(output))
        try:
            texts = completions_of(self.store, output)
        except StepError as error:
            node.add(Node("completions", "missing", problem=str(error)))
            return
        if texts is None:
            node.add(Node("completions", "missing", problem="its manifest names no completions"))
            return
        said = output.stats["completions"]
        digest = said.get("digest", texts.digest) if isinstance(said, dict) else texts.digest
        place = texts.folder.relative_to(self.store.home).as_posix()
        link = InputRecord(texts.manifest.asset, "", digest, place)
        completions, _ = follow(self.store, link, content=self.content)
        node.add(completions)

    def _item(self, output: Output, item: str, *, hidden: bool) -> Node:
        graded = read_rows(output.file("graded.parquet"), where=[("item_id", "=", item)])
        if not graded:
            known = sorted({row["item_id"] for row in read_rows(output.file("graded.parquet"), columns=["item_id"])})
            raise StepError(f"no item {item!r} in {output.manifest.ref}; {nearest(item, known)}")
        node = Node(f"item {item}", "row")
        link = input_of(output.manifest, "benchmarks")
        if link is not None:
            place = self.store.home / link.output / "items.parquet"
            for row in read_rows(place, where=[("item_id", "=", item)]):
                node.facts |= {"position": row["position"], "category": row["category"]}
                if not hidden:
                    node.facts |= {"question": row["question"], "gold": row["gold"]}
        texts = completions_of(self.store, output)
        written = {}
        if texts is not None:
            rows = read_rows(texts.file("completions.parquet"), where=[("item_id", "=", item)])
            written = {row["sample"]: row for row in rows}
        for sample in sorted({row["sample"] for row in graded}):
            node.add(_sample(sample, graded, written.get(sample), texts, hidden=hidden))
        return node

    def _seen(self, output: Output) -> Node | None:
        """What the weights had been trained on by that step."""
        if not output.has("seen.parquet"):
            return None
        import pyarrow.compute as pc

        table = read_table(output.file("seen.parquet"), columns=["row", "query_id", "tokens", "cut_tokens"])
        return Node(
            f"rows seen by step {output.manifest.ref.step}",
            "rows",
            {
                "rows read": table.num_rows,
                "different rows": pc.count_distinct(table["row"]).as_py(),
                "different queries": pc.count_distinct(table["query_id"]).as_py(),
                "tokens": pc.sum(table["tokens"]).as_py() or 0,
                "cut tokens": pc.sum(table["cut_tokens"]).as_py() or 0,
                "file": str(output.file("seen.parquet")),
            },
        )


def _said(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return f"{row['state']} ({row['reason']})"
    bounds = f" [{row['low']:.4g}, {row['high']:.4g}]" if row["low"] is not None else ""
    return (
        f"{row['value']:.4g}{bounds} over {row['items']} items, {row['samples']} samples, "
        f"{row['truncated']} truncated, {row['undecided']} undecided"
    )


def _graded(output: Output) -> Node:
    rows = read_rows(output.file("graded.parquet"), columns=["grader", "metric", "state", "value", "item_id"])
    node = Node("graded items", "rows", {"rows": len(rows), "items": len({row["item_id"] for row in rows})})
    for (grader, metric), count in Counter((row["grader"], row["metric"]) for row in rows).items():
        mine = [row for row in rows if (row["grader"], row["metric"]) == (grader, metric)]
        states = Counter(row["state"] for row in mine)
        full = sum(1 for row in mine if row["value"] == 1)
        none = sum(1 for row in mine if row["value"] == 0)
        node.facts[f"{grader} {metric}"] = f"{count} rows: {dict(states)}, {full} at 1, {none} at 0"
    node.facts["file"] = str(output.file("graded.parquet"))
    return node


def _sample(
    sample: int, graded: list[dict[str, Any]], text: dict[str, Any] | None, texts: Output | None, *, hidden: bool
) -> Node:
    node = Node(f"sample {sample}", "text")
    for row in graded:
        if row["sample"] == sample:
            value = row["state"] if row["value"] is None else f"{row['value']:.4g}"
            extracted = "" if row["extracted"] is None or hidden else f", found {row['extracted']!r}"
            node.facts[f"{row['grader']} {row['metric']}"] = f"{value} ({row['reason']}{extracted})"
    if text is None or texts is None:
        node.problem = "its text is not among the stored completions"
        return node
    node.facts |= {name: text[name] for name in ("response_tokens", "finish_reason", "ended_by_eos", "repetition_loop")}
    node.facts["text"] = "not shown: the benchmark is sensitive" if hidden else text["text"]
    node.facts["file"] = str(texts.file("completions.parquet"))
    return node


def _chosen(output: Output) -> Node:
    rows = read_rows(output.file("examples.parquet"), columns=["query_id", "response_id", "verdict"])
    verdicts = Counter(row["verdict"] or "not judged" for row in rows)
    return Node(
        "rows of the set",
        "rows",
        {"rows": len(rows), "queries": len({row["query_id"] for row in rows}), "verdicts": dict(verdicts),
         "file": str(output.file("examples.parquet"))},
    )  # fmt: skip
