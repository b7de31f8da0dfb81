"""Placement files: what they may say, and how a mistake is answered."""

import pytest

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.placement import Placement, load_placement


def placed(folder, monkeypatch, text, model=""):
    path = folder / "placement.toml"
    path.write_text(text)
    monkeypatch.setenv("RSFT_PLACEMENT", str(path))
    return load_placement(model)


def test_a_model_has_its_own_fields_over_the_default(tmp_path, monkeypatch):
    text = '[default]\nprocesses = 2\n[models."big-1.5b"]\nzero_stage = 3\nengine = "vllm"\n'
    assert placed(tmp_path, monkeypatch, text, "big-1.5b") == Placement(processes=2, zero_stage=3, engine="vllm")
    assert placed(tmp_path, monkeypatch, text, "small") == Placement(processes=2)
    assert placed(tmp_path, monkeypatch, "[default]\nzero_stage = 0\n") == Placement()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("processes = 0", "field processes: 0 must be above 0"),
        ("micro_batch_tokens = -5", "field micro_batch_tokens: -5 must be above 0"),
        ('processes = "2"', "field processes: '2' must be a whole number"),
        ("threads = true", "field threads: True must be a whole number"),
        ('compile = "yes"', "field compile: 'yes' is not one of auto, on, off"),
        ("recompute_share = 1.5", "field recompute_share: 1.5 must be at most 1"),
        ("recompute_share = -0.1", "field recompute_share: -0.1 must be at least 0"),
        ("recompute_share = true", "field recompute_share: True must be a number"),
        ("endpoint = 8000", "field endpoint: 8000 must be text in quotes"),
        ("zero_stage = 4", "field zero_stage: 4 is not one of 0, 1, 2, 3"),
        ("procesess = 2", "unknown field 'procesess': did you mean processes"),
        ('launcher = "slurm"', "field launcher: 'slurm' is not one of local, ray"),
        ('ray_address = "head:99999"', "field ray_address: 'head:99999' must be host:port"),
        ('ray_address = "10.0.0..1:6379"', "field ray_address: '10.0.0..1:6379' must be host:port"),
        ('ray_address = "ray://head:10001"', "field ray_address: 'ray://head:10001' must be host:port"),
        ('kv_cache = "fp4"', "field kv_cache: 'fp4' is not one of auto, fp8"),
        ("ray_pieces = -1", "field ray_pieces: -1 must be at least 0"),
        ('attention = "flash"', "field attention: 'flash' is not one of auto, flash4, flash3, cudnn, flash2, padded"),
        ("deterministic = 1", "field deterministic: 1 must be true or false"),
        ('device = "gpu"', "field device: 'gpu' is not one of auto, cpu, cuda"),
    ],
)
def test_a_mistake_names_field_and_value(tmp_path, monkeypatch, line, words):
    with pytest.raises(SpecError) as caught:
        placed(tmp_path, monkeypatch, f"[default]\n{line}\n")
    assert words in str(caught.value)


def test_fields_of_one_run_go_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_PLACEMENT_FIELDS", '{"processes": 4, "engine": "vllm"}')
    assert load_placement("big-1.5b") == Placement(processes=4, engine="vllm")
    text = '[default]\nthreads = 3\nprocesses = 2\n[models."big-1.5b"]\nzero_stage = 3\nengine = "transformers"\n'
    big = placed(tmp_path, monkeypatch, text, "big-1.5b")
    assert big == Placement(threads=3, processes=4, zero_stage=3, engine="vllm")
    assert load_placement("small") == Placement(threads=3, processes=4, engine="vllm")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"engine": "vlm"}', "RSFT_PLACEMENT_FIELDS: field engine: 'vlm' is not one of"),
        ('{"procesess": 2}', "RSFT_PLACEMENT_FIELDS: unknown field 'procesess': did you mean processes"),
        ("engine=vllm", "RSFT_PLACEMENT_FIELDS=engine=vllm: not JSON"),
        ("[1]", "RSFT_PLACEMENT_FIELDS=[1]: not an object; write one such as"),
    ],
)
def test_a_mistake_in_the_fields_of_one_run_is_named(monkeypatch, text, words):
    monkeypatch.setenv("RSFT_PLACEMENT_FIELDS", text)
    with pytest.raises(SpecError) as caught:
        load_placement()
    assert words in str(caught.value)
