"""The gradient table: one batch, one gradient, whatever the processes, micro-batches, packing, stage or weighting.

Compared with plain PyTorch: each row alone, whole logits, one AdamW.
"""

import itertools
import json
import os
import subprocess
import sys

import pytest
import torch

from rsft_assets_tests.steps.checkpoints.gradient_process import ADAM, RATE, VOCABULARY, batches, weights_of
from rsft_assets_tests.steps.checkpoints.tiny import tiny_model

GRADIENT, WEIGHTS = 5e-6, 1e-4
FEW = [
    # processes, stage, then (budget, packed, weighting)
    (2, 3, [(100, True, "authors"), (64, False, "token-mean")]),
    (1, 0, [(100, False, "token-mean"), (10_000, True, "authors")]),
]
ALL = list(itertools.product((64, 200, 10_000), (True, False), ("token-mean", "authors")))


@pytest.fixture(scope="module")
def reference():
    """Gradient and weights by plain PyTorch, by weighting."""
    return {loss: plain_training(loss, clip=1.0) for loss in ("token-mean", "authors")}


def plain_training(loss, clip):
    model = tiny_model(vocabulary=VOCABULARY)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, foreach=False, **ADAM)
    found = {}
    for number, batch in enumerate(batches()):
        total = torch.zeros(())
        for (ids, prompt), weight in zip(batch, weights_of(loss, batch), strict=True):
            row = torch.tensor(ids)
            logits = model(row[None, :-1]).logits[0, prompt - 1 :]
            total = total + weight * torch.nn.functional.cross_entropy(logits, row[prompt:], reduction="sum")
        total.backward()
        if number == 0:
            found |= {f"gradient/{name}": p.grad.clone() for name, p in model.named_parameters()}
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        optimiser.zero_grad()
    return found | {f"weight/{name}": p.detach() for name, p in model.named_parameters()}


def found_by(tmp_path, processes, stage, variants, precision="fp32", recompute=False):
    """What each (budget, packed, weighting) gave, all in one start of the processes."""
    cases = [
        {"stage": stage, "budget": budget, "packed": packed, "loss": loss, "precision": precision, "clip": 1.0}
        | {"recompute": recompute, "out": str(tmp_path / f"found-{number}.pt")}
        for number, (budget, packed, loss) in enumerate(variants)
    ]
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases))
    command = [sys.executable, "-m", "rsft_assets_tests.steps.checkpoints.gradient_process", str(path)]
    running = []
    for rank in range(processes):
        environment = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
        running.append(
            subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * processes, "\n".join(outputs)[-3000:]
    return [(variant, torch.load(case["out"])) for variant, case in zip(variants, cases, strict=True)]


def differences(found, expected, kind):
    """Largest relative difference of a tensor, in norm, and how many tensors were compared."""
    names = [name for name in expected if name.startswith(kind)]
    assert names
    return max(float((found[n] - expected[n]).norm() / expected[n].norm()) for n in names)


def check(tmp_path, reference, processes, stage, variants):
    for (_, _, loss), found in found_by(tmp_path, processes, stage, variants):
        expected = reference[loss]
        assert found.keys() == expected.keys()
        assert differences(found, expected, "gradient/") <= GRADIENT
        assert differences(found, expected, "weight/") <= WEIGHTS


@pytest.mark.parametrize(("processes", "stage", "variants"), FEW)
def test_gradient_and_weights_are_those_of_plain_pytorch(tmp_path, reference, processes, stage, variants):
    check(tmp_path, reference, processes, stage, variants)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("processes", [1, 2])
def test_the_whole_table(tmp_path, reference, processes, stage):
    check(tmp_path, reference, processes, stage, ALL)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "stage"), [(1, 0), (2, 3)])
def test_recomputing_activations_changes_nothing(tmp_path, reference, processes, stage):
    variants = [(100, True, "token-mean"), (10_000, False, "authors")]
    for (_, _, loss), found in found_by(tmp_path, processes, stage, variants, recompute=True):
        assert differences(found, reference[loss], "gradient/") <= GRADIENT


def test_the_table_can_fail(reference):
    """The two weightings differ by far more than the tolerance."""
    gap = differences(reference["authors"], reference["token-mean"], "gradient/")
    assert gap > 1000 * GRADIENT


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "stage"), [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)])
def test_bf16_with_master_weights_follows_fp32(tmp_path, reference, processes, stage):
    [(_, found)] = found_by(tmp_path, processes, stage, [(200, True, "token-mean")], precision="bf16")
    assert differences(found, reference["token-mean"], "gradient/") < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_pure_bf16_runs_at_stage_0(tmp_path, reference, processes):
    [(_, found)] = found_by(tmp_path, processes, 0, [(200, True, "authors")], precision="bf16-pure")
    assert differences(found, reference["authors"], "gradient/") < 0.05
