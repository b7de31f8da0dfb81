"""Upwards: everything that one query, response, item or output touches, and what of it cannot be read."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref, asset_inputs, asset_keys, checkpoint_ref, partitions_of, score_ref
from rsft_assets.specs.study import Study
from rsft_assets.specs.training import Run
from rsft_assets.steps.questions.tracing.links import current_node, damage, output_node, read_rows
from rsft_assets.steps.questions.tracing.node import Node
from rsft_assets.steps.records.store import Output, Store

_SHOWN = 12


class Upwards:
    """Walks from a thing to what stands on it.

    `unread` gets a node for each output that cannot be read, so that it may be the one that holds what is looked for.
    """

    def __init__(self, study: Study, store: Store) -> None:
        self.study, self.store = study, store

    def query(self, query_id: str, response_id: str, unread: list[Node]) -> Node | None:
        """From a query, or one response to it: verdicts, sets, checkpoints, scores. None where no source holds it."""
        sources = [f"queries/{name}" for name in self.study.sources]
        rows = self._find(sources, "queries.parquet", "query_id", query_id, unread)
        if not rows:
            return None
        output, row = rows[0]
        node = Node(f"query {query_id}", "row", {"source": output.manifest.asset, "row": row["source_row"]})
        node.facts |= {"question": row["question"], "gold": row["gold"], "file": str(output.file("queries.parquet"))}
        node.problem = damage(output)
        source = output.manifest.ref.name
        for pool in self.study.pools.values():
            if pool.source == source:
                node.add(self._answers(pool.name, query_id, response_id))
        for dataset in self.study.datasets:
            node.add(self._in_set(dataset, query_id, response_id))
        if not any(child.title.startswith("datasets/") for child in node.children):
            node.add(Node("training sets", "group", {"note": "in no set that is made"}))
        return node

    def item(self, item_id: str, unread: list[Node]) -> Node | None:
        """From a benchmark's item: the scores that it is part of. None where no benchmark holds it."""
        for benchmark in self.study.benchmarks.values():
            locked = [f"benchmarks/{benchmark.name}"]
            for output, row in self._find(locked, "items.parquet", "item_id", item_id, unread):
                node = Node(f"item {item_id}", "row", {"benchmark": output.manifest.asset, "position": row["position"]})
                node.problem = damage(output)
                if not benchmark.sensitive:
                    node.facts |= {"question": row["question"], "gold": row["gold"]}
                node.facts["file"] = str(output.file("items.parquet"))
                return node.add(*self._scores_with(benchmark.name, item_id))
        return None

    def output(self, ref: Ref) -> Node:
        """From an output: what was made from it, step by step up to the scores."""
        node, output = current_node(self.store, ref)
        if output is None:
            return node
        below: dict[str, list[str]] = defaultdict(list)
        for key in asset_keys(self.study):
            for upstream in asset_inputs(self.study, key):
                below[upstream].append(key)
        return self._add_users(node, [output], below, {})

    def _outputs(self, asset: str, broken: list[Node]) -> list[Output]:
        """Current outputs of every partition of an asset; those that are damaged become nodes of `broken`."""
        return _current(
            self.store, [Ref(asset, partition) for partition in partitions_of(self.study, asset) or ("",)], broken
        )

    def _find(
        self, assets: Iterable[str], file: str, column: str, value: str, broken: list[Node]
    ) -> list[tuple[Output, dict[str, Any]]]:
        """Rows of one value in a file that many outputs have; a file that cannot be read becomes a node of `broken`."""
        import duckdb

        outputs = [output for asset in assets for output in self._outputs(asset, broken)]
        paths = {str(output.folder / file): output for output in outputs if (output.folder / file).is_file()}
        try:
            return _select(paths, column, value)
        except duckdb.Error:
            pass  # one of the files: find it by reading each
        rows = []
        for path, output in paths.items():
            try:
                rows += _select({path: output}, column, value)
            except duckdb.Error as error:
                problem = f"{path} cannot be read ({str(error).splitlines()[0]}); materialize it again with --force"
                broken.append(Node(str(output.manifest.ref), "missing", problem=problem))
        return rows

    def _answers(self, pool: str, query_id: str, response_id: str) -> Node | None:
        broken: list[Node] = []
        answers = self._find([f"responses/{pool}"], "responses.parquet", "query_id", query_id, broken)
        judged = self._find([f"verdicts/{pool}"], "verdicts.parquet", "query_id", query_id, broken)
        verdicts = {row["response_id"]: row for _, row in judged}
        for output in {str(o.folder): o for o, _ in (*answers, *judged)}.values():
            if problem := damage(output):
                broken.append(Node(str(output.manifest.ref), problem=problem))
        node = Node(f"responses/{pool}", "group", {"responses": len(answers)})
        for output, row in sorted(answers, key=lambda pair: pair[1]["sample"]):
            if response_id and row["response_id"] != response_id:
                continue
            verdict = verdicts.get(row["response_id"])
            response = Node(f"response {row['response_id']}", "text")
            response.facts = {
                "verdict": verdict["verdict"] if verdict else "not judged yet",
                "extracted": verdict["extracted"] if verdict else None,
                "reason": verdict["reason"] if verdict else None,
                "seed": row["seed"],
                "tokens": row["response_tokens"],
                "finish": row["finish_reason"],
                "engine": row["engine"],
                "text": row["text"],
                "file": str(output.file("responses.parquet")),
            }
            node.add(response)
        return node.add(*broken) if answers or broken else None

    def _in_set(self, dataset: str, query_id: str, response_id: str) -> Node | None:
        broken: list[Node] = []
        for output, row in self._find([f"datasets/{dataset}"], "examples.parquet", "query_id", query_id, broken):
            if response_id and row["response_id"] != response_id:
                continue
            node = Node(f"datasets/{dataset} row {row['row']}", "row", {"response": row["response_id"]}, damage(output))
            node.facts |= {"verdict": row["verdict"], "file": str(output.file("examples.parquet"))}
            runs = [run for run in self.study.runs.values() if run.dataset == dataset]
            return node.add(*(self._in_run(run, query_id) for run in runs))
        return broken[0] if broken else None

    def _in_run(self, run: Run, query_id: str) -> Node | None:
        """When a run read the query, and which of its kept checkpoints and scores come after."""
        broken: list[Node] = []
        trained = [checkpoint_ref(run, step) for step in self.study.steps_of(run) if step]
        made = {output.manifest.ref.step: output for output in _current(self.store, trained, broken)}
        node = Node(f"run {run.name}", "group").add(*broken)
        if not made:
            return node if broken else None
        # Each checkpoint's file holds all steps before it, so the last is enough.
        last = made[max(made)]
        if not last.has("seen.parquet"):
            node.facts = {"note": "adopted: the rows that it read are not published"}
            return node
        try:
            seen = read_rows(last.file("seen.parquet"), columns=["step"], where=[("query_id", "=", query_id)])
        except StepError as error:
            return node.add(Node(str(last.manifest.ref), "missing", problem=str(error)))
        steps = sorted(row["step"] for row in seen)
        if not steps:
            node.facts = {"note": f"not read by step {max(made)}"}
            return node
        after = [step for step in made if step >= steps[0]]
        node.facts = {"read at steps": steps, "checkpoints after": after}
        scored: dict[str, list[int]] = defaultdict(list)
        for step in after:
            for benchmark in self.study.benchmarks_of(run.model):
                if self.store.exists(score_ref(run, step, benchmark.name)):
                    scored[benchmark.name].append(step)
        for name, at in scored.items():
            node.add(Node(f"scores/{run.model}/{name}", "group", {"at steps": at}))
        return node

    def _scores_with(self, benchmark: str, item_id: str) -> list[Node]:
        nodes: list[Node] = []
        for model in self.study.models:
            key = f"scores/{model}/{benchmark}"
            broken: list[Node] = []
            rows = self._find([key], "graded.parquet", "item_id", item_id, broken)
            by_run: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
            for output in {str(output.folder): output for output, _ in rows}.values():
                if problem := damage(output):
                    broken.append(Node(str(output.manifest.ref), problem=problem))
            damaged = {node.title for node in broken}
            for output, row in rows:
                if row["value"] is not None and str(output.manifest.ref) not in damaged:
                    ref = output.manifest.ref
                    by_run[f"{ref.run} {row['grader']} {row['metric']}"][ref.step].append(row["value"])
            for run, steps in sorted(by_run.items()):
                means = {step: sum(values) / len(values) for step, values in sorted(steps.items())}
                nodes.append(Node(f"{key} {run}", "rows", {"value by step": means}))
            nodes += broken
        return nodes

    def _add_users(
        self,
        node: Node,
        used: list[Output],
        below: dict[str, list[str]],
        shown: dict[tuple[str, ...], str],
    ) -> Node:
        """Add to `node` what was made from any of `used`, asset by asset."""
        digests = {(o.manifest.asset, o.manifest.partition): o.digest for o in used}
        for key in below.get(used[0].manifest.asset, ()):
            broken: list[Node] = []
            users = [
                output
                for output in self._outputs(key, broken)
                if any((i.asset, i.partition) in digests for i in output.manifest.inputs)
            ]
            # An asset is reached once for each of its inputs; damage in it is shown once.
            node.add(*(one for one in broken if ("broken", one.title) not in shown))
            shown |= {("broken", one.title): key for one in broken}
            if not users:
                continue
            again = tuple(str(o.manifest.ref) for o in users)
            if again in shown:
                node.add(Node(key, "group", {"note": "shown above"}))
                continue
            shown[again] = key
            node.add(self._add_users(_users_node(key, users, digests), users, below, shown))
        return node


def _current(store: Store, refs: Iterable[Ref], broken: list[Node]) -> list[Output]:
    outputs = []
    for ref in refs:
        try:
            output = store.current(ref)
        except StepError as error:
            broken.append(Node(str(ref), "missing", problem=str(error)))
            continue
        if output is not None:
            outputs.append(output)
    return outputs


def _select(paths: dict[str, Output], column: str, value: str) -> list[tuple[Output, dict[str, Any]]]:
    import duckdb

    if not paths:
        return []
    with duckdb.connect(config={"threads": 2}) as db:
        cursor = db.execute(
            f"SELECT * FROM read_parquet($paths, filename = 'path_of_file') WHERE \"{column}\" = $value",
            {"paths": list(paths), "value": value},
        )
        names = [description[0] for description in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [(paths[row.pop("path_of_file")], row) for row in rows]


def _users_node(key: str, users: list[Output], digests: dict[tuple[str, str], str]) -> Node:
    stale = [
        output.manifest.partition or key
        for output in users
        if any(digests.get((i.asset, i.partition), i.digest) != i.digest for i in output.manifest.inputs)
    ]
    if len(users) == 1:
        node = output_node(users[0])
    else:
        shown = ", ".join(output.manifest.partition for output in users[:_SHOWN])
        node = Node(key, "group", {"outputs": len(users)})
        node.facts["partitions"] = shown + (" …" if len(users) > _SHOWN else "")
    if stale:
        node.facts["made from another version of it"] = stale
    return node
