"""From a selection to Dagster runs: globs, filters, blocks, what waits, and what is a mistake."""

import itertools

import pytest

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.lineage import Ref, asset_keys, partitions_of
from rsft_assets.specs.study import load_study
from rsft_assets.steps.questions.planning.batches import Batch, blocks
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.selection import Selection, select
from rsft_assets.steps.records.store import Store

STUDY = load_study()
MAIN = "qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256"
MAIN_KEY = "5e-5_8x256_math-cot-20k"
SHORT = "qwen3-14b_math-cot-20k_lr5e-5_ep1_bs256"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ("scores/qwen3-14b/*", 10),
        ("scores/qwen3-14b", 10),
        ('key:"scores/qwen3-14b/*"', 10),
        ("scores/*/math500", 9),
        ("checkpoints/qwen3-14b", 1),
        ("base_models/qwen2.5-*", 4),
    ],
)
def test_globs(selection, count):
    assert len(select(STUDY, [selection])) == count


@pytest.mark.parametrize(
    ("selection", "words"),
    [("scores/qwen3-14/*", "qwen3-14b"), ("score/qwen3-14b/*", "scores"), ("scores/qwen3-14b/math50", "math500")],
)
def test_a_glob_that_matches_nothing_is_answered_with_the_nearest(selection, words):
    with pytest.raises(SpecError, match=words):
        select(STUDY, [selection])


def test_all_runs_of_a_model_are_one_batch_however_long_they_are(store):
    plan = make_plan(STUDY, store, Selection(("scores/nano-300k/*",), upstream=True))
    [scores] = [batch for batch in plan.batches if batch.title == "scores/nano-300k"]
    [checkpoints] = [batch for batch in plan.batches if batch.assets == ("checkpoints/nano-300k",)]
    assert len({STUDY.steps_of(run)[-1] for run in STUDY.runs_of("nano-300k")}) > 1
    assert scores.partitions == checkpoints.partitions == tuple(partitions_of(STUDY, "checkpoints/nano-300k"))
    # One engine serves all benchmarks.
    assert len(scores.assets) == len(STUDY.benchmarks_of("nano-300k"))
    stages = [Ref(batch.assets[0]).stage for batch in plan.batches]
    assert stages.index("queries") < stages.index("datasets") < stages.index("checkpoints") < stages.index("scores")


@pytest.mark.parametrize(("asset", "last"), [("checkpoints/nano-300k", 80), ("checkpoints/qwen3-14b", 80)])
def test_steps_up_to_the_end_of_some_runs_are_one_block(asset, last):
    wanted = [key for key in partitions_of(STUDY, asset) if Ref(asset, key).step <= last]
    assert blocks(STUDY, asset, wanted) == [tuple(wanted)]


def test_an_open_selection_leaves_out_what_cannot_be_made_yet(store):
    plan = make_plan(STUDY, store, Selection(("scores/qwen3-14b/math500",)))
    assert not plan.batches
    assert set(plan.waiting.values()) == {
        Ref("checkpoints/qwen3-14b", partition) for partition in partitions_of(STUDY, "checkpoints/qwen3-14b")
    }


def test_what_was_asked_for_by_name_waits_like_the_rest(store):
    plan = make_plan(STUDY, store, Selection(("scores/qwen3-14b/math500",), runs=(MAIN,), steps=(640,)))
    assert plan.waiting == {Ref("scores/qwen3-14b/math500", f"{MAIN}|640"): Ref("checkpoints/qwen3-14b", f"{MAIN}|640")}


@pytest.mark.parametrize(
    "filters",
    [
        {"runs": (MAIN,), "steps": (640,)},
        {"runs": (MAIN_KEY,), "steps": (640,)},
        {"partitions": (f"{MAIN}|640",)},
        {"partitions": (f"{MAIN_KEY}|640",)},
        {"partitions": ("5e-5_8x256_math-c*k|640",), "runs": ("qwen3-14b_math-cot-20k_*",)},
    ],
)
def test_run_and_step_single_out_a_cell_in_either_form(store, filters):
    plan = make_plan(STUDY, store, Selection(("checkpoints/qwen3-14b",), **filters), assume_inputs=True)
    assert plan.refs == [Ref("checkpoints/qwen3-14b", f"{MAIN}|640")]
    assert plan.batches == [Batch(("checkpoints/qwen3-14b",), (f"{MAIN}|640",))]


def test_a_short_name_is_that_run_in_every_selected_model(store):
    plan = make_plan(STUDY, store, Selection(("checkpoints/qwen3-*",), runs=(MAIN_KEY,), steps=(640,)))
    assert [ref.run for ref in plan.refs] == [
        f"qwen3-{size}_math-cot-20k_lr5e-5_ep8_bs256" for size in ("1.7b", "4b", "8b", "14b")
    ]
    plan = make_plan(STUDY, store, Selection(("checkpoints/qwen3-*",), runs=(MAIN,), steps=(640,)))
    assert [ref.run for ref in plan.refs] == [MAIN]


def test_a_step_past_an_end_is_one_line(store):
    plan = make_plan(STUDY, store, Selection(("checkpoints/qwen3-14b",), runs=(SHORT,), steps=(80, 640)))
    assert plan.past_the_end == [f"skipped {SHORT} at step 640: the run ends at step 80"]
    assert plan.refs == [Ref("checkpoints/qwen3-14b", f"{SHORT}|80")]


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"runs": ("qwen3-14b_math-cot-2k*",)}, "unknown run.*did you mean .*5e-5_1x256_math-cot-20k"),
        ({"steps": (641,)}, "no selected run keeps step 641"),
        ({"runs": (SHORT,), "steps": (50,)}, "no selected run keeps step 50; kept steps: 0, 10, 20, 40, 80"),
        ({"runs": (SHORT,), "partitions": (f"{MAIN}|640",)}, "no partition matches --run and --partition together"),
        ({"partitions": ("5e-5_8x256_math-cot|640",)}, r"unknown partition.*5e-5_8x256_math-cot-20k\|640"),
    ],
)
def test_a_filter_that_matches_nothing_is_a_mistake(store, filters, words):
    with pytest.raises(SpecError, match=words):
        make_plan(STUDY, store, Selection(("checkpoints/qwen3-14b",), **filters))


@pytest.mark.parametrize("asset", [key for key in asset_keys(STUDY) if partitions_of(STUDY, key)][::9])
def test_blocks_hold_every_cell_asked_for_and_nothing_else_that_exists(asset):
    import dagster as dg

    from rsft_assets.defs.partitions import dagster_key, full_partitions, partitions_definition

    valid, names = partitions_of(STUDY, asset), full_partitions(STUDY, asset)
    grid = partitions_definition(STUDY, asset)
    for wanted in (valid, valid[::2], valid[1:4], valid[-1:]):
        found = blocks(STUDY, asset, wanted)
        corners = [[dagster_key(STUDY, Ref(asset, key)) for key in Batch((asset,), block).corners] for block in found]
        held = [
            names[key]
            for first, last in corners
            for key in grid.get_partition_keys_in_range(dg.PartitionKeyRange(first, last))
            if names[key] in valid
        ]
        assert sorted(held) == sorted(itertools.chain.from_iterable(found)) == sorted(wanted)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"runs": ("bogus",)}, "--run 'bogus': no selected asset has a run; leave it out"),
        ({"partitions": ("0",)}, "--partition '0': no selected asset has a partition"),
        ({"steps": (3,)}, "--step 3 is for checkpoints and scores, and 'datasets/nano-cot' selects neither"),
    ],
)
def test_a_filter_on_what_has_no_partitions_says_so(store, filters, words):
    with pytest.raises(SpecError, match=words):
        make_plan(STUDY, store, Selection(("datasets/nano-cot",), **filters))


def test_a_slash_at_the_end_changes_nothing():
    assert select(STUDY, ["checkpoints/nano-300k/"]) == ["checkpoints/nano-300k"]
    assert select(STUDY, ["scores/nano-300k/"]) == select(STUDY, ["scores/nano-300k"])
