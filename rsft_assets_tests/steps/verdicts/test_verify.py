"""Verdicts of a pool: one for every response, the same after any interruption."""

import json

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.queries.fetch import fetch_queries
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.responses.generate import generate
from rsft_assets.steps.verdicts import verify as verify_step
from rsft_assets.steps.verdicts.verify import verify
from rsft_assets_tests.steps.data_study import rows_of, study

pytestmark = pytest.mark.usefixtures("quick_verifier")

SHARDS = [Ref("verdicts/pool", "0"), Ref("verdicts/pool", "1")]


@pytest.fixture
def small():
    return study(datasets=(), benchmarks=())


@pytest.fixture
def store(small, tmp_path):
    store = Store(tmp_path)
    fetch_queries(small, store, Ref("queries/sums"))
    generate(small, store, [Ref("responses/pool", ref.partition) for ref in SHARDS])
    return store


def test_every_response_has_a_verdict_that_the_truth_explains(small, store):
    for ref, output in zip(SHARDS, verify(small, store, SHARDS), strict=True):
        responses = store.require(Ref("responses/pool", ref.partition))
        verdicts = rows_of(output, "verdicts.parquet")
        asked = [row["response_id"] for row in rows_of(responses, "responses.parquet")]
        assert [row["response_id"] for row in verdicts] == asked
        assert output.stats["verdicts"]["wrong"] == responses.stats["truth"]["unnoticed-slip"] > 0
        assert sum(output.stats["reasons"].values()) == output.stats["rows"] == 90
        assert output.manifest.made_by["verifier"]["limits"]["seconds"] > 0


def test_verdicts_of_an_earlier_try_are_not_judged_again(small, store):
    responses = rows_of(store.require(Ref("responses/pool", "0")), "responses.parquet")
    with store.build(small, SHARDS[0]) as build:  # a try that was killed after 50 verdicts
        lines = [
            {"id": row["response_id"], "verdict": "undecided", "extracted": None, "reason": "time", "seconds": 7.0}
            for row in responses[:50]
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (build.folder / verify_step.JOURNAL).write_text(text + '{"id": "half')
    (output,) = verify(small, store, SHARDS[:1])
    rows = rows_of(output, "verdicts.parquet")
    assert [row["seconds"] == 7.0 for row in rows] == [True] * 50 + [False] * 40
    assert output.stats["verdicts"]["undecided"] == 50


def test_a_response_to_an_unknown_query_is_an_error(small, store, monkeypatch):
    monkeypatch.setattr(verify_step, "read_rows", lambda path, columns: iter(_without_queries(path, columns)))
    with pytest.raises(StepError, match="answers a query that is not in the source"):
        verify(small, store, SHARDS[:1])


def _without_queries(path, columns):
    from rsft_assets.steps.records.rows import read_rows

    return [] if path.name == "queries.parquet" else read_rows(path, columns)
