"""README's first paper command, as printed, from an empty home and an empty lock, against a hub on loopback.

The hub holds small repositories under their real names in the layouts that their publishers use. The study file is
README's, with item counts and model sizes of the small ones after it.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from rsft_assets.specs.lock import PAPER_LOCK, read_lock
from rsft_assets.specs.study import load_study
from rsft_assets_tests.commands.test_lock import Home
from rsft_assets_tests.loopback_hub import LoopbackHub
from rsft_assets_tests.steps.checkpoints.tiny import tiny_model
from rsft_assets.steps.base_models.tokenizer import build_tokenizer
from rsft_assets_tests.steps.data_study import mirror_parquet
from rsft_assets_tests.steps.published_layouts import aime24, gpqa_diamond, math500

README = Path(__file__).parent.parent.parent / "README.md"
BASE, GPQA = "Qwen/Qwen3-1.7B-Base", "Idavidrein/gpqa"
COT, NOCOT = "jasonrqh/Math-CoT-20k", "jasonrqh/Math-NoCoT-20k"
RUN = "qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256"
AUTHORS_RUN = "jasonrqh/Qwen3-1.7B_Math-CoT-20k_lr5e-5_ep8_bs256"
ROWS = 1280
STEPS = (10, 20, 40)


def model_files(folder, seed):
    """A model as its authors publish it."""
    tokenizer = build_tokenizer(folder)
    tiny_model(seed, len(tokenizer)).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def set_rows(question, response):
    for n in range(ROWS):
        yield {
            "data_source": "openr1-math-220k",
            "question": question.format(n=n),
            "answer": str(n + 1),
            "message": [{"role": "user", "content": question.format(n=n)}],
            "response": response.format(n=n + 1),
            "response_length": 1,
            "advantage": 1.0,
        }


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    known = read_lock(PAPER_LOCK)
    with LoopbackHub() as hub:
        for lay_out in (math500, aime24, gpqa_diamond):
            lay_out(folder / "sets")
        thought, plain = "<think>\nOne more.\n</think>\n\n\\boxed{{{n}}}", "\\boxed{{{n}}}"
        cot = mirror_parquet(
            folder / "sets", COT, "Math-CoT-20k.parquet", list(set_rows("What is {n} plus 1?", thought))
        )
        mirror_parquet(folder / "sets", NOCOT, "train.parquet", list(set_rows("What is {n} plus 1?", plain)))
        hub.mirror(folder / "sets")
        hub.repositories[("dataset", GPQA)].gated = True
        base = model_files(folder / "base", 1)
        hub.commit("model", BASE, {**base, "README.md": b"A base model.\n"}, revision=known[("model", BASE)].revision)
        steps = {
            f"step{step}/{name}": data
            for step in STEPS
            for name, data in model_files(folder / f"step{step}", 1 + step).items()
        }
        hub.commit("model", AUTHORS_RUN, steps, revision=known[("model", AUTHORS_RUN)].revision)
        yield hub
