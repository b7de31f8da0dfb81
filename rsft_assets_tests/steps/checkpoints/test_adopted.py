"""Published checkpoints as partitions: taken over at a pin or from a mirror, refused with the reason, never trained."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref, checkpoint_ref, inputs_of, spec_of
from rsft_assets.specs.paper_checkpoints import published_checkpoints
from rsft_assets.specs.study import _load, load_study
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.records.hub import MIRROR_SETTING
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.checkpoints.tiny import CPU, make_mirror, the_run, tiny_study

PUBLISHED = Hub(repo="them/tiny-run")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A mirror with two steps of the run, each with weights of its own."""
    mirror = make_mirror(tmp_path)
    for step in (2, 4):
        folder = mirror / PUBLISHED.repo / f"step{step}"
        shutil.copytree(mirror / "test" / "tiny", folder)
        weights = {name: tensor + step for name, tensor in load_file(folder / "model.safetensors").items()}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    monkeypatch.setenv("RSFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(MIRROR_SETTING, str(mirror))
    return mirror / PUBLISHED.repo


@pytest.fixture
def study():
    return tiny_study(published=PUBLISHED, adopt=True)


def adopt(study, *steps, **options):
    refs = [checkpoint_ref(the_run(study), step) for step in steps]
    return train(study, Store.from_env(), refs, placement=CPU, **options)


def test_a_step_is_taken_over_without_base_model_or_training_set(study, published):
    first, second = adopt(study, 2, 4)
    assert first.manifest.origin == "adopted"
    assert first.manifest.adopted_from == {
        "repo": "them/tiny-run",
        "revision": None,
        "file": "step2",
        "from": "them/tiny-run@unpinned (mirror)",
    }
    assert first.digest != second.digest
    assert first.manifest.inputs == []
    assert first.stats["curves"].startswith("not available")
    assert first.stats["rows_seen"].startswith("not available")
    assert not (Store.from_env().home / "base_models").exists()
    first.verified()


def test_what_was_taken_over_loads(study, published):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    [output] = adopt(study, 2)
    model = AutoModelForCausalLM.from_pretrained(output.folder)
    weights = load_file(published / "step2" / "model.safetensors")
    assert all((model.state_dict()[name] == tensor).all() for name, tensor in weights.items())
    assert AutoTokenizer.from_pretrained(output.folder).chat_template


def test_step_0_is_our_base_model(study, published):
    make_base_model(study, Store.from_env(), Ref("base_models/tiny"), placement=CPU)
    outputs = adopt(study, 0, 2)
    assert [output.manifest.ref.step for output in outputs] == [0, 2]
    assert outputs[0].manifest.inputs[0].asset == "base_models/tiny"


def test_what_is_taken_over_is_kept(study, published):
    [before] = adopt(study, 2)
    shutil.rmtree(published)
    [after] = adopt(study, 2)
    assert after == before


def test_a_step_that_is_not_published_is_named_and_keeps_no_other_away(study, published):
    with pytest.raises(StepError, match=r"step 6, 9 cannot be adopted from them/tiny-run.*step6.*complete the mirr"):
        adopt(study, 4, 6, 9)
    store = Store.from_env()
    assert store.current(checkpoint_ref(the_run(study), 4)) is not None
    assert store.current(checkpoint_ref(the_run(study), 6)) is None
    assert list(store.slot(checkpoint_ref(the_run(study), 6)).glob(".building*")) == []


def test_without_mirror_or_revision_the_lock_is_named(study, published, monkeypatch):
    monkeypatch.delenv(MIRROR_SETTING)
    with pytest.raises(StepError, match="them/tiny-run: no revision is known; run `rsft lock`"):
        adopt(study, 2)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "lacks model.safetensors"),
        (lambda folder: [path.unlink() for path in folder.glob("tokenizer*")], "lacks tokenizer.json"),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model.safetensors"}})
            ),
            "lacks model-1.safetensors",
        ),
    ],
)
def test_a_model_that_is_not_complete_is_refused(study, published, damage, words):
    damage(published / "step2")
    with pytest.raises(StepError, match=words):
        adopt(study, 2)


def test_another_models_weights_are_refused(published):
    study = tiny_study(published=PUBLISHED, adopt=True)
    study.models["tiny"] = replace(study.models["tiny"], parameters=5_000_000)
    with pytest.raises(StepError, match="this is another model's checkpoint"):
        adopt(study, 2)


def test_where_a_trained_run_is_published_is_no_part_of_it():
    trained, told = tiny_study(), tiny_study(published=PUBLISHED)
    adopted = tiny_study(published=PUBLISHED, adopt=True)
    ref = checkpoint_ref(the_run(trained), 2)
    assert spec_of(trained, ref) == spec_of(told, ref) != spec_of(adopted, ref)
    assert inputs_of(adopted, ref) == ()
    assert spec_of(adopted, ref)["published"]["repo"] == "them/tiny-run"


def test_adopting_what_nobody_published_is_a_mistake():
    with pytest.raises(SpecError, match=r"field adopt: no published checkpoints of this run are known"):
        tiny_study(adopt=True)


def test_the_authors_repositories_have_their_names():
    runs = load_study().runs
    assert published_checkpoints(runs["internlm2.5-20b_numinamath-20k_lr5e-5_ep8_bs256"]).repo == (
        "jasonrqh/InternLM2.5-20B_Numina-Math-20k_lr5e-5_ep8_bs256"
    )
    assert published_checkpoints(runs["qwen3-14b_math-cot-20k_lr1e-4_ep16_bs256_constlr"]).repo == (
        "jasonrqh/Qwen3-14B_Math-CoT-20k_lr1e-4_ep16_bs256_ConstLR"
    )
    assert sum(run.published is not None for run in runs.values()) == 33
    assert not any(run.adopt for run in runs.values())


def study_with(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return _load(str(path))


def test_a_study_file_switches_runs_by_glob_and_pins_by_name(tmp_path):
    name = "qwen3-8b_numinamath-20k_lr5e-5_ep8_bs256"
    study = study_with(tmp_path, f'[adopt."qwen3-8b_*"]\n[adopt."{name}"]\nrevision = "{"a" * 40}"\n')
    adopted = {run.name for run in study.runs.values() if run.adopt}
    assert len(adopted) == 5 and "qwen3-8b_math-unverified-cot-20k_lr5e-5_ep8_bs256" not in adopted
    assert study.runs[name].published == Hub(
        repo="jasonrqh/Qwen3-8B_Numina-Math-20k_lr5e-5_ep8_bs256", revision="a" * 40
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[adopt."qwen3-9b_*"]', "no run matches"),
        ('[adopt."qwen3-8b_*"]\nrevision = "x"', "would apply to everything that matches; name one"),
        ('[adopt."qwen3-8b_math-cot-20k_lr5e-5_ep8_bs256"]\nrevision = "main"', "is not a commit; pin one"),
        ('[adopt."qwen3-8b_math-cot-20k_lr5e-5_ep8_bs256"]\nrevison = "x"', "did you mean revision"),
        ('[adopt."qwen3-8b_math-unverified-cot-20k_lr5e-5_ep8_bs256"]', "no published checkpoints of this run"),
    ],
)
def test_mistakes_in_a_study_file_are_named(tmp_path, text, words):
    with pytest.raises(SpecError, match=words):
        study_with(tmp_path, text + "\n")


@pytest.mark.slow
def test_rsft_materialize_takes_a_papers_run_over_from_a_mirror(tmp_path, published):
    """The real command, on a stand-in of the authors' repository."""
    run = "qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256"
    repository = tmp_path / "mirror" / "jasonrqh" / "Qwen3-1.7B_Math-CoT-20k_lr5e-5_ep8_bs256"
    repository.parent.mkdir()
    (published / "step2").rename(published / "step10")
    published.rename(repository)
    (tmp_path / "study.toml").write_text(f'[adopt."{run}"]\n')
    environment = {**os.environ, "RSFT_STUDY": str(tmp_path / "study.toml"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rsft_assets.commands.cli", "materialize", "checkpoints/qwen3-1.7b", "--run", run]
    done = subprocess.run([*command, "--step", "10"], env=environment, capture_output=True, text=True, timeout=300)
    # The stand-in is a thousand times too small, and that is found.
    assert done.returncode == 1 and "this is another model's checkpoint" in done.stdout + done.stderr


def test_a_file_cut_short_is_named(study, published):
    path = published / "step2" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StepError, match=r"model\.safetensors is not a complete safetensors file .*fetch it again"):
        adopt(study, 2)
