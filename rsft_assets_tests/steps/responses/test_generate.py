"""Generation: exactly n samples a query, none twice, whatever is killed when."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.queries import BOXED_INSTRUCTION
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.study_file import read_study_file
from rsft_assets.steps.queries.fetch import fetch_queries
from rsft_assets.steps.records.hub import dataset_rows
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.responses import adopted
from rsft_assets.steps.responses.generate import generate
from rsft_assets.steps.responses.shard import JOURNAL
from rsft_assets_tests.steps.data_study import SOURCE, TEACHER, mirror_parquet, pool, rows_of, study
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


def test_a_server_that_refuses_costs_nothing_that_it_had_answered(served_pool, store):
    small, server = served_pool
    server.script.extend([None] * 70 + [401] * 200)
    with pytest.raises(StepError, match="401"):
        made(small, store)
    kept = {json.loads(line)["seed"] for line in next(store.home.rglob(JOURNAL)).read_text().splitlines()}
    server.script.clear()
    server.seen.clear()
    assert sum(output.stats["rows"] for output in made(small, store)) == 180
    assert len(kept) > 5
    assert not kept & {body["seed"] for _, body in server.seen}


LUFFY = Hub(repo="owner/luffy", kind="dataset", split="train")
ADOPTED = Pool(name="pool", source="sums", teacher=TEACHER, sampling=Sampling(n=1), adopted=LUFFY)


def luffy_row(question, response, gold="1"):
    return {
        "data_source": "math",
        "prompt": [{"role": "system", "content": "Think."}, {"role": "user", "content": question}],
        "target": [{"role": "assistant", "content": response}],
        "reward_model": {"ground_truth": gold, "style": "rule"},
        "extra_info": {"index": 0, "split": "train"},
    }


def test_published_responses_are_taken_over_by_question(store, tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    small = data_only(pools=(ADOPTED,))
    fetch_queries(small, store, QUERIES)
    questions = [row["question"] for row in rows_of(store.require(QUERIES), "queries.parquet")]
    rows = [
        luffy_row(questions[3].upper(), "<think>\na\n</think>\n\n1"),
        luffy_row(questions[1], "b\n</think>\n\n2"),
        luffy_row(questions[1], "<think>\nagain\n</think>\n\n2"),
        luffy_row("A question of another set?", "<think>\nc\n</think>\n\n3"),
        luffy_row(questions[2], ""),
    ]
    mirror_parquet(tmp_path / "mirror", LUFFY.repo, "data/train-00000-of-00001.parquet", rows)
    (output,) = generate(small, store, [Ref("responses/pool", "0")])
    assert [row["text"] for row in rows_of(output, "responses.parquet")] == [
        "<think>\na\n</think>\n\n1",
        "<think>\nb\n</think>\n\n2",
    ]
    assert output.stats["left_out"] == {"more-than-n": 1, "no-such-query": 1, "empty": 1}
    assert (output.manifest.origin, output.manifest.adopted_from["repo"]) == ("adopted", LUFFY.repo)


def test_a_published_pool_row_by_row_in_one_pass(store, tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    theirs = Hub(repo="owner/pool", kind="dataset", columns=(("response", "output"),))
    small = data_only(pools=(replace(ADOPTED, shards=2, adopted=theirs, sampling=Sampling(n=2)),))
    fetch_queries(small, store, QUERIES)
    queries = rows_of(store.require(QUERIES), "queries.parquet")[:4]
    rows = [
        {
            "message": [{"role": "user", "content": query["question"] + BOXED_INSTRUCTION}],
            "output": f"<think>\n{sample}\n</think>\n\n{query['gold']}",
            "logprobs": [-1.0, -0.5 * sample],
        }
        for query in queries
        for sample in range(2)
    ]
    mirror_parquet(tmp_path / "mirror", "owner/pool", "data/train-00000-of-00001.parquet", rows)
    reads = []
    monkeypatch.setattr(adopted, "dataset_rows", lambda hub: reads.append(hub) or dataset_rows(hub))
    outputs = generate(small, store, [Ref("responses/pool", "0"), Ref("responses/pool", "1")])
    assert len(reads) == 1
    found = [row for output in outputs for row in rows_of(output, "responses.parquet")]
    by_place = [queries[place]["query_id"] for place in (0, 0, 2, 2, 1, 1, 3, 3)]
    assert [row["query_id"] for row in found] == by_place
    assert [row["mean_logprob"] for row in found] == [-0.5, -0.75] * 4
    assert [output.stats["queries"] for output in outputs] == [2, 2]


@pytest.mark.parametrize(
    ("columns", "mean"),
    [
        ({"num_logprobs": [3.0], "logprobs": [-1.0, None, -2.0]}, -1.5),
        ({"logprobs": [[{"token": "a", "logprob": -1.0}]]}, None),
        ({"logprobs": [-1.0, float("nan")]}, None),
        ({"mean_logprob": -0.25}, -0.25),
    ],
)
def test_the_mean_log_probability_of_what_was_published(columns, mean):
    assert adopted.read_adopted({"question": "1+1?", "response": "2", **columns}, "row 0", "") == [("1+1?", "2", mean)]


USER, SAID = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ({"message": [USER], "response": "2", "advantage": 1.0, "entropy": [0.1]}, ["2"]),
        ({"query": "1+1?", "answer": "2", "completion": "2"}, ["2"]),
        ({"messages": [USER], "output": [SAID]}, ["2"]),
        ({"prompt": "1+1?", "responses": ["2", "3"]}, ["2", "3"]),
        ({"question": "1+1?", "generations": [[SAID], [SAID]]}, ["2", "2"]),
        ({"instruction": "1+1?", "input": "", "outputs": ["x</think>2"]}, ["<think>\nx</think>2"]),
        ({"question": "1+1?", "response": None}, [""]),
    ],
)
def test_names_and_shapes_that_publishers_use(row, texts):
    assert [(question, text) for question, text, _ in adopted.read_adopted(row, "row 0", "")] == [
        ("1+1?", text) for text in texts
    ]


@pytest.mark.parametrize("logprobs", [[[-1.0, -2.0], [-3.0]], [-1.5, -3.0]])
def test_log_probabilities_of_several_responses_in_a_row(logprobs):
    row = {"question": "1+1?", "responses": ["2", "3"], "token_logprobs": logprobs}
    assert [mean for _, _, mean in adopted.read_adopted(row, "row 0", "")] == [-1.5, -3.0]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (
            {"prompt": ["1+1?"], "response": "2"},
            "no question found in its columns: prompt (list of text), response (text)",
        ),
        ({"question": "1+1?", "reply": 3}, "no response found in its columns: question (text), reply (number)"),
        ({"a": [], "b": None}, "no question and no response found in its columns: a (empty list), b (nothing)"),
    ],
)
def test_columns_that_are_not_understood_are_named_with_the_remedy(row, found):
    with pytest.raises(StepError) as caught:
        adopted.read_adopted(row, "row 0", '[adopt_pools."pool"]')
    words = str(caught.value)
    assert words.startswith(f"row 0: {found}; looked for a question in question, problem, prompt")
    assert words.endswith('[adopt_pools."pool"] columns = { question = "…", response = "…" }')


def test_columns_named_in_a_study_file_are_read(store, tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "study.toml").write_text(
        '[adopt_pools."openr1-math_qwen3-32b_n32"]\ncolumns = { question = "q", response = "r" }\n'
    )
    hub = read_study_file(tmp_path / "study.toml").adopt_pools["openr1-math_qwen3-32b_n32"]
    assert hub["columns"] == (("question", "q"), ("response", "r"))
    small = data_only(pools=(replace(ADOPTED, adopted=replace(LUFFY, **hub)),))
    fetch_queries(small, store, QUERIES)
    question = rows_of(store.require(QUERIES), "queries.parquet")[0]["question"]
    mirror_parquet(tmp_path / "mirror", LUFFY.repo, "train.parquet", [{"q": question, "r": "theirs", "question": "?"}])
    (output,) = generate(small, store, [Ref("responses/pool", "0")])
    assert [row["text"] for row in rows_of(output, "responses.parquet")] == ["theirs"]


def test_published_responses_to_other_questions_are_refused(store, tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    mirror_parquet(tmp_path / "mirror", LUFFY.repo, "train.parquet", [luffy_row("Else?", "x")])
    small = data_only(pools=(ADOPTED,))
    with pytest.raises(StepError, match=r"none of 1 rows of owner/luffy.*read as 'Else\?'.*columns = "):
        made(small, store, [Ref("responses/pool", "0")])


def test_unknown_procedure_is_named(store):
    teacher = Teacher(name="procedural", origin=Generator(name="worked-sum", seed=1, count=1))
    small = data_only(pools=(replace(pool(), teacher=teacher),))
    with pytest.raises(Exception, match="worked-steps"):
        made(small, store)


def test_source_is_the_one_declared(store):
    assert SOURCE.origin.count == 60
    assert made(data_only(), store)[0].stats["queries"] == 30
