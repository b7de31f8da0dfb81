"""Training sets: each recipe's choice, its checks, and what it refuses."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsft_assets.defs.asset_cards import card
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.benchmarks.lock import lock_benchmark
from rsft_assets.steps.datasets.build import build_dataset
from rsft_assets.steps.datasets.decontamination import Items
from rsft_assets.steps.datasets.responses import problem_with_response, without_thinking
from rsft_assets.steps.publish.training_sets import publication_of_set
from rsft_assets.steps.questions.planning.amounts import estimate
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.data_study import (
    ANY,
    COT,
    SOURCE,
    SUMS_TEST,
    benchmark,
    make_all,
    pool,
    rows_of,
    source,
    study,
)

pytestmark = pytest.mark.usefixtures("quick_verifier")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("home"))
    return store, make_all(study(), store)


def examples(output):
    return rows_of(output, "examples.parquet")


def verdict_of(store):
    shards = [store.require(Ref("verdicts/pool", key)) for key in ("0", "1")]
    return {row["response_id"]: row["verdict"] for shard in shards for row in rows_of(shard, "verdicts.parquet")}


def test_one_correct_response_per_query(built):
    store, outputs = built
    rows, verdicts = examples(outputs["cot"]), verdict_of(store)
    assert len({row["query_id"] for row in rows}) == len(rows) == 40
    assert {verdicts[row["response_id"]] for row in rows} == {"correct"}
    assert all(f"\\boxed{{{row['answer']}}}" in row["response"].rpartition("</think>")[2] for row in rows)
    assert [row["row"] for row in rows] == list(range(40))
    assert rows[0]["message"] == [{"role": "user", "content": rows[0]["question"]}]
    assert (rows[0]["advantage"], rows[0]["response_length"]) == (1.0, len(rows[0]["response"]))


def test_the_response_is_not_always_the_first_sample(built):
    _, outputs = built
    assert {row["response_id"][-1] for row in examples(outputs["cot"])} == {"0", "1", "2"}


def test_any_response_takes_wrong_ones_too(built):
    store, outputs = built
    verdicts = verdict_of(store)
    rows = examples(outputs["any"])
    assert {row["verdict"] for row in rows} == {"correct", "wrong"}
    assert all(row["verdict"] == verdicts[row["response_id"]] for row in rows)
    assert outputs["any"].stats["verdicts"]["wrong"] > 3


def test_another_teachers_set_takes_the_same_queries_where_it_answers_them(tmp_path):
    other = replace(pool(n=1), name="other", sampling=replace(pool().sampling, n=1, seed=8))
    like = Dataset(name="like", recipe="one-correct", rows=34, held_out=2, pool="other", like="cot", seed=3)
    outputs = make_all(study(pools=(pool(), other), datasets=(COT, like)), store := Store(tmp_path / "home"))
    mine = [row["query_id"] for row in examples(outputs["like"])]
    theirs = [row["query_id"] for row in examples(outputs["cot"])]
    shards = [rows_of(store.require(Ref("verdicts/other", key)), "verdicts.parquet") for key in other.shard_keys]
    answered = {row["response_id"].rpartition("-")[0] for rows in shards for row in rows if row["verdict"] == "correct"}
    shared = [query for query in theirs if query in set(mine)]
    assert 10 < len(shared) < 34
    assert mine[: len(shared)] == shared
    assert len(set(mine)) == 34 and not set(mine[len(shared) :]) & set(theirs)
    stats = outputs["like"].stats
    assert (stats["like"]["shared_queries"], stats["like"]["other_queries"]) == (len(shared), 34 - len(shared))
    assert stats["decontamination"]["checked"] == outputs["cot"].stats["decontamination"]["checked"]
    assert f"{len(shared)} rows answer queries of `cot`" in card(Ref("datasets/like"), stats)
    # None that the other teacher answers is left out but for its text.
    assert len(answered & set(theirs) - set(mine)) <= stats["responses_passed_over"]["no-box"]


def test_without_thinking_keeps_rows_and_summary(built):
    _, outputs = built
    for long, short in zip(examples(outputs["cot"]), examples(outputs["nocot"]), strict=True):
        assert short["response"] == long["response"].partition("</think>\n\n")[2]
        assert (short["query_id"], short["response_id"]) == (long["query_id"], long["response_id"])


def test_first_rows(built):
    _, outputs = built
    assert examples(outputs["few"]) == examples(outputs["cot"])[:10]


def test_held_out_rows_are_made_like_the_others_from_queries_left_over(built):
    _, outputs = built
    held_out = {name: rows_of(output, "held_out.parquet") for name, output in outputs.items()}
    cot, nocot = held_out["cot"], held_out["nocot"]
    # All 60 queries have a response, but not each of the 20 left over has a correct one.
    left = len(cot)
    assert 10 < left < 20
    assert {name: len(rows) for name, rows in held_out.items()} == {"cot": left, "nocot": left, "few": left, "any": 20}
    assert all(row["verdict"] == "correct" for row in cot)
    assert [row["row"] for row in cot] == list(range(40, 40 + left))
    assert not {row["query_id"] for row in cot} & {row["query_id"] for row in examples(outputs["cot"])}
    assert [row["query_id"] for row in nocot] == [row["query_id"] for row in cot]
    assert not any("<think>" in row["response"] for row in nocot)
    assert held_out["few"] == cot
    assert outputs["cot"].stats["held_out_rows"] == left


def test_a_set_that_wants_no_held_out_rows_has_none(built):
    store, _ = built
    small = study(datasets=(replace(COT, name="whole", held_out=0), replace(COT, name="some", held_out=3)))
    whole, some = (build_dataset(small, store, Ref(f"datasets/{name}")) for name in ("whole", "some"))
    assert not whole.has("held_out.parquet") and whole.stats["held_out_rows"] == 0
    assert len(rows_of(some, "held_out.parquet")) == 3
    assert examples(whole) == examples(some)


@pytest.mark.parametrize("name", ["cot", "nocot", "few", "any"])
def test_a_published_set_is_adopted_with_the_same_digest(built, tmp_path, name):
    store, outputs = built
    ref = Ref(f"datasets/{name}")
    sent = publication_of_set(study(), store, ref, "me", None)
    for file, content in sent.files.items():
        (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    declared = study().datasets[name]
    hub = Hub(repo=str(tmp_path), kind="dataset")
    adopted = replace(declared, recipe="published", pool=None, like=None, published=hub)
    small = study(datasets=(adopted,), sources=(), pools=())
    theirs = Store(tmp_path / "home")
    lock_benchmark(small, theirs, Ref("benchmarks/sums-test"))
    output = build_dataset(small, theirs, ref)
    assert output.digest == outputs[name].digest
    assert output.stats["held_out_rows"] == outputs[name].stats["held_out_rows"] > 0
    assert output.stats["verdicts"] == outputs[name].stats["verdicts"]


def test_checks_and_card(built):
    _, outputs = built
    for name, output in outputs.items():
        assert all(check["passed"] for check in output.stats["checks"].values()), name
        assert len(output.stats["sample_rows"]) == 3
        assert sum(bin_["rows"] for bin_ in output.stats["length_histogram"]) == output.stats["rows"]
    stats = outputs["cot"].stats
    left = [step["left"] for step in stats["filters"]]
    assert left == sorted(left, reverse=True)
    assert all(
        a["left"] - b["removed"] == b["left"] for a, b in zip(stats["filters"], stats["filters"][1:], strict=False)
    )
    assert stats["pool"]["responses"] == 180
    assert stats["decontamination"] == {"checked": {"sums-test": 20}, "unchecked": [], "removed": {}}
    assert "no-box" in stats["responses_passed_over"]


def test_choice_does_not_depend_on_sharding(built, tmp_path):
    _, outputs = built
    other = make_all(study(pools=(pool(shards=3),), datasets=(COT, ANY)), Store(tmp_path))
    for name in ("cot", "any"):
        assert other[name].digest == outputs[name].digest


def test_another_seed_is_another_choice_and_more_rows_begin_with_the_same(built, tmp_path):
    store, outputs = built
    small = study(datasets=(replace(COT, name="seeded", seed=2), replace(COT, name="more", rows=45)))
    seeded, more = (examples(build_dataset(small, store, Ref(f"datasets/{name}"))) for name in ("seeded", "more"))
    assert [row["response_id"] for row in seeded] != [row["response_id"] for row in examples(outputs["cot"])]
    assert more[:40] == examples(outputs["cot"])


def test_too_few_correct_responses_are_refused_with_the_numbers(built):
    store, _ = built
    small = study(datasets=(replace(COT, name="large", rows=61),))
    with pytest.raises(StepError, match=r"61 rows are declared.*queries leaves 60.*smaller set under another") as error:
        build_dataset(small, store, Ref("datasets/large"))
    assert store.current(Ref("datasets/large")) is None
    available = int(re.search(r"but (\d+) queries can give one", str(error.value))[1])
    wanted = math.ceil(1.25 * 61 * 60 / available)
    assert f"in place of 60, declare {wanted} queries in their source" in str(error.value)


def test_a_plan_says_how_many_queries_fill_a_set_at_the_share_of_correct_responses(built):
    store, _ = built
    verdicts = list(verdict_of(store).values())
    share = verdicts.count("correct") / len(verdicts)
    small = study(datasets=(replace(COT, name="large", rows=61), replace(ANY, name="all", rows=61)))
    lines = estimate(make_plan(small, store, Selection(("datasets/*",))))
    said = [source for line in lines for source in line.sources if "queries fill it" in source]
    wanted = math.ceil(1.25 * 61 / (1 - (1 - share) ** 3))
    measured = f"large: {share:.0%} of responses correct (measured), so {wanted} queries fill it"
    assert said == [f"{measured} with a quarter to spare; sums has 60"]


def test_a_set_longer_than_the_one_it_is_like_is_refused(built):
    store, _ = built
    small = study(datasets=(COT, Dataset(name="long", recipe="first-rows", rows=41, like="cot")))
    with pytest.raises(StepError, match="41 rows are declared, but datasets/cot has 40"):
        build_dataset(small, store, Ref("datasets/long"))


def test_benchmark_items_are_taken_out_and_counted(tmp_path):
    same = replace(
        SUMS_TEST,
        name="leaked",
        title="Leaked",
        items=20,
        origin=Generator(name="sums", seed=SOURCE.origin.seed, count=20),
    )
    output = make_all(study(benchmarks=(SUMS_TEST, same), datasets=(replace(COT, rows=30),)), Store(tmp_path))["cot"]
    assert output.stats["checks"]["contaminated"]["passed"]
    filters = {step["filter"]: step["removed"] for step in output.stats["filters"]}
    # Every one of them that had a correct response.
    assert 15 < filters["contaminated"] <= 20
    assert output.stats["decontamination"]["removed"] == {"leaked": filters["contaminated"]}


def test_benchmark_without_access_counts_as_unchecked(tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    small = study(benchmarks=(SUMS_TEST, benchmark("owner/gated", "math", 30)), datasets=(COT,))
    output = make_all(small, Store(tmp_path / "home"))["cot"]
    assert output.stats["decontamination"]["unchecked"] == ["real"]


def test_human_solutions_for_the_same_questions(tmp_path, monkeypatch):
    from rsft_assets_tests.steps.data_study import mirror_parquet

    store = Store(tmp_path / "home")
    cot = make_all(study(), store, "cot")["cot"]
    questions = [row["question"] for row in examples(cot)]
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    human = Dataset(name="human", recipe="human-solution", rows=40, like="cot", source="real", thinking=False)

    def build(rows):
        mirror_parquet(tmp_path / "mirror", "me/solved", "train.parquet", rows)
        small = study(sources=(SOURCE, source("me/solved")), datasets=(COT, human))
        from rsft_assets.steps.queries.fetch import fetch_queries

        fetch_queries(small, store, Ref("queries/real"), force=True)
        return build_dataset(small, store, Ref("datasets/human"))

    rows = [{"problem": f" {q.upper()}", "answer": "1", "solution": f"By hand {n}."} for n, q in enumerate(questions)]
    filled = build(rows[1:])
    assert filled.stats["solutions"] == {"real": 39, SOURCE.name: 1}
    first, second = examples(filled)[:2]
    assert (first["data_source"], second["data_source"], second["response"]) == (SOURCE.name, "real", "By hand 1.")
    own = {
        row["question"]: row["solution"]
        for row in rows_of(store.require(Ref(f"queries/{SOURCE.name}")), "queries.parquet")
    }
    assert first["response"] == own[questions[0]]
    output = build(rows[::-1])
    assert [row["response"] for row in examples(output)] == [f"By hand {n}." for n in range(40)]
    assert {(row["response_id"], row["verdict"], row["data_source"]) for row in examples(output)} == {
        (None, None, "real")
    }
    assert output.stats["checks"]["without_box"] == {"passed": True, "value": 40, "expected": 0, "blocking": False}


@pytest.mark.parametrize(
    ("text", "thinking", "problem"),
    [
        ("<think>\na\n</think>\n\n\\boxed{1}", True, None),
        ("<think>a</think><think>b</think>\\boxed{1}", True, "thinking-tags"),
        ("<think>a\\boxed{1}", True, "thinking-not-closed"),
        ("a</think>\\boxed{1}", True, "thinking-tags"),
        ("Well <think>a</think>\\boxed{1}", True, "thinking-tags"),
        ("<think>\\boxed{1}</think> so 1", True, "no-box"),
        ("<think>a</think> \n", True, "no-summary"),
        ("\\boxed{1}", True, "thinking-tags"),
        ("\\boxed{1}", False, None),
        ("<think>a</think>\\boxed{1}", False, "thinking-tags"),
        ("", False, "no-summary"),
    ],
)
def test_problems_of_a_response(text, thinking, problem):
    assert problem_with_response(text, thinking=thinking, box=True) == problem


@given(st.text(), st.text(min_size=1))
def test_thinking_removed_leaves_the_summary(thought, summary):
    if "</think>" not in thought and not problem_with_response(summary, thinking=False, box=False):
        assert without_thinking(f"<think>\n{thought}\n</think>\n\n{summary}") == summary.lstrip()


LONG = "If a train leaves the station at noon and travels at forty miles per hour how far has it gone by five"


@pytest.mark.parametrize(
    ("item", "question", "held"),
    [
        ("What is 3+5?", "what is  3 + 5", True),
        ("What is 3+5?", "What is 3+5+1? It is easy, is it not, to do such a sum in the head?", False),
        (LONG, f"Tom says: {LONG.upper()}, roughly?", True),
        (LONG, LONG.replace("forty", "fifty"), False),
        (LONG, " ".join(LONG.split()[:13]), True),
        (LONG, " ".join(LONG.split()[:12]), False),
        (LONG, LONG.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)}), True),
        (LONG, "\u200b".join(LONG), True),
        (
            "Find the remainder when n is divided by 7.",
            "First find the remainder when N is divided by 7, then go.",
            True,
        ),
        ("", "", False),
    ],
)
def test_overlap_with_an_item(item, question, held):
    items = Items()
    items.add("bench", [item])
    assert (items.holding(question) == "bench") is held
