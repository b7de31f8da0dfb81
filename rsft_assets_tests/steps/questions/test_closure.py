"""A plan holds what its selection stands on, cell by cell, and nothing else."""

import pytest

from rsft_assets.specs.lineage import TABLE_OF, Ref, partitions_of
from rsft_assets.specs.study import load_study
from rsft_assets.specs.study_file import read_study_file
from rsft_assets.steps.questions.planning.amounts import estimate
from rsft_assets.steps.questions.planning.closure import closure
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.quantities import total
from rsft_assets.steps.questions.planning.selection import Selection
from rsft_assets.steps.records.store import Store

PAPER = load_study()
RUN = "qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256"
ADOPTED = "qwen3-8b_math-cot-20k_lr5e-5_ep8_bs256"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("RSFT_PLACEMENT", "RSFT_JUDGES", "RSFT_STUDY"):
        monkeypatch.delenv(name, raising=False)


def plan_of(store, selection, study=PAPER, **how):
    return make_plan(study, store, Selection((selection,), upstream=True, **how))


def gpu_hours(plan):
    return total(estimate(plan)).figures["gpu_hours"].value


def assets_of(plan, stage):
    return {ref.name for ref in plan.refs if ref.stage == stage}


def test_one_runs_score_stands_on_its_own_pool_and_set(tmp_path):
    plan = plan_of(Store(tmp_path), "scores/qwen3-14b/math500", runs=[RUN], steps=[640])
    assert assets_of(plan, "responses") == assets_of(plan, "verdicts") == {"openr1-math_qwen3-32b_n32"}
    assert assets_of(plan, "queries") == {"openr1-math-220k"}
    assert assets_of(plan, "datasets") == {"math-cot-20k"}
    assert not assets_of(plan, "audits")
    assert [ref.partition for ref in plan.refs if ref.stage in ("checkpoints", "scores")] == [f"{RUN}|640"] * 2
    # Decontamination looks at every benchmark of the study.
    assert assets_of(plan, "benchmarks") == {b.name for b in PAPER.benchmarks_of("qwen3-14b")}
    alone = plan_of(Store(tmp_path), "responses/openr1-math_qwen3-32b_n32")
    assert gpu_hours(alone) < gpu_hours(plan) < 1.1 * gpu_hours(alone)


def test_a_base_models_score_costs_its_answers(tmp_path):
    plan = plan_of(Store(tmp_path), "scores/qwen3-14b/math500", runs=[RUN], steps=[0])
    assert [ref.asset for ref in plan.refs] == [
        "benchmarks/math500",
        "base_models/qwen3-14b",
        "checkpoints/qwen3-14b",
        "scores/qwen3-14b/math500",
    ]
    assert gpu_hours(plan) < 0.2


def test_an_adopted_runs_scores_need_no_teacher(tmp_path, monkeypatch):
    path = tmp_path / "study.toml"
    path.write_text(f'[adopt."{ADOPTED}"]\nrevision = "{"0123456789" * 4}"\n')
    assert read_study_file(path).adopt
    monkeypatch.setenv("RSFT_STUDY", str(path))
    plan = plan_of(Store(tmp_path), "scores/qwen3-8b/*", load_study(), runs=[ADOPTED])
    assert {ref.stage for ref in plan.refs} == {"benchmarks", "base_models", "checkpoints", "scores"}
    assert gpu_hours(plan_of(Store(tmp_path), "scores/qwen3-8b/*", load_study(), runs=[ADOPTED], steps=[640])) <= 30


def test_on_nano_one_runs_score_builds_no_other_set(tmp_path):
    run = PAPER.runs_of("nano-300k")[0]
    plan = plan_of(Store(tmp_path), "scores/nano-300k/nano-dot", runs=[run.name])
    assert assets_of(plan, "datasets") == {run.dataset}
    assert len(assets_of(plan, "responses")) == 1
    assert {ref.run for ref in plan.refs if ref.stage == "checkpoints"} == {run.name}


@pytest.mark.parametrize("selection", ["report", "figures/dip_and_recovery", "results/marts/benchmark_scores"])
def test_tables_figures_and_report_stand_on_what_exists(tmp_path, selection):
    plan = plan_of(Store(tmp_path), selection)
    assert {ref.stage for ref in plan.refs} <= {"results", "figures", "report"}
    assert "gpu_hours" not in total(estimate(plan)).figures
    assert not plan.waiting
    if selection == "report":
        assert {ref.stage for ref in plan.refs} == {"results", "figures", "report"}


def test_a_closure_is_closed_and_holds_its_refs():
    from rsft_assets.specs.lineage import asset_keys, inputs_of

    for key in asset_keys(PAPER)[::7]:
        ref = Ref(key, (partitions_of(PAPER, key) or ("",))[-1])
        found = closure(PAPER, [ref])
        assert ref in found
        assert all(set(inputs_of(PAPER, one)) <= found for one in found if one.stage in TABLE_OF)
