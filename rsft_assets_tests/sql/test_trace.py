"""A number to its origin and back, over files that are sound and files that are not."""

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.questions.trace import trace
from rsft_assets.steps.questions.tracing.node import as_json, as_tree
from rsft_assets.steps.records import checked
from rsft_assets.steps.records.digest import file_digest
from rsft_assets_tests.finished_study import make

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
SCORE = "scores/tiny-1m/tiny-dot"


def titles(node):
    return [place.title for place in node.walk()]


def example(store, row=3):
    path = store.require(Ref("datasets/tiny-cot")).file("examples.parquet")
    return pq.read_table(path).slice(row, 1).to_pylist()[0]


def item(store, benchmark="tiny-dot"):
    return pq.read_table(store.require(Ref(f"benchmarks/{benchmark}")).file("items.parquet"))["item_id"][3].as_py()


def test_a_score_leads_down_to_the_queries(study, finished):
    node = trace(study, finished, SCORE, f"{RUN}|10")
    assert node.problems == []
    assert set(titles(node)) >= {
        *("graded items", "completions/tiny-dot", f"checkpoints/tiny-1m[{RUN}|10]", "rows seen by step 10"),
        *("base_models/tiny-1m", "datasets/tiny-cot", "rows of the set", "verdicts/tiny-sums_n4"),
        *("responses/tiny-sums_n4", "queries/tiny-sums", "benchmarks/tiny-dot"),
    }


def test_every_place_says_who_made_it_and_with_what(study, finished):
    node = trace(study, finished, SCORE, f"{RUN}|10")
    checkpoint = next(place for place in node.walk() if place.title.startswith("checkpoints/"))
    assert {"digest", "made", "seed", "engine", "code", "command", "folder"} <= checkpoint.facts.keys()
    assert any("over 60 items, 120 samples" in str(value) for value in node.facts.values())


def test_rows_seen_are_those_of_that_step_and_no_later(study, finished):
    seen = {
        step: next(p for p in trace(study, finished, "checkpoints/tiny-1m", f"{RUN}|{step}").walk() if p.kind == "rows")
        for step in (5, 20)
    }
    assert seen[5].facts["rows read"] == 5 * 16
    assert seen[20].facts["rows read"] == 20 * 16
    assert seen[20].facts["different rows"] == 160


def test_an_item_of_a_score_shows_its_text_and_what_each_grader_said(study, finished):
    node = trace(study, finished, SCORE, f"{RUN}|10", item(finished))
    samples = [place for place in node.walk() if place.kind == "text"]
    assert len(samples) == 2
    assert samples[0].facts["text"].startswith(f"answer of {RUN} 10 to item 3")
    assert {"strict accuracy", "authors accuracy"} <= samples[0].facts.keys()


def test_a_sensitive_benchmark_shows_neither_prompt_nor_text(study, finished):
    said = as_json(trace(study, finished, "scores/tiny-1m/tiny-harm", f"{RUN}|10", item(finished, "tiny-harm")))
    said += as_json(trace(study, finished, item(finished, "tiny-harm")))
    assert "answer of" not in said and '"question"' not in said
    assert "not shown: the benchmark is sensitive" in said


def test_a_query_leads_up_to_every_score_that_it_touches(study, finished):
    row = example(finished)
    node = trace(study, finished, row["query_id"])
    assert node.problems == []
    assert sum(place.title.startswith("response ") for place in node.walk()) == 4
    assert "datasets/tiny-cot row 3" in titles(node)
    runs = [place for place in node.walk() if place.title.startswith("run ")]
    assert {place.title for place in runs} >= {f"run {RUN}", f"run {RUN}_seed2", "run tiny-3m_tiny-cot_lr1e-3_ep4_bs16"}
    mine = next(place for place in runs if place.title == f"run {RUN}")
    seen = pq.read_table(finished.require(Ref("checkpoints/tiny-1m", f"{RUN}|40")).file("seen.parquet")).to_pylist()
    steps = sorted(entry["step"] for entry in seen if entry["query_id"] == row["query_id"])
    assert mine.facts["read at steps"] == steps
    assert mine.facts["checkpoints after"] == [step for step in (5, 10, 20, 40) if step >= steps[0]]
    assert {child.title for child in mine.children} == {f"scores/tiny-1m/tiny-{b}" for b in ("sums", "dot", "harm")}


def test_a_response_leads_only_to_the_sets_that_chose_it(study, finished):
    row = example(finished)
    chosen = trace(study, finished, row["response_id"])
    other = row["query_id"] + ("-3" if not row["response_id"].endswith("-3") else "-2")
    passed_over = trace(study, finished, other)
    assert "datasets/tiny-cot row 3" in titles(chosen)
    assert not any(title.startswith("datasets/") for title in titles(passed_over))
    assert "in no set that is made" in as_tree(passed_over)


def test_an_item_leads_to_the_scores_that_it_is_part_of(study, finished):
    node = trace(study, finished, item(finished))
    assert sum(title.startswith(f"{SCORE} {RUN} strict") for title in titles(node)) == 1
    steps = next(c for c in node.children if c.title == f"{SCORE} {RUN} strict accuracy").facts["value by step"]
    assert list(steps) == [0, 5, 10, 20, 40]


def test_files_that_were_right_are_not_read_again(study, copied, monkeypatch):
    # Younger files are read each time: a second write could hide in the moment of the first.
    monkeypatch.setattr(checked, "_YOUNG_SECONDS", 0.0)
    first = trace(study, copied, item(copied))
    read = []
    monkeypatch.setattr(checked, "file_digest", lambda path: read.append(path) or file_digest(path))
    assert as_tree(trace(study, copied, item(copied))) == as_tree(first)
    assert read == []
    changed = copied.require(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|10")).file("graded.parquet")
    os.utime(changed)
    trace(study, copied, item(copied))
    assert changed in read


def test_an_output_leads_up_to_what_was_made_from_it(study, finished):
    node = trace(study, finished, "datasets/tiny-cot", upwards=True)
    top = {child.title: child for child in node.children}
    assert top.keys() == {"datasets/tiny-nocot", "datasets/tiny-few", "checkpoints/tiny-1m", "checkpoints/tiny-3m"}
    assert top["checkpoints/tiny-1m"].facts["outputs"] == 8  # two seeds, four trained steps each
    assert any(child.title == "scores/tiny-3m/tiny-dot" for child in top["checkpoints/tiny-3m"].children)


@pytest.mark.parametrize("where", ["marts.benchmark_scores", "results/marts/score_trajectories"])
def test_a_row_of_a_table_leads_to_its_score(study, finished, where):
    node = trace(study, finished, where, f"run={RUN},step=10,benchmark=tiny-dot,grader=strict")
    assert f"{SCORE}[{RUN}|10]" in titles(node)
    assert "queries/tiny-sums" in titles(node)


@pytest.mark.slow
def test_a_point_of_a_figure_leads_to_its_score(study, reported):
    node = trace(study, reported, "figures/dip_and_recovery", f"source=ours,run={RUN},step=10,benchmark=tiny-dot")
    assert f"{SCORE}[{RUN}|10]" in titles(node)


def test_a_published_number_says_that_nothing_here_made_it(study, finished):
    run = "qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256"
    node = trace(study, finished, "marts.score_trajectories", f"run={run},step=40,benchmark=math500,source=paper")
    assert "nothing here made it" in as_tree(node)


@pytest.mark.parametrize(
    ("asset", "partition", "file", "place"),
    [
        ("queries/tiny-sums", "", "queries.parquet", "queries/tiny-sums"),
        ("responses/tiny-sums_n4", "1", "responses.parquet", "responses/tiny-sums_n4[1]"),
        ("datasets/tiny-cot", "", "examples.parquet", "datasets/tiny-cot"),
        ("checkpoints/tiny-1m", f"{RUN}|10", "model.safetensors", f"checkpoints/tiny-1m[{RUN}|10]"),
        (SCORE, f"{RUN}|10", "graded.parquet", f"{SCORE}[{RUN}|10]"),
    ],
)
@pytest.mark.parametrize("harm", ["removed", "changed"])
def test_a_broken_link_is_reported_at_that_link(study, copied, asset, partition, file, place, harm):
    path = copied.require(Ref(asset, partition)).file(file)
    if harm == "removed":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(bytes(content))
    node = trace(study, copied, SCORE, f"{RUN}|10")
    broken = [found for found in node.walk() if found.problem]
    assert place in [found.title for found in broken] or any(file in str(found.problem) for found in broken)
    assert all(file in found.problem for found in broken)
    assert "BROKEN" in as_tree(node)


@pytest.mark.parametrize(
    ("asset", "partition", "file"),
    [
        ("queries/tiny-sums", "", "queries.parquet"),
        ("responses/tiny-sums_n4", "{shard}", "responses.parquet"),
        ("verdicts/tiny-sums_n4", "{shard}", "verdicts.parquet"),
        ("datasets/tiny-cot", "", "examples.parquet"),
        ("datasets/tiny-cot", "", "manifest.json"),
        ("checkpoints/tiny-1m", f"{RUN}|40", "seen.parquet"),
    ],
)
@pytest.mark.parametrize("harm", ["removed", "unreadable"])
def test_a_broken_link_above_a_query_is_reported_at_that_link(study, copied, asset, partition, file, harm):
    chosen = example(copied)
    shards = {
        row: str(shard)
        for shard in (0, 1)
        for row in pq.read_table(copied.require(Ref("responses/tiny-sums_n4", str(shard))).file("responses.parquet"))[
            "response_id"
        ].to_pylist()
    }
    ref = Ref(asset, partition.format(shard=shards[chosen["response_id"]]))
    path = copied.require(ref).folder / file
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(b"\0" * path.stat().st_size)
    node = trace(study, copied, chosen["query_id"])
    assert str(ref) in [found.title for found in node.walk() if found.problem]


def test_changed_bytes_of_the_set_that_chose_a_query_are_reported(study, copied):
    chosen = example(copied)
    path = copied.require(Ref("datasets/tiny-cot")).file("examples.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    assert any("examples.parquet" in problem for problem in trace(study, copied, chosen["query_id"]).problems)


def test_scores_of_an_item_that_cannot_be_read_are_named_beside_those_that_can(study, copied):
    ref = Ref(SCORE, f"{RUN}|10")
    path = copied.require(ref).file("graded.parquet")
    path.write_bytes(b"\0" * path.stat().st_size)
    node = trace(study, copied, item(copied))
    assert [found.title for found in node.walk() if found.problem] == [str(ref)]
    assert any(SCORE in title and "accuracy" in title for title in titles(node))


def test_an_output_leads_up_to_what_is_damaged_too(study, copied):
    (copied.require(Ref("checkpoints/tiny-1m", f"{RUN}|10")).folder / "manifest.json").unlink()
    node = trace(study, copied, "datasets/tiny-cot", upwards=True)
    assert f"checkpoints/tiny-1m[{RUN}|10]" in [found.title for found in node.walk() if found.problem]


def test_completions_that_are_gone_are_reported_at_their_place(study, copied):
    output = copied.require(Ref(SCORE, f"{RUN}|10"))
    (copied.home / output.stats["completions"]["folder"] / "completions.parquet").unlink()
    node = trace(study, copied, SCORE, f"{RUN}|10")
    assert [found.title for found in node.walk() if found.problem] == ["completions/tiny-dot"]


def test_what_was_made_anew_since_is_told_without_breaking_the_chain(study, copied):
    make(study, copied, Ref("benchmarks/tiny-dot"), force=True, version=2)
    node = trace(study, copied, SCORE, f"{RUN}|10")
    assert node.problems == []
    used = next(found for found in node.walk() if found.title == "benchmarks/tiny-dot")
    assert "replaced since" in used.facts["note"]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("scores/tiny-1m/tiny-dto", f"{RUN}|10"), SpecError, "scores/tiny-1m/tiny-dot"),
        ((SCORE, f"{RUN}|11"), SpecError, f"{RUN}|10"),
        ((SCORE,), SpecError, "partitions; name one"),
        (("0123456789abcdef",), StepError, "no query, response or item"),
        (("marts.benchmark_score", "run=x"), SpecError, "marts.benchmark_scores"),
        (("marts.benchmark_scores", "rum=x"), SpecError, "did you mean run"),
        (("marts.benchmark_scores", "x"), SpecError, "column=value"),
        (("marts.benchmark_scores", "run=x"), StepError, "no row where run=x"),
        (("figures/dip", ""), SpecError, "figures/dip_and_recovery"),
        ((SCORE, f"{RUN}|10", "no-such-item"), StepError, "no item 'no-such-item'"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(study, finished, words, error, said):
    try:
        node = trace(study, finished, *words)
    except error as raised:
        assert said in str(raised)
    else:
        assert any(said in problem for problem in node.problems)


def test_what_is_not_made_yet_comes_with_its_command(study, finished):
    run = "qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256"
    node = trace(study, finished, "scores/qwen3-14b/math500", f"{run}|640")
    assert node.problem.endswith(f"rsft materialize scores/qwen3-14b/math500 --run {run} --step 640")


def test_the_program_prints_a_tree_or_json_and_fails_on_a_broken_link(copied, tmp_path):
    """Over the package's own study, of which this home holds nothing."""
    command = [sys.executable, "-m", "rsft_assets.commands.cli", "trace", "queries/nano-math", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RSFT_HOME": str(tmp_path)})
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"]
    assert "rsft materialize queries/nano-math" in done.stderr
