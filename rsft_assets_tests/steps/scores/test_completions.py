"""The store of completions: what a kill leaves, what is refused, what is put aside."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines import Completion
from rsft_assets.steps.engines.protocol import GROUP_SIZE
from rsft_assets.steps.records.manifest import InputRecord
from rsft_assets.steps.scores.completions import Asked, CompletionSet, read_completions, think_closed
from rsft_assets.steps.scores.repetition import ends_in_loop

ASKED = [Asked(f"i{n}", f"question {n}") for n in range(6)]
SAMPLING = Sampling(n=3, max_tokens=9)


def texts(home, *, asked=ASKED, sampling=SAMPLING, weights="w", **changes):
    inputs = [InputRecord("checkpoints/m", "r|1", weights, "x"), InputRecord("benchmarks/b", "", "i", "y")]
    return CompletionSet(home, "b", asked, sampling, inputs, **changes)


def render(turns, sampling):
    return f"<{turns[0]['content']}>"


def answer(request, text=None):
    return Completion(request.id, text or f"to {request.prompt}", 4, 7, "stop", True, None)


def grow(found, count=None):
    before = found.resume("here", repeatable=False)
    for request in itertools.islice(found.missing(render, "0"), count):
        found.add(request, answer(request))
    return before


def test_each_sample_once_in_the_items_order(tmp_path):
    found = texts(tmp_path)
    found.resume("here", repeatable=False)
    requests = list(found.missing(render, "0"))
    random.Random(1).shuffle(requests)
    for request in requests:
        found.add(request, answer(request))
    output = found.publish({})
    rows = list(read_completions(output))
    assert [(row["item_id"], row["sample"]) for row in rows] == [(a.item_id, n) for a in ASKED for n in range(3)]
    assert len({row["seed"] for row in rows}) == len(rows)
    assert rows[4]["text"] == "to <question 1>"
    assert texts(tmp_path).finished().digest == output.digest
    assert [path.name for path in output.folder.iterdir() if path.name != "manifest.json"] == ["completions.parquet"]


def test_a_group_that_was_not_finished_is_asked_again_in_whole(tmp_path):
    asked = [Asked(f"i{n}", "again") for n in range(400)]
    with_groups = texts(tmp_path, asked=asked)
    with_groups.resume("here", repeatable=True)
    requests = list(with_groups.missing(render, "0"))
    assert [request.group for request in requests] == [f"0\n{n // GROUP_SIZE}" for n in range(1_200)]
    for request in (*requests[:512], *requests[600:700]):
        with_groups.add(request, answer(request, "first try"))
    with_groups.close()
    again = texts(tmp_path, asked=asked)
    assert again.resume("here", repeatable=True) == 512
    assert list(again.missing(render, "0")) == requests[512:]
    for request in requests[512:]:
        again.add(request, answer(request, "second try"))
    again.close()
    assert again.resume("here", repeatable=True) == 1_200
    tries = [row["text"] for row in read_completions(again.publish({}))]
    assert tries == ["first try"] * 512 + ["second try"] * 688


def test_a_set_of_two_engines_says_so_and_a_repeatable_one_begins_anew(tmp_path):
    for repeatable in (False, True):
        begun = texts(tmp_path / str(repeatable))
        begun.resume("a gpu", repeatable=False)
        for request in list(begun.missing(render, "0"))[:10]:
            begun.add(request, answer(request))
        begun.close()
        assert begun.resume("a cpu", repeatable=repeatable) == (0 if repeatable else 10)
        for request in begun.missing(render, "0"):
            begun.add(request, answer(request))
        engines = begun.publish({}).stats.get("engines")
        assert engines == (None if repeatable else {"a cpu": 8, "a gpu": 10})


def test_what_a_filter_held_back_is_stored_and_counted(tmp_path):
    found = texts(tmp_path)
    found.resume("here", repeatable=False)
    for number, request in enumerate(found.missing(render, "0")):
        held_back = Completion(request.id, "", 4, 0, "content_filter", False, None)
        found.add(request, answer(request) if number else held_back)
    output = found.publish({}, tokens_per_second=12.34, parameters=1_000_000)
    assert (output.stats["tokens_per_second"], output.stats["flops_per_second"]) == (12.3, 2.468e7)
    assert (output.stats["filtered"], output.stats["cut_off"]) == (1, 0)
    assert next(read_completions(output))["finish_reason"] == "content_filter"


def test_a_second_try_asks_only_for_what_is_missing(tmp_path):
    first = texts(tmp_path)
    grow(first, count=10)
    first.close()
    with next((tmp_path / "completions").rglob(".completions.jsonl")).open("ab") as file:
        file.write(b'{"key": "i5\\n2", "item_id": "i5", "te')
    second = texts(tmp_path)
    assert grow(second) == 10
    assert len(list(read_completions(second.publish({})))) == 18


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "other"},
        {"sampling": Sampling(n=3, max_tokens=9, seed=1)},
        {"sampling": Sampling(n=4, max_tokens=9)},
        {"asked": [*ASKED[:-1], Asked("i5", "another question")]},
        {"system_dropped": True},
        {"stops": (7,)},
    ],
    ids=str,
)
def test_anything_that_changes_the_text_changes_the_place(tmp_path, changes):
    assert texts(tmp_path, **changes).folder != texts(tmp_path).folder


def test_runs_that_share_their_weights_share_their_texts(tmp_path):
    other = texts(tmp_path)
    other.inputs[0] = InputRecord("checkpoints/m", "another|0", "w", "elsewhere")
    assert other.folder == texts(tmp_path).folder


def test_a_damaged_set_is_put_aside_and_named(tmp_path, caplog):
    found = texts(tmp_path)
    grow(found)
    path = found.publish({}).folder / "completions.parquet"
    path.write_bytes(path.read_bytes()[:-40] + b"x" * 40)
    assert texts(tmp_path).finished() is None
    assert "damaged" in caplog.text
    assert grow(texts(tmp_path)) == 0


def test_broken_characters_are_stored_as_replacements(tmp_path):
    found = texts(tmp_path, asked=ASKED[:1], sampling=Sampling(n=1))
    found.resume("here", repeatable=False)
    for request in found.missing(render, "0"):
        found.add(request, answer(request, "a\ud800b\x00"))
    assert [row["text"] for row in read_completions(found.publish({}))] == ["a?b\x00"]


SLOW_CHILD = """
import sys, time
from pathlib import Path
from rsft_assets_tests.steps.scores.test_completions import answer, render, texts
found = texts(Path(sys.argv[1]))
found.resume("here", repeatable=False)
for request in found.missing(render, "0"):
    time.sleep(0.03)
    found.add(request, answer(request))
    print("added", flush=True)
found.publish({})
"""


def test_kill_9_loses_nothing_that_was_finished(tmp_path):
    chance = random.Random(5)
    finished = 0
    for _ in range(40):
        child = subprocess.Popen(
            [sys.executable, "-c", SLOW_CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        wanted = chance.randint(1, 5)
        lines = list(itertools.islice(child.stdout, wanted))
        time.sleep(chance.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        finished += len(lines)
        if texts(tmp_path).finished():
            break
        there = texts(tmp_path).resume("here", repeatable=False)
        assert there >= finished
        finished = there
    rows = list(read_completions(texts(tmp_path).finished()))
    assert len({(row["item_id"], row["sample"]) for row in rows}) == len(rows) == 18


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("no thought", None),
        ("<think>on and on", False),
        ("<think>a</think>b", True),
        ("a</think>b", True),
        ("<think>a</think>b<think>", False),
    ],
)
def test_think_closed(text, closed):
    assert think_closed(text) is closed


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("", False),
        ("aaaa", False),
        ("x" * 60, True),
        ("A sentence that says something, once, and in sixty characters or more.", False),
        ("start " + "Wait, let me check. " * 4, True),
        ("start " + "Wait, let me check. " * 3 + "Wait, let", False),
        ("1+1+" * 20, True),
        ("start " + "The answer is \\boxed{}. " * 200 + "The ans", True),
        ("word " * 300 + "and then it stopped, having found another thing to say at last.", False),
        ("".join(chr(97 + (i * i * 7 + i) % 26) for i in range(1900)) * 5, True),
        (" ".join(map(str, range(3000))), False),
    ],
)
def test_ends_in_loop(text, loops):
    assert ends_in_loop(text) is loops
