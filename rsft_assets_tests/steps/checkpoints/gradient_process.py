"""One process of a gradient case: `python -m …gradient_process CASES.json`; the first writes what it found.

In: a list of device, stage, precision, budget, packing, weighting, more fields of the placement. Out: the batch's
gradient, and the weights after three AdamW steps, by name, in `out`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from rsft_assets.specs.placement import Placement
from rsft_assets.specs.training import Optimisation
from rsft_assets.steps.checkpoints.training import state
from rsft_assets.steps.checkpoints.training.attention import install
from rsft_assets.steps.checkpoints.training.cards import set_determinism
from rsft_assets.steps.checkpoints.training.engine import Session, device_of, dtype_of, join_processes
from rsft_assets.steps.checkpoints.training.layers import compile_for, compiles, recompute
from rsft_assets.steps.checkpoints.training.loop import Bounds, _batch
from rsft_assets.steps.checkpoints.training.text import collect
from rsft_assets.steps.checkpoints.training.weights import row_weights
from rsft_assets_tests.steps.checkpoints.tiny import SMALL, WIDER, tiny_model

RATE, STEPS, BATCH, VOCABULARY = 1e-3, 3, 16, 211
SCALES = {"cpu": (SMALL, 60), "cuda": (WIDER, 3_000)}
"""Shape of the model and longest row by device."""
ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}


def batches(longest=60):
    """Three batches of (token ids, prompt length), lengths from 4 tokens."""
    chance = np.random.default_rng(11)
    made = []
    for _ in range(STEPS):
        lengths = chance.integers(4, longest, size=BATCH)
        made.append([(chance.integers(1, VOCABULARY, size=n), int(chance.integers(1, n - 1))) for n in lengths])
    return made


def weights_of(loss, batch):
    return row_weights(loss, [len(ids) - prompt for ids, prompt in batch], 1)


def session_of(model, spec, placement, *, packed=True, share=0.0, meeting_point=Path("unused")):
    """What a training process makes of a model; `share` of its layers are computed again."""
    device = device_of(placement)
    set_determinism(placement, device)
    join_processes(device, meeting_point)
    if packed:
        assert install(model)
    session = Session(model, spec, placement, device)
    compiled = compile_for(session, placement, packed=packed)
    # A training goes on where compiling fails, and says so; here its numbers would be taken for those of compiled code.
    assert compiled == (packed and compiles(placement, device, session.stage)), "layers could not be compiled"
    recompute(session.engine.module, share)
    return session


def run(case):
    """Everything of one case on this process."""
    torch.set_num_threads(1)
    device, (shape, longest) = case.get("device", "cpu"), SCALES[case.get("device", "cpu")]
    model = tiny_model(vocabulary=VOCABULARY, shape=shape).to(dtype_of(case["precision"]))
    spec = Optimisation(lr=RATE, **ADAM, clip=case["clip"], precision=case["precision"])
    fields = {"compile": case["compile"]} if "compile" in case else case["placement"]
    session = session_of(
        model,
        spec,
        Placement(device=device, zero_stage=case["stage"], **fields),
        packed=case["packed"],
        share=case.get("recompute", fields.get("recompute_share", 0.0)),
        meeting_point=Path(case["out"]).with_suffix(".meeting"),
    )
    bounds = Bounds(0, (), (), case["budget"], case["packed"], Path(case["out"]), {})
    found = {}
    # DeepSpeed picks its accelerator when it is loaded, so the session comes first.
    from deepspeed.utils import safe_get_full_grad

    for number, batch in enumerate(batches(longest)):
        tokens, weights = collect(batch, VOCABULARY), weights_of(case["loss"], batch)
        micros, _ = _batch(session, bounds, tokens, range(BATCH), lambda trained, weights=weights: weights)
        session.backward(micros)
        if number == 0:
            for name, parameter in session.named_parameters():
                found[f"gradient/{name}"] = safe_get_full_grad(parameter).detach().float().to("cpu", copy=True)
        session.apply(RATE)
    for name, value in state.full_weights(session, torch.float32).items():
        found[f"weight/{name}"] = value
    if session.rank == 0:
        torch.save(found, case["out"])


if __name__ == "__main__":
    for one in json.loads(Path(sys.argv[1]).read_text()):
        run(one)
