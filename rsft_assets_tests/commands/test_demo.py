"""What the demo makes, how it ends, and what it was kept under."""

from dataclasses import replace

import pytest

from rsft_assets.commands import demo
from rsft_assets.commands.demo import bases_to_pretrain, demo_plan, demo_runs, run_demo
from rsft_assets.specs.lineage import TABLE_OF, Ref, inputs_of, score_ref
from rsft_assets.specs.nano import DEMO_BENCHMARKS, DEMO_RUNS
from rsft_assets.specs.study import load_study
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.questions.planning.actuals import last_plan
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.stand_ins import stand_in


@pytest.fixture(scope="module")
def study():
    return load_study()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    return Store.from_env()


def filed(study, store, *, full):
    return {ref.asset for ref in demo_plan(study, store, full=full).refs if ref.stage in TABLE_OF}


def with_upstream(study, refs):
    return set(refs) | {above for ref in refs for above in with_upstream(study, inputs_of(study, ref))}


def test_the_demo_holds_what_its_runs_are_made_from_and_nothing_else(study, store):
    assert demo_runs(study, full=False) == DEMO_RUNS
    runs = [study.runs[name] for name in DEMO_RUNS]
    ends = [score_ref(run, study.steps_of(run)[-1], name) for run in runs for name in DEMO_BENCHMARKS]
    groups = {study.benchmarks[name].group for name in DEMO_BENCHMARKS}
    assert groups == {"general", "in-domain", "ood-reasoning", "safety"}
    needed = {ref.asset for ref in with_upstream(study, ends)}
    checked = {key.replace("verdicts/", "audits/") for key in needed if key.startswith("verdicts/")}
    assert filed(study, store, full=False) == needed | checked
    assert {Ref(key).stage for key in needed | checked} == set(TABLE_OF)


def test_the_whole_study_holds_every_nano_run_and_nothing_of_the_papers(study, store):
    runs = demo_runs(study, full=True)
    assert set(runs) == {name for name in study.runs if study.member_of[("runs", name)] == "nano"}
    assert set(DEMO_RUNS) < set(runs)
    made = filed(study, store, full=True)
    assert filed(study, store, full=False) < made
    assert {study.member_of[(TABLE_OF[Ref(key).stage], Ref(key).name)] for key in made} == {"nano"}
    assert {f"checkpoints/{study.runs[name].model}" for name in runs} <= made
    assert {f"datasets/{study.runs[name].dataset}" for name in runs} <= made


@pytest.mark.parametrize("full", [False, True])
def test_results_and_figures_come_last_and_base_models_before_any_fine_tuning(study, store, full):
    plan = demo_plan(study, store, full=full)
    stages = [Ref(batch.assets[0]).stage for batch in plan.batches]
    assert not plan.waiting
    assert stages[-1] == "report" and {"results", "figures"} <= set(stages)
    last_base = max(place for place, stage in enumerate(stages) if stage == "base_models")
    assert last_base < stages.index("checkpoints")
    # What the demo compares of one base is trained side by side and answered by one engine.
    bases = len({study.runs[name].model for name in DEMO_RUNS})
    assert full or stages.count("checkpoints") == stages.count("scores") == bases


@pytest.mark.slow
@pytest.mark.parametrize(
    ("full", "failed", "last"),
    [
        (True, "base_models/nano-300k", "stopped: base_models/nano-300k failed, so nothing was fine-tuned; "),
        (False, "base_models/nano-300k", "stopped: base_models/nano-300k failed, so nothing was fine-tuned; "),
        (True, "datasets/nano-cot", "the demo did not finish; "),
    ],
)
def test_a_demo_that_fails_says_so_last(store, monkeypatch, capsys, full, failed, last):
    def fails(store, plan, *, vital, force=False):
        assert vital == ("base_models",)
        return 1, [{"assets": [failed], "failed": [failed], "ok": False}], "1 of 9 not done"

    monkeypatch.setattr(demo, "run_plan", fails)
    assert run_demo(full=full, as_json=False) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(last)
    assert last_plan(store)["selection"] == (["demo", "--full"] if full else ["demo"])


def adopted(study, store, ref):
    return make_base_model(study, store, ref).manifest.origin == "adopted"


def test_from_scratch_pretrains_what_this_home_has_not_pretrained_as_declared(study, store):
    first, second = bases = [Ref("base_models/nano-300k"), Ref("base_models/nano-300k-plain")]
    assert bases_to_pretrain(study, store, full=False) == bases
    assert all(adopted(study, store, ref) for ref in bases)
    assert bases_to_pretrain(study, store, full=False) == bases, "bases of the package were not pretrained here"
    with store.build(study, first, force=True) as build:
        stand_in(build.folder, first)
        build.publish()
    assert bases_to_pretrain(study, store, full=False) == [second]
    changed = replace(study.models["nano-300k"].origin, seed=2)
    other = replace(study, models={**study.models, "nano-300k": replace(study.models["nano-300k"], origin=changed)})
    assert bases_to_pretrain(other, store, full=False) == bases, "another declaration is another base"


def test_from_scratch_forces_the_bases_alone_and_ends_where_one_fails(store, monkeypatch, capsys):
    plans = []

    def fails(store, plan, *, vital, force=False):
        plans.append((force, {ref.asset for ref in plan.refs}))
        return (
            1,
            [{"assets": ["base_models/nano-300k"], "failed": ["base_models/nano-300k"], "ok": False}],
            "1 of 2 not done",
        )

    monkeypatch.setattr(demo, "run_plan", fails)
    assert run_demo(from_scratch=True, as_json=False) == 1
    assert plans == [(True, {"base_models/nano-300k", "base_models/nano-300k-plain"})]
    assert capsys.readouterr().err.splitlines()[-1].startswith("stopped: base_models/nano-300k failed")
    assert last_plan(store)["selection"] == ["demo", "--from-scratch"]
