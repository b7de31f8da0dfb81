"""Dagster's short partition keys: they name one run of a model each, and look different where the UI cuts them."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsft_assets.defs.descriptions import describe
from rsft_assets.defs.partitions import dagster_key, full_partitions, partitions_definition
from rsft_assets.specs.lineage import Ref, asset_keys, partitions_of
from rsft_assets.specs.study import load_study
from rsft_assets.specs.training import Run, Schedule
from rsft_assets_tests.wide_study import wide_study

STUDY = load_study()
WIDTH = 22
"""Characters of a partition's name that Dagster's UI has room for in a narrow column."""


def as_shown(name):
    """As Dagster's UI shows a name: as many first as last characters, so many as there is room for."""
    half = (WIDTH - 1) // 2
    return name if len(name) <= WIDTH else f"{name[:half]}…{name[-half:]}"


def alike(names):
    """How many of the names look like another one."""
    return sum(count for count in Counter(map(as_shown, names)).values() if count > 1)


def test_most_full_names_look_like_another():
    runs = STUDY.runs_of("qwen3-14b")
    assert (alike(run.name for run in runs), len(runs)) == (10, 14)


def _sweep(seeds=(1,), decays=("cosine",), **fields):
    """Every combination on the paper's sets; `fields` are of the schedule."""
    sets = [name for name in STUDY.datasets if STUDY.member_of[("datasets", name)] == "paper"]
    schedules = [
        Schedule(**dict(zip(fields, values, strict=True)), decay=decay)
        for *values, decay in product(*fields.values(), decays)
    ]
    return [Run(model="mine", dataset=d, schedule=s, seed=seed) for d, s, seed in product(sets, schedules, seeds)]


WIDE = {
    "wide": wide_study().runs_of("wide-1m"),
    "the paper's with five seeds": [replace(run, seed=s) for run in STUDY.runs_of("qwen3-14b") for s in range(1, 6)],
    "rates x epochs x batches": _sweep(
        lr=(1e-3, 5e-4, 1e-4, 5e-5, 2e-5, 1e-5, 1e-6), epochs=(1, 2, 4, 8, 16), batch_size=(16, 32, 64, 128, 256)
    ),
    "rates, constant too, x epochs x batches": _sweep(
        lr=(1e-4, 5e-5, 1e-5), epochs=(1, 2, 8, 16), batch_size=(32, 64, 256), decays=("cosine", "constant")
    ),
    "rates x epochs x batches x seeds": _sweep(
        lr=(1e-4, 5e-5, 1e-5), epochs=(1, 2, 8), batch_size=(32, 64, 256), seeds=(1, 2, 3)
    ),
    "rates, constant too, x epochs x seeds": _sweep(
        lr=(1e-4, 5e-5, 1e-5), epochs=(1, 2, 8), batch_size=(256,), decays=("cosine", "constant"), seeds=(1, 2, 3)
    ),
}


@pytest.mark.parametrize("study", [*STUDY.models, *WIDE])
def test_no_two_short_names_of_a_model_look_alike(study):
    runs = WIDE.get(study) or STUDY.runs_of(study)
    assert runs
    assert alike(run.short_name for run in runs) == 0


SETS = ("a", "a_s2", "a_seed2", "s2_a", "8x16_a", "1e-4_8x16_a", "a_lr1e-4_ep8_bs16", "a_constlr", "a-2.5k")
RUNS = st.builds(
    Run,
    model=st.just("mine"),
    dataset=st.sampled_from(SETS),
    schedule=st.builds(
        Schedule,
        lr=st.sampled_from((1e-4, 1e-5, 2.5e-5, 1.0, 100.0)),
        epochs=st.sampled_from((0.5, 1, 8, 18, 1e-5, 1e7)),
        batch_size=st.sampled_from((1, 6, 16, 256)),
        decay=st.sampled_from(("cosine", "constant")),
        precision=st.sampled_from(("bf16", "bf16-pure")),
    ),
    seed=st.sampled_from((1, 2, 12, 0)),
)


@given(st.lists(RUNS, min_size=2, max_size=60))
def test_runs_that_share_a_short_name_share_their_name(runs):
    # Which a study refuses: a run is declared once.
    by_short = {}
    for run in runs:
        assert by_short.setdefault(run.short_name, run.name) == run.name


@pytest.mark.parametrize("asset", [key for key in asset_keys(STUDY) if key.startswith(("checkpoints/", "responses/"))])
def test_keys_and_full_names_are_translated_back_and_forth(asset):
    names = full_partitions(STUDY, asset)
    assert sorted(names) == sorted(partitions_definition(STUDY, asset).get_partition_keys())
    assert set(partitions_of(STUDY, asset)) <= set(names.values())
    assert {dagster_key(STUDY, Ref(asset, name)): name for name in names.values()} == names
    assert not any(Ref(asset).name in key for key in names if "|" in key)


@pytest.mark.parametrize("model", ["qwen3-14b", "nano-300k"])
def test_the_assets_page_has_both_names_of_each_run(model):
    page = describe(STUDY, f"checkpoints/{model}")
    assert all(f"| `{run.short_name}` | `{run.name}` |" in page for run in STUDY.runs_of(model))


@pytest.mark.parametrize("asset", ["scores/qwen3-14b/math500", "checkpoints/nano-300k"])
def test_the_assets_page_says_how_many_partitions_can_be_made(asset):
    there, possible = len(full_partitions(STUDY, asset)), len(partitions_of(STUDY, asset))
    assert possible < there and f"{possible} of {there} partitions can be made" in describe(STUDY, asset)
