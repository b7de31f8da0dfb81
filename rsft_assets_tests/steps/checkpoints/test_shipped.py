"""Base models that come with the package: adopted, checked, refused where they are damaged, made again on demand."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.models import Pretraining
from rsft_assets.specs.nano import DEMO_RUNS, MODELS
from rsft_assets.specs.study import load_study
from rsft_assets.steps.base_models import shipped
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.base_models.mixture import texts_digest
from rsft_assets.steps.records import checked
from rsft_assets.steps.records.store import Store

REF = Ref("base_models/nano-300k")


@pytest.fixture(scope="module")
def study():
    return load_study()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of what the package holds, to be damaged."""
    copy = tmp_path / "shipped"
    shutil.copytree(shipped.SHIPPED, copy)
    monkeypatch.setattr(shipped, "SHIPPED", copy)
    return copy


def one_file(package, name):
    [path] = package.glob(f"base_models/nano-300k/*/{name}")
    return path


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_nano_base_comes_with_the_package_and_stems_from_texts_as_they_are_written_now(study, store, model):
    identity = store.identity(study, Ref(f"base_models/{model.name}"))
    output = shipped.shipped(identity)
    assert output is not None, f"make it again: {shipped.from_scratch_command(identity.ref)}, then ship it"
    assert output.stats["texts_digest"] == texts_digest(model.origin.mixture, model.origin.seed)
    assert output.stats["parameters"] == model.parameters
    assert "host" not in output.manifest.made_by


def test_the_weights_are_small():
    assert sum(path.stat().st_size for path in shipped.SHIPPED.rglob("*.safetensors")) < 5_000_000


def test_a_shipped_base_is_adopted_without_an_engine(tmp_path):
    program = """
import sys
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.records.store import Store
print(make_base_model(load_study(), Store.from_env(), Ref(sys.argv[1])).manifest.origin, "torch" in sys.modules)
"""
    environment = os.environ | {"RSFT_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program, str(REF)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert said == "adopted False\n"


def test_a_shipped_base_is_adopted_and_has_the_digest_of_the_one_that_was_made(study, store, package, monkeypatch):
    monkeypatch.setattr(checked, "_YOUNG_SECONDS", 0.0)  # files just copied would not be noted as read
    files = sorted(package.rglob("*"))
    output = make_base_model(study, store, REF)
    assert output.manifest.origin == "adopted"
    assert output.manifest.adopted_from["package"].startswith("rsft_assets ")
    assert output.manifest.adopted_from["from_scratch"] == "rsft materialize base_models/nano-300k --force"
    assert output.digest == shipped.shipped(store.identity(study, REF)).digest
    assert output.damage(content=True) is None
    assert sorted(package.rglob("*")) == files, "the package is not written to"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "manifest.json"])
def test_a_shipped_base_whose_bytes_differ_from_its_manifest_is_refused(study, store, package, name):
    path = one_file(package, name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StepError):
        make_base_model(study, store, REF)
    assert store.current(REF) is None


def test_the_refusal_names_the_file_and_what_to_do(study, store, package):
    path = one_file(package, "model.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StepError, match=r"model\.safetensors has .* install the package again, or .* --force"):
        make_base_model(study, store, REF)


def test_other_declarations_are_not_answered_with_the_shipped_base(study, store):
    model = study.models["nano-300k"]
    assert isinstance(model.origin, Pretraining)
    models = {**study.models, "nano-300k": replace(model, origin=replace(model.origin, seed=2))}
    assert shipped.shipped(store.identity(replace(study, models=models), REF)) is None


def test_a_base_below_its_gate_is_refused_though_it_is_shipped(study, store):
    model = study.models["nano-300k"]
    origin = replace(model.origin, gate=(("direct", 0.99),))
    changed = replace(study, models={**study.models, "nano-300k": replace(model, origin=origin)})
    assert shipped.is_shipped(store.identity(changed, REF))
    with pytest.raises(StepError, match="did not reach the skills"):
        make_base_model(changed, store, REF)


def test_ship_refuses_what_was_not_made_here(study, store, package, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(store.home))
    for model in {study.runs[name].model for name in DEMO_RUNS} | {model.name for model in MODELS}:
        make_base_model(study, store, Ref(f"base_models/{model}"))
    with pytest.raises(StepError, match="was not made here"):
        shipped.ship()
    assert one_file(package, "model.safetensors").is_file()
