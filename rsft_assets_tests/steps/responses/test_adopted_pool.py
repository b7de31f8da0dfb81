"""Published responses taken over as a pool: by question, in the names and shapes that publishers use."""

from dataclasses import replace

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.queries import BOXED_INSTRUCTION
from rsft_assets.specs.responses import Pool, Sampling
from rsft_assets.specs.study_file import read_study_file
from rsft_assets.steps.queries.fetch import fetch_queries
from rsft_assets.steps.records.hub import dataset_rows
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.responses import adopted
from rsft_assets.steps.responses.generate import generate
from rsft_assets_tests.steps.data_study import TEACHER, mirror_parquet, rows_of
from rsft_assets_tests.steps.responses.test_generate import QUERIES, data_only, made


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


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
