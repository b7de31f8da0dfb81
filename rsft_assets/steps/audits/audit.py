"""Audit the verifier on a pool: verdicts beside a second opinion and other configurations; facts in `stats`.

    python -m rsft_assets.steps.audits.audit audits/nano-math_procedural_n4

A seeded sample of queries is taken with all their responses. Each response gets an independent second
opinion and is judged again under other configurations; a procedural teacher is asked again what it did,
so that verdicts can be compared with the truth. No text is generated. `disagreements.jsonl` lists what a person
should look at.
"""

import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rsft_assets.specs.hub import Generator
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import load_placement
from rsft_assets.specs.responses import Pool
from rsft_assets.specs.study import Study
from rsft_assets.steps.audits.estimates import share
from rsft_assets.steps.audits.second_opinion import last_box, plain, second_opinion
from rsft_assets.steps.nano.teacher import procedure
from rsft_assets.steps.processes.events import Progress
from rsft_assets.steps.records.ids import rank
from rsft_assets.steps.records.rows import read_rows
from rsft_assets.steps.records.stage import run_stage
from rsft_assets.steps.records.store import Build, Output, Store
from rsft_assets.steps.verdicts.verifier.verifier import VERIFIER_CONFIG, Answer, Verifier

SAMPLED_QUERIES = 300
SEED = 0
_LISTED = 200


def audit(study: Study, store: Store, ref: Ref, *, force: bool = False) -> Output:
    """Make the audit of one pool, or find it made."""
    pool: Pool = study.get("pools", ref.name)
    with store.build(study, ref, force=force, seed=SEED, verifier=VERIFIER_CONFIG) as build:
        if build.finished is None:
            build.publish(stats=_audit(build, pool))
    return build.output


def _audit(build: Build, pool: Pool) -> dict[str, Any]:
    mix: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    sampled = list(_sample(build, pool, mix, reasons))
    _judge_whole(sampled)
    truth = _truth_of(pool)
    for row in sampled:
        row["second"] = second_opinion(row["gold"], row["text"], row["kind"])
        row["truth"] = truth(row) if truth else None
    _list_disagreements(build, sampled)
    return {
        "rows": len(sampled),
        "sampled_queries": len({row["query_id"] for row in sampled}),
        "verdicts": dict(sorted(mix.items())),
        "reasons": dict(sorted(reasons.items())),
        "second_opinion": _second_stats(sampled),
        "truth": _truth_stats(sampled) if truth else None,
        "other_configurations": _other_configurations(sampled),
    }


def _sample(build: Build, pool: Pool, mix: Counter[str], reasons: Counter[str]) -> Iterator[dict[str, Any]]:
    """All responses of the sampled queries with their verdicts; `mix` and `reasons` count the whole pool."""
    columns = ["query_id", "gold", "kind", "fields"]
    path = build.input(f"queries/{pool.source}").file("queries.parquet")
    queries = sorted(read_rows(path, columns), key=lambda query: rank(SEED, "audit", query["query_id"]))
    wanted = {query["query_id"]: query for query in queries[:SAMPLED_QUERIES]}
    progress = Progress(str(build.identity.ref), pool.shards, "shards")
    for key in pool.shard_keys:
        responses = build.input(f"responses/{pool.name}", key).file("responses.parquet")
        verdicts = build.input(f"verdicts/{pool.name}", key).file("verdicts.parquet")
        judged = read_rows(verdicts, ["response_id", "verdict", "reason", "extracted"])
        texts = read_rows(responses, ["query_id", "text", "finish_reason", "seed"])
        for verdict, response in zip(judged, texts, strict=True):
            mix[verdict["verdict"]] += 1
            reasons[verdict["reason"]] += 1
            if response["query_id"] in wanted:
                yield {**wanted[response["query_id"]], **response, **verdict}
        progress.step()


def _judge_whole(sampled: list[dict[str, Any]]) -> None:
    """The verdict that the whole text would get, thinking included."""
    answers = (
        Answer(row["response_id"], row["gold"], row["text"], row["kind"], "whole", row["finish_reason"])
        for row in sampled
    )
    with Verifier(workers=load_placement().workers) as verifier:
        for row, judgement in zip(sampled, verifier.judge(answers), strict=True):
            row["whole"] = judgement.verdict


def _truth_of(pool: Pool) -> Any:
    """For a procedural teacher: row -> what the procedure says it did; None for any other teacher."""
    origin = pool.teacher.origin
    if pool.adopted or not isinstance(origin, Generator):
        return None
    answer = procedure(origin.name, **dict(origin.options))

    def truth(row: dict[str, Any]) -> str:
        worked = answer(json.loads(row["fields"]), random.Random(f"{origin.seed} {row['seed']}"))
        return worked.truth if worked.text == row["text"] else "another-text"

    return truth


def _by_query(sampled: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sampled:
        groups[row["query_id"]].append(row)
    return list(groups.values())


def _second_stats(sampled: list[dict[str, Any]]) -> dict[str, Any]:
    """How often the second opinion contradicts a verdict, among what it can decide."""

    def contradicted(verdict: str, opinion: str) -> dict[str, Any]:
        decided = [[r for r in rows if r["verdict"] == verdict and r["second"] != "unknown"] for rows in queries]
        return share((sum(r["second"] == opinion for r in rows), len(rows)) for rows in decided)

    queries = _by_query(sampled)
    return {
        "opinions": dict(sorted(Counter(f"{row['verdict']}/{row['second']}" for row in sampled).items())),
        "undecided": share((sum(r["second"] == "unknown" for r in rows), len(rows)) for rows in queries),
        "correct_but_different": contradicted("correct", "different"),
        "wrong_but_same": contradicted("wrong", "same"),
    }


def _truth_stats(sampled: list[dict[str, Any]]) -> dict[str, Any]:
    """Verdicts against what the teacher did: an answer with an error must be wrong, everything else correct."""
    queries = _by_query(sampled)
    wrong = [[r for r in rows if r["truth"] in ("unnoticed-slip", "habit")] for rows in queries]
    right = [[r for r in rows if r["truth"] in ("right", "no-box")] for rows in queries]
    return {
        "verdicts": dict(sorted(Counter(f"{row['truth']}/{row['verdict']}" for row in sampled).items())),
        "false_positives": share((sum(r["verdict"] == "correct" for r in rows), len(rows)) for rows in wrong),
        "false_negatives": share((sum(r["verdict"] != "correct" for r in rows), len(rows)) for rows in right),
    }


def _other_configurations(sampled: list[dict[str, Any]]) -> dict[str, Any]:
    """What a set of one correct response per query would gain or lose if verdicts were made another way."""
    others: dict[str, Callable[[dict[str, Any]], bool]] = {
        "whole-text": lambda row: row["whole"] == "correct",
        "boxed-only": lambda row: row["verdict"] == "correct" and _box(row) is not None,
    }
    if all(row["kind"] == "math" for row in sampled):
        others["same-text"] = lambda row: plain(_box(row) or "") == plain(row["gold"])
    queries = _by_query(sampled)
    results = {}
    for name, accepts in others.items():
        pairs = [[(row["verdict"] == "correct", accepts(row)) for row in rows] for rows in queries]
        any_pairs = [(any(now for now, _ in rows), any(then for _, then in rows)) for rows in pairs]
        results[name] = {
            "responses_gained": share((sum(then > now for now, then in rows), len(rows)) for rows in pairs),
            "responses_lost": share((sum(now > then for now, then in rows), len(rows)) for rows in pairs),
            "queries_gained": share((then > now, 1) for now, then in any_pairs),
            "queries_lost": share((now > then, 1) for now, then in any_pairs),
        }
    return results


def _box(row: dict[str, Any]) -> str | None:
    return last_box(row["text"].rpartition("</think>")[2])


def _list_disagreements(build: Build, sampled: list[dict[str, Any]]) -> None:
    names = ("response_id", "query_id", "gold", "extracted", "verdict", "reason", "second", "whole", "truth")
    odd = (row for row in sampled if _odd(row))
    lines = (json.dumps({name: row[name] for name in names}) + "\n" for row in itertools.islice(odd, _LISTED))
    (build.folder / "disagreements.jsonl").write_text("".join(lines), encoding="utf-8")


def _odd(row: dict[str, Any]) -> bool:
    """Whether two ways of judging disagree about a response."""
    correct = row["verdict"] == "correct"
    against_second: bool = row["second"] == ("different" if correct else "same")
    return against_second or correct is not (row["whole"] == "correct")


if __name__ == "__main__":
    run_stage(audit, __doc__)
