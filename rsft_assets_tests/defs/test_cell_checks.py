"""Checks of single checkpoints and scores: what each finds, that a range has a result for each cell, what blocks."""

from types import SimpleNamespace

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rsft_assets.defs.cell_checks import CELL_CHECKS
from rsft_assets.defs.checks import _drift_result
from rsft_assets.defs.launchers import LAUNCHERS
from rsft_assets.runs.running import failure_of
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.defs.test_recording import LONG, SHORT, WritingLauncher, recorded, run, world  # noqa: F401
from rsft_assets_tests.stand_ins import stand_in

TRAINED = {"set_rows": 1_000, "set_cut_rows": 0}
SCORED = {"value": 0.5, "samples": 100, "truncated": 0, "undecided": 0}


def found(name, stats, folder=None):
    output = SimpleNamespace(stats=stats, file=lambda file: folder / file)
    return CELL_CHECKS[name].find(output)


@pytest.mark.parametrize(
    ("name", "stats", "passed", "blocks"),
    [
        ("end_token", TRAINED, True, False),
        ("end_token", TRAINED | {"set_cut_rows": 50}, True, False),
        ("end_token", TRAINED | {"set_cut_rows": 51}, False, False),
        ("end_token", TRAINED | {"set_cut_rows": 501}, False, True),
        ("truncated", SCORED | {"truncated": 10}, True, False),
        ("truncated", SCORED | {"truncated": 11}, False, False),
        ("undecided", SCORED | {"undecided": 2}, True, False),
        ("undecided", SCORED | {"undecided": 3}, False, False),
    ],
)
def test_a_fact_beyond_its_bound_fails(name, stats, passed, blocks):
    finding = found(name, stats)
    assert (finding.passed, finding.blocks) == (passed, blocks)


@pytest.mark.parametrize(("loss", "passed"), [(0.5, True), (0.44, True), (0.56, False)])
def test_a_held_out_loss_is_compared_with_the_lowest_so_far(tmp_path, loss, passed):
    losses = pa.table({"step": [5, 10, 11, 20], "held_out_loss": [0.9, 0.5, None, loss]})
    pq.write_table(losses, tmp_path / "curves.parquet")
    finding = found("held_out_loss", {"held_out_loss": loss}, tmp_path)
    assert finding.passed == passed
    assert finding.words == f"{loss:.4f}, lowest so far {min(loss, 0.5):.4f} at step {20 if loss < 0.5 else 10}"


@pytest.mark.parametrize(("name", "check"), CELL_CHECKS.items())
def test_there_is_no_finding_without_facts(name, check):
    """The base model, an adopted checkpoint, a score without a number."""
    stats = {"step": 0} if check.stage == "checkpoints" else {"value": None, "samples": 0, "state": "no-access"}
    assert found(name, stats) is None


class FactsLauncher(WritingLauncher):
    """Publishes checkpoints with these facts, and scores of 100 answers of which `step` were cut."""

    def __init__(self, study, cut_rows):
        super().__init__(study)
        self.facts = {"set_rows": 1_000, "set_cut_rows": cut_rows}

    def run(self, call):
        self.calls.append(call)
        partitions = [b for a, b in zip(call.arguments, call.arguments[1:], strict=False) if a == "--partition"]
        for asset in call.arguments[: call.arguments.index("--partition")]:
            for ref in (Ref(asset, partition) for partition in partitions):
                with Store(call.home).build(self.study, ref) as build:
                    stand_in(build.folder, ref)
                    build.publish(self.facts if ref.stage == "checkpoints" else SCORED | {"truncated": ref.step})
                yield {"event": "published", "asset": asset, "partition": ref.partition}


def results(instance, asset, name):
    """partition -> whether the check passed there."""
    key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), name)
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    # Dagster plans a result for every cell of the range, also past the end of a run.
    events = [record.event.dagster_event for record in history]
    made = [event.asset_check_evaluation_data for event in events if event.event_type_value == "ASSET_CHECK_EVALUATION"]
    return {evaluation.partition: evaluation.passed for evaluation in made}


def test_a_range_has_a_result_for_each_cell(world, monkeypatch):  # noqa: F811
    study, instance, _ = world
    launcher = FactsLauncher(study, cut_rows=0)
    monkeypatch.setitem(LAUNCHERS, "local", lambda _: launcher)
    score = f"scores/tiny/{study.benchmarks_of('tiny')[0].name}"
    assert run(study, instance, ["checkpoints/tiny", score], f"{LONG}|0", f"{SHORT}|40").success
    cells = {*(f"{LONG}|{step}" for step in (0, 10, 20, 40)), *(f"{SHORT}|{step}" for step in (0, 10))}
    assert results(instance, "checkpoints/tiny", "end_token") == dict.fromkeys(cells, True)
    expected = {cell: int(cell.partition("|")[2]) <= 10 for cell in cells}
    assert results(instance, score, "truncated") == expected and not all(expected.values())


def test_a_checkpoint_that_cannot_end_its_answers_is_not_scored(world, monkeypatch):  # noqa: F811
    study, instance, _ = world
    launcher = FactsLauncher(study, cut_rows=900)
    monkeypatch.setitem(LAUNCHERS, "local", lambda _: launcher)
    score = f"scores/tiny/{study.benchmarks_of('tiny')[0].name}"
    result = run(study, instance, ["checkpoints/tiny", score], f"{LONG}|10")
    assert not result.success and recorded(instance, score) == set()
    assert recorded(instance, "checkpoints/tiny") == {f"{LONG}|10"}, "it is there to look at"
    words = failure_of(result)
    assert words.startswith("checkpoints/tiny[tiny_nano-cot_lr1e-3_ep2_bs32|10]: asset check end_token: 900 of 1,000")
    assert "raise max_length" in words


def test_outputs_that_drifted_for_one_reason_are_told_once():
    drifted = {f"scores/a/b[r|{step}]": ["the code has changed"] for step in range(9)} | {"scores/a/b[r|9]": ["other"]}
    said = _drift_result("scores/a/b", drifted).description
    assert (
        said == "9 of them, such as scores/a/b[r|0]: the code has changed\n\n1 of them, such as scores/a/b[r|9]: other"
    )
