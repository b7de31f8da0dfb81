"""What a plan took, from manifests made by hand."""

import json

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.questions.planning.actuals import actual, estimated, keep, last_plan
from rsft_assets.steps.questions.planning.quantities import Line, Quantity
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.questions.test_measured import OTHER, RUN, manifest, put, trained

PAPER = load_study()
EARLIER, LATER = "2025-12-31T00:00:00+00:00", "2026-01-02T00:00:00+00:00"


def training(start=0):
    line = Line("checkpoints/qwen3-14b", ("checkpoints/qwen3-14b",))
    line.refs = [Ref("checkpoints/qwen3-14b", f"{RUN}|40")]
    line.trained = {RUN: (start, 40)}
    return line


@pytest.mark.parametrize(("start", "share"), [(0, 1.0), (10, 0.75)])
def test_a_training_took_what_came_after_its_start(tmp_path, monkeypatch, start, share):
    monkeypatch.delenv("RSFT_PLACEMENT", raising=False)
    store = Store(tmp_path)
    put(store, trained(f"{RUN}|40", seconds=7_200.0))
    put(store, trained(f"{OTHER}|40", seconds=9_999.0))
    took = actual(PAPER, store, training(start), EARLIER)
    assert took.figures["trained_tokens"] == Quantity(40 * 256 * 2_000 * share, "measured")
    assert took.figures["gpu_hours"] == Quantity(2 * share, "measured")
    assert took.trained == {RUN: (start, 40)}


def test_what_was_there_before_is_no_part_of_it(tmp_path):
    store = Store(tmp_path)
    put(store, trained(f"{RUN}|40", seconds=7_200.0))
    took = actual(PAPER, store, training(), LATER)
    assert (took.refs, took.figures) == ([], {})


def test_shards_generated_side_by_side_share_their_time(tmp_path, monkeypatch):
    monkeypatch.delenv("RSFT_PLACEMENT", raising=False)
    store, asset = Store(tmp_path), "responses/openr1-math_qwen3-32b_n32"
    for shard in ("00", "01"):
        put(store, manifest(asset, shard, stats={"response_tokens": 500, "rows": 5}, at=59, seconds=1_800.0))
    line = Line(asset, (asset,), refs=[Ref(asset, shard) for shard in ("00", "01", "02")])
    took = actual(PAPER, store, line, EARLIER)
    assert len(took.refs) == 2
    assert took.figures["generated_tokens"].value == 1_000
    assert took.figures["gpu_hours"].value == pytest.approx(0.5)


def test_a_kept_plan_comes_back_as_it_was(tmp_path):
    store = Store(tmp_path)
    line = training(10)
    line.add("gpu_hours", Quantity(1.5, "assumed"), "a guess")
    keep(store, ["checkpoints/*"], [line])
    plan = last_plan(store)
    again = estimated(plan["lines"][0])
    assert plan["selection"] == ["checkpoints/*"]
    assert (again.refs, again.trained, again.figures) == (line.refs, line.trained, line.figures)


def test_a_plan_of_tables_alone_does_not_hide_the_plan_before(tmp_path):
    store = Store(tmp_path)
    tables = Line("results", ("results/marts/coverage",), refs=[Ref("results/marts/coverage")])
    keep(store, ["checkpoints/*"], [training(), tables])
    keep(store, ["results/*"], [tables])
    plan = last_plan(store)
    assert plan["selection"] == ["checkpoints/*"]
    assert [entry["title"] for entry in plan["lines"]] == [training().title]


def test_the_last_of_several_plans_is_shown_and_a_damaged_one_is_named(tmp_path):
    store = Store(tmp_path)
    for selection in ("first", "second"):
        keep(store, [selection], [training()])
    assert last_plan(store)["selection"] == ["second"]
    (tmp_path / "plans" / "99999999T000000.json").write_text(json.dumps({})[:1])
    with pytest.raises(StepError, match="damaged plan"):
        last_plan(store)
