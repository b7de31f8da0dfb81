"""One state of a ref, whoever asks; and asking changes nothing."""

import dataclasses
import json
import shutil
from dataclasses import replace

import pytest

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.questions.cell_state import States
from rsft_assets.steps.records.manifest import POINTER
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.finished_study import finish, finished_home, make, tiny_study

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"
SCORE = Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40")
CHECKPOINT = Ref("checkpoints/tiny-1m", f"{RUN}|40")
DATASET = Ref("datasets/tiny-cot")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return Store(finished_home(tmp_path_factory))


@pytest.fixture
def store(finished, tmp_path):
    shutil.copytree(finished.home, tmp_path / "home")
    return Store(tmp_path / "home")


def changed(study, **fields):
    """The study with another tiny-cot."""
    datasets = {**study.datasets, "tiny-cot": replace(study.datasets["tiny-cot"], **fields)}
    return dataclasses.replace(study, datasets=datasets)


def test_what_is_finished_is_kept(finished):
    states = States(tiny_study(), finished)
    for ref in (SCORE, CHECKPOINT, DATASET):
        assert states.of(ref).kind == "kept"
        assert states.of(ref).output.folder == finished.current(ref).folder


def test_a_changed_spec_is_stale_and_says_what_changed(finished):
    state = States(changed(tiny_study(), seed=7), finished).of(DATASET)
    assert (state.kind, state.output) == ("stale", None)
    assert "seed" in state.why


def test_what_stands_on_something_that_is_made_anew_is_stale(finished):
    study = changed(tiny_study(), seed=7)
    states = States(study, finished, making=[DATASET, CHECKPOINT, SCORE])
    assert [states.of(ref).kind for ref in (DATASET, CHECKPOINT, SCORE)] == ["stale"] * 3
    assert str(DATASET) in states.of(CHECKPOINT).why
    # Where the set is not made, the checkpoint stands on the one that is there.
    assert States(study, finished, making=[CHECKPOINT]).of(CHECKPOINT).kind == "kept"


def test_what_was_never_made_is_missing_and_what_stands_on_it_waits(tmp_path):
    study, store = tiny_study(), Store(tmp_path)
    finish(study, store, stages=("queries", "responses", "verdicts", "benchmarks", "base_models"))
    states = States(study, store)
    assert states.of(DATASET).kind == "missing"
    assert (states.of(CHECKPOINT).kind, states.of(CHECKPOINT).waits_for) == ("waits", DATASET)
    assert States(study, store, making=[DATASET]).of(CHECKPOINT).kind == "missing"
    assert States(study, store, assume_inputs=True).of(CHECKPOINT).kind == "missing"


def test_what_stands_on_something_that_waits_waits_too(tmp_path):
    states = States(tiny_study(), Store(tmp_path), making=[CHECKPOINT, SCORE])
    assert states.of(SCORE).kind == "waits"
    assert states.of(SCORE).waits_for == CHECKPOINT


def test_damage_is_missing_with_its_words(store):
    next(store.current(DATASET).folder.glob("*.parquet")).unlink()
    states = States(tiny_study(), store)
    assert states.of(DATASET).kind == "missing"
    assert "is missing" in states.of(DATASET).why
    assert states.of(CHECKPOINT).waits_for == DATASET
    assert (states.damage(DATASET), states.damage(SCORE)) == (states.of(DATASET).why, "")
    assert "is missing" in states.of(CHECKPOINT).why
    assert "is missing" in States(tiny_study(), store, assume_inputs=True).of(CHECKPOINT).why


def test_a_score_without_a_number_is_gradable_once_its_grader_has_what_it_lacked(store, monkeypatch):
    study = tiny_study()
    pointer = store.slot(SCORE) / POINTER
    path = store.slot(SCORE) / json.loads(pointer.read_text())["output"] / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["stats"]["state"] = "not-run"
    path.write_text(json.dumps(manifest))
    pointer.write_text(json.dumps({"output": path.parent.name}))  # without the hash of what it was
    asked = []
    monkeypatch.setattr(
        "rsft_assets.steps.questions.cell_state.can_be_graded_now",
        lambda score, benchmark: asked.append(benchmark.name) or score.stats["state"] == "not-run",
    )
    assert States(study, store).of(SCORE).kind == "gradable"
    assert States(study, store).of(CHECKPOINT).kind == "kept"
    assert asked == ["tiny-dot"]


def test_force_makes_again_what_is_asked_for(finished):
    states = States(tiny_study(), finished, making=[DATASET], force=True)
    assert states.of(DATASET).kind == "stale"
    assert states.of(Ref("queries/tiny-sums")).kind == "kept"


def test_an_earlier_output_of_the_same_identity_is_kept_and_asking_moves_no_pointer(store):
    study = tiny_study()
    before = store.current(DATASET).folder
    make(changed(study, seed=7), store, DATASET)
    pointer = store.slot(DATASET) / POINTER
    text = pointer.read_text()
    assert store.current(DATASET).folder != before
    state = States(study, store).of(DATASET)
    assert (state.kind, state.output.folder) == ("kept", before)
    assert store.kept(store.identity(study, DATASET)).folder == before
    assert pointer.read_text() == text
    # Keeping it is what moves the pointer.
    assert store.keep(store.identity(study, DATASET)).folder == before
    assert store.current(DATASET).folder == before


def test_an_earlier_output_is_kept_where_the_current_one_is_damaged(store):
    study = tiny_study()
    before = store.current(DATASET).folder
    make(changed(study, seed=7), store, DATASET)
    next(store.current(DATASET).folder.glob("*.parquet")).unlink()
    state = States(study, store).of(DATASET)
    assert (state.kind, state.output.folder) == ("kept", before)


def test_a_damaged_pointer_is_what_the_store_says_it_is(store):
    (store.slot(CHECKPOINT) / POINTER).write_text("garbage")
    study = tiny_study()
    kept = store.kept(store.identity(study, CHECKPOINT))
    state = States(study, store).of(CHECKPOINT)
    assert kept is not None
    assert (state.kind, state.output.folder) == ("kept", kept.folder)


@pytest.mark.parametrize("asset", ["results/marts/benchmark_scores", "figures/dip_and_recovery", "report"])
def test_tables_figures_and_the_report_are_missing_until_they_exist(finished, asset):
    assert States(tiny_study(), finished).of(Ref(asset)).kind == "missing"
