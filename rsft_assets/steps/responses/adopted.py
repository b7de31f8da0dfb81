"""Published responses taken over as a pool: rows of a data set in, `responses.parquet` out.

The layout is LUFFY's: `prompt` and `target` are chat turns, `reward_model.ground_truth` the answer. A row
belongs to the query whose question its last user turn holds; the others are counted. A teacher's own
`question`/`response` columns are read too.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.responses import Pool
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.hub import dataset_rows, where_from
from rsft_assets.steps.records.ids import normalised
from rsft_assets.steps.records.rows import RowWriter, read_rows
from rsft_assets.steps.records.store import Build
from rsft_assets.steps.responses.teaching import Asked, response_row


def adopt_responses(build: Build, pool: Pool) -> dict[str, Any]:
    """Write the responses that answer this shard's queries; counts of what was matched."""
    assert pool.adopted is not None
    build.origin, build.adopted_from = "adopted", {"repo": pool.adopted.repo, "revision": pool.adopted.revision}
    shard = pool.shard_keys.index(build.identity.ref.partition)
    path = build.input(f"queries/{pool.source}").file("queries.parquet")
    ids: dict[str, str] = {}
    for number, query in enumerate(read_rows(path, ["query_id", "question"])):
        if number % pool.shards == shard:
            ids[normalised(query["question"])] = query["query_id"]
    samples: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    progress = Progress(str(build.identity.ref), 0, "rows")
    with RowWriter(build.folder / "responses.parquet", "responses") as rows:
        for number, row in enumerate(dataset_rows(pool.adopted)):
            question, text = read_adopted(row, f"{pool.adopted.repo}, row {number}")
            counts["read"] += 1
            progress.step()
            query_id = ids.get(normalised(question))
            if query_id is None or not text:
                counts["empty" if query_id else "no-such-query"] += 1
                continue
            if samples[query_id] >= pool.sampling.n:
                counts["more-than-n"] += 1
                continue
            sample = samples[query_id]
            one = Asked(f"{query_id}-{sample}", sample, {"query_id": query_id})
            rows.add(response_row(one, 0, text, f"adopted:{where_from(pool.adopted)}"))
            samples[query_id] += 1
    if not rows.rows:
        raise StepError(
            f"{build.identity.ref}: none of {counts['read']} rows of {pool.adopted.repo} answers a query of "
            f"queries/{pool.source}; are they the same problems?"
        )
    return {"rows": rows.rows, "queries": len(samples), "left_out": {k: v for k, v in counts.items() if k != "read"}}


def read_adopted(row: Mapping[str, Any], where: str) -> tuple[str, str]:
    """(question, response) of a published row; the response opens its thinking, as our responses do."""
    if "prompt" in row and "target" in row:
        question, text = _last_turn(row["prompt"], "user"), _last_turn(row["target"], "assistant")
    elif "question" in row and "response" in row:
        question, text = row["question"] or "", row["response"] or ""
    else:
        raise StepError(
            f"{where}: columns {', '.join(sorted(row))}; prompt and target, or question and response, needed"
        )
    # Some publishers leave the opening tag to the chat template of their teacher.
    if "</think>" in text and "<think>" not in text:
        text = f"<think>\n{text}"
    return question, text


def _last_turn(turns: Any, role: str) -> str:
    if isinstance(turns, str):
        return turns
    said = [turn["content"] for turn in turns or () if turn.get("role") == role]
    return said[-1] or "" if said else ""
