"""Generation: exactly n samples a query, none twice, whatever is killed when."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.responses import Teacher
from rsft_assets.steps.queries.fetch import fetch_queries
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.responses.generate import generate
from rsft_assets.steps.responses.shard import JOURNAL
from rsft_assets_tests.steps.data_study import SOURCE, pool, rows_of, study
from rsft_assets_tests.steps.engines.rude_server import rude_server

QUERIES = Ref("queries/sums")
SHARDS = [Ref("responses/pool", "0"), Ref("responses/pool", "1")]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def data_only(**tables):
    return study(**{"datasets": (), "benchmarks": (), **tables})


def made(small, store, refs=SHARDS, **options):
    fetch_queries(small, store, QUERIES)
    return generate(small, store, list(refs), **options)


def test_every_query_gets_n_samples_over_all_shards(store):
    outputs = made(data_only(), store)
    rows = [row for output in outputs for row in rows_of(output, "responses.parquet")]
    queries = {row["query_id"] for row in rows_of(store.require(QUERIES), "queries.parquet")}
    assert Counter(row["query_id"] for row in rows) == dict.fromkeys(queries, 3)
    assert len({row["response_id"] for row in rows}) == len(rows) == 180
    assert len({row["seed"] for row in rows}) == 180


def test_texts_do_not_depend_on_the_number_of_shards(tmp_path):
    def texts(shards):
        home = Store(tmp_path / str(shards))
        small = data_only(pools=(pool(shards),))
        outputs = made(small, home, [Ref("responses/pool", key) for key in small.pools["pool"].shard_keys])
        return {row["response_id"]: row["text"] for o in outputs for row in rows_of(o, "responses.parquet")}

    assert texts(1) == texts(7)


def test_truth_stands_in_the_counts_and_in_no_row(store):
    (output, _) = made(data_only(), store)
    assert output.stats["truth"]["unnoticed-slip"] > 0
    assert sum(output.stats["truth"].values()) == output.stats["rows"] == 90
    assert "truth" not in rows_of(output, "responses.parquet")[0]


def test_what_an_earlier_try_had_is_not_asked_for_again(store, monkeypatch):
    small = data_only()
    expected = made(small, store)[0]
    journal = store.home / "again"
    asked = []
    from rsft_assets.steps.responses import teaching

    original = teaching.ProceduralTeaching.answers

    def stop_after_20(self, samples):
        for number, row in enumerate(original(self, samples)):
            if number == 20:
                raise StepError("stopped")
            asked.append(row["response_id"])
            yield row

    other = Store(journal)
    fetch_queries(small, other, QUERIES)
    monkeypatch.setattr(teaching.ProceduralTeaching, "answers", stop_after_20)
    for _ in range(4):
        with pytest.raises(StepError, match="stopped"):
            generate(small, other, SHARDS[:1])
        part = next(other.home.rglob(JOURNAL))
        part.write_bytes(part.read_bytes() + b'{"response_id": "half a li')
    monkeypatch.undo()
    output = generate(small, other, SHARDS[:1])[0]
    assert len(set(asked)) == len(asked) == 80
    assert output.digest == expected.digest


def test_finished_shards_are_kept_and_a_forced_one_is_the_same(store):
    small = data_only()
    first = made(small, store)
    assert [o.folder for o in generate(small, store, SHARDS)] == [o.folder for o in first]
    forced = generate(small, store, SHARDS[:1], force=True)[0]
    assert forced.folder != first[0].folder
    assert forced.digest == first[0].digest


def test_a_lost_answer_is_an_error_and_the_rest_is_kept(store, monkeypatch):
    from rsft_assets.steps.responses import teaching

    original = teaching.ProceduralTeaching.answers
    monkeypatch.setattr(
        teaching.ProceduralTeaching, "answers", lambda self, asked: (r for r in original(self, asked) if r["sample"])
    )
    with pytest.raises(StepError, match="30 of 90 responses did not come back"):
        made(data_only(), store)
    monkeypatch.undo()
    assert made(data_only(), store)[0].stats["rows"] == 90


@pytest.fixture
def served_pool(tmp_path, monkeypatch):
    """A study whose teacher is held by a server of this machine, and that server."""

    def answer(path, body):
        message = {"content": f"<think>\nhm\n</think>\n\n\\boxed{{{body['seed']}}}"}
        reason = "length" if body["seed"] % 3 == 0 else "stop"
        usage = {"prompt_tokens": 9, "completion_tokens": 4}
        return {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}

    with rude_server(answer) as server:
        placement = tmp_path / "placement.toml"
        placement.write_text(f'[models.afar]\nengine = "endpoint"\nendpoint = "{server.url}"\n')
        monkeypatch.setenv("RSFT_PLACEMENT", str(placement))
        teacher = Teacher(name="afar", origin=Hub(repo="served-model", revision="0" * 40))
        yield data_only(pools=(replace(pool(), teacher=teacher),)), server


def test_a_served_teacher_draws_each_sample_with_its_own_seed(served_pool, store, caplog):
    small, server = served_pool
    server.script.extend([429, "half", "nonsense", 503])
    with caplog.at_level("INFO"):
        outputs = made(small, store)
    assert "the first prompt, which the server puts into its own chat template:\nWhat is" in caplog.text
    rows = [row for output in outputs for row in rows_of(output, "responses.parquet")]
    asked = {body["messages"][0]["content"] for _, body in server.seen}
    assert asked == {row["prompt"] for row in rows_of(store.require(QUERIES), "queries.parquet")}
    assert len({row["response_id"] for row in rows}) == len(rows) == 180
    assert all(f"boxed{{{row['seed']}}}" in row["text"] for row in rows)
    assert {(row["prompt_tokens"], row["response_tokens"]) for row in rows} == {(9, 4)}
    assert all(row["finish_reason"] == ("length" if row["seed"] % 3 == 0 else "stop") for row in rows)
    assert outputs[0].manifest.made_by["teacher"]["model"] == "served-model"
    assert all(output.stats["tokens_per_second"] > 0 for output in outputs)


def test_a_server_that_refuses_costs_nothing_that_it_had_answered(served_pool, store):
    small, server = served_pool
    server.script.extend([None] * 70 + [401] * 200)
    with pytest.raises(StepError, match="401"):
        made(small, store)
    journals = [path.read_text() for path in store.home.rglob(JOURNAL)]
    kept = {json.loads(line)["seed"] for text in journals for line in text.splitlines()}
    server.script.clear()
    server.seen.clear()
    assert sum(output.stats["rows"] for output in made(small, store)) == 180
    assert len(kept) > 5
    assert not kept & {body["seed"] for _, body in server.seen}


def test_unknown_procedure_is_named(store):
    teacher = Teacher(name="procedural", origin=Generator(name="worked-sum", seed=1, count=1))
    small = data_only(pools=(replace(pool(), teacher=teacher),))
    with pytest.raises(Exception, match="worked-steps"):
        made(small, store)


def test_source_is_the_one_declared(store):
    assert SOURCE.origin.count == 60
    assert made(data_only(), store)[0].stats["queries"] == 30
