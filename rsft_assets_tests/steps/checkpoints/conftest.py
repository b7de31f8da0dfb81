"""A home with the tiny study's base model and training set in it."""

import pytest

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.checkpoints.tiny import CPU, make_mirror, publish_inputs, tiny_study


@pytest.fixture
def study():
    return tiny_study()


@pytest.fixture
def store(tmp_path, monkeypatch, study):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RSFT_MIRROR", str(make_mirror(tmp_path)))
    store = Store.from_env()
    publish_inputs(study, store)
    make_base_model(study, store, Ref("base_models/tiny"), placement=CPU)
    return store
