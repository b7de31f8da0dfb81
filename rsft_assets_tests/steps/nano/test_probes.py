"""The gate of base models: what it measures, and that nothing is fine-tuned from a base that falls short."""

import os
import subprocess
import sys
from typing import get_args

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.models import Mixture, Skill
from rsft_assets.steps.base_models.gate import Level, refuse_below
from rsft_assets.steps.base_models.mixture import MIXTURES
from rsft_assets.steps.base_models.probes import PROBES
from rsft_assets.steps.nano.skills import SKILLS

STUDY = """
extends = "nano"
[models.hasty]
family = "qwen3"
parameters = 10_000
needs_gpu = false
[models.hasty.origin]
layers = 1
hidden = 16
heads = 2
mixture = "nano-skills"
steps = 2
batch_tokens = 256
lr = 1e-3
context = 192
seed = 1
gate = [["worked-dot", 0.5]]
[schedules.short]
lr = 1e-4
epochs = 1
batch_size = 640
[[runs]]
model = "hasty"
dataset = "nano-cot"
schedule = "short"
"""


@pytest.mark.parametrize(
    ("right", "gate", "short"),
    [
        ({"facts": 100}, (("facts", 0.5),), ""),
        ({"facts": 99}, (("facts", 0.5),), "facts 99 of 200 (50%, needs 50%)"),
        ({"facts": 100, "format": 10}, (("facts", 0.5), ("format", 0.9)), "format 10 of 200 (5%, needs 90%)"),
        ({"facts": 0}, (), ""),
        ({}, (("facts", 0.5),), "facts was not measured"),
    ],
)
def test_a_level_below_the_gate_is_refused_by_name(right, gate, short):
    levels = {name: Level(count, 200) for name, count in right.items()}
    if not short:
        refuse_below(levels, gate, "small")
        return
    with pytest.raises(StepError) as refused:
        refuse_below(levels, gate, "small")
    assert short in str(refused.value)
    assert "base_models/small" in str(refused.value)


def test_every_skill_of_a_gate_is_asked_and_every_mixture_written():
    assert tuple(PROBES) == get_args(Skill)
    assert tuple(MIXTURES) == get_args(Mixture)
    assert {probe.generator for probe in PROBES.values()} <= set(SKILLS)


@pytest.mark.slow
def test_a_base_below_its_gate_stops_what_stands_on_it(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    environment = {
        **os.environ,
        "RSFT_STUDY": str(tmp_path / "study.toml"),
        "RSFT_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "rsft_assets.commands.cli", "materialize", "scores/hasty/*", "--upstream"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "base_models/hasty did not reach the skills" in done.stderr
    assert "worked-dot" in done.stderr
    assert "not run, since base_models/hasty failed" in done.stderr
    made = {path.relative_to(tmp_path / "home").parts[0] for path in (tmp_path / "home").rglob("manifest.json")}
    assert "datasets" in made and not made & {"base_models", "checkpoints", "scores"}
