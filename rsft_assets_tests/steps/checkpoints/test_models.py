"""A model's files as the trainer reads them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rsft_assets.steps.base_models.new_model import new_qwen3
from rsft_assets.steps.checkpoints.training.models import load_model
from rsft_assets_tests.steps.checkpoints.tiny import SMALL

MEMORY = Path("/proc/self/smaps_rollup")


def private_bytes():
    [line] = [line for line in MEMORY.read_text().splitlines() if line.startswith("Anonymous:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not MEMORY.exists(), reason="needs Linux's account of a process's memory")
def test_weights_in_the_files_own_precision_are_mapped_and_shared_by_processes(tmp_path):
    """Eight processes of one machine must not each hold a copy of a 14B model."""
    model = new_qwen3(replace(SMALL, hidden=512), vocabulary=40_000, end=0).to(torch.bfloat16)
    size = sum(parameter.numel() for parameter in model.parameters()) * 2
    model.save_pretrained(tmp_path)
    # The first loading imports what loading needs.
    load_model(tmp_path, torch.bfloat16)
    before = private_bytes()
    loaded = load_model(tmp_path, torch.bfloat16)
    assert private_bytes() - before < size / 4
    assert all((a == b).all() for a, b in zip(loaded.parameters(), model.parameters(), strict=True))
