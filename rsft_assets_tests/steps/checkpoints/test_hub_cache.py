"""A model from the hub's own cache, whose snapshot is links into `blobs/`: its bytes are taken, never the links."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.file_download import _create_symlink, repo_folder_name

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref, checkpoint_ref
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.records.digest import bytes_digest
from rsft_assets.steps.records.hub import MIRROR_SETTING, model_folder
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.checkpoints.tiny import CPU, make_mirror, the_run, tiny_study

REVISION = "a" * 40
MODEL = Hub(repo="test/tiny", revision=REVISION)
RUN = Hub(repo="them/tiny-run", revision=REVISION)


def lay_out(cache: Path, repository: str, files: dict[str, Path]) -> Path:
    """A snapshot as huggingface_hub writes it, with its own functions; the folder of the revision."""
    storage = cache / repo_folder_name(repo_id=repository, repo_type="model")
    for name, source in files.items():
        blob, link = storage / "blobs" / bytes_digest(source), storage / "snapshots" / REVISION / name
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, blob)
        _create_symlink(str(blob), str(link))
        assert link.is_symlink()
    return storage / "snapshots" / REVISION


@pytest.fixture(params=["same file system", "another file system"])
def cache(request, tmp_path, monkeypatch):
    """The hub's cache with a base model and a published step of a run; nothing is asked of the network."""
    place = tmp_path / "cache"
    if request.param == "another file system":
        memory = Path("/dev/shm")
        if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is no file system of its own here")
        place = Path(tempfile.mkdtemp(dir=memory))
        request.addfinalizer(lambda: shutil.rmtree(place))
    made = make_mirror(tmp_path) / "test" / "tiny"
    files = {path.name: path for path in made.iterdir()}
    lay_out(place, MODEL.repo, files)
    lay_out(place, RUN.repo, {f"step2/{name}": path for name, path in files.items()})
    monkeypatch.delenv(MIRROR_SETTING, raising=False)
    monkeypatch.setenv("RSFT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(place))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return place


@pytest.fixture
def study():
    study = tiny_study(published=RUN, adopt=True)
    study.models["tiny"] = replace(study.models["tiny"], origin=MODEL)
    return study


def base_model(study):
    return make_base_model(study, Store.from_env(), Ref("base_models/tiny"), placement=CPU)


def adopted(study):
    [output] = train(study, Store.from_env(), [checkpoint_ref(the_run(study), 2)], placement=CPU)
    return output


@pytest.mark.parametrize(("make", "hub"), [(base_model, MODEL), (adopted, replace(RUN, file="step2"))])
def test_a_model_of_the_cache_is_taken_over_whole(cache, study, make, hub):
    output = make(study)
    source = model_folder(hub)
    assert {record.path for record in output.manifest.files} == {path.name for path in source.iterdir()}
    assert not any(path.is_symlink() for path in output.folder.iterdir())
    assert bytes_digest(output.file("model.safetensors")) == bytes_digest(source / "model.safetensors")
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    output.verified()


@pytest.mark.parametrize("make", [base_model, adopted])
@pytest.mark.parametrize("name", ["model.safetensors", "generation_config.json"])
def test_a_link_to_nothing_is_named(cache, study, make, name):
    for link in cache.rglob(name):
        link.resolve().unlink()
    with pytest.raises(StepError, match=rf"{name} is a link to .*, which is not a file; fetch the revision again"):
        make(study)
    assert list(Store.from_env().outputs()) == []
