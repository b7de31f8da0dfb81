"""The gradient table: one batch, one gradient, whatever the processes, micro-batches, packing, stage or weighting.

Compared with plain PyTorch: each row alone, whole logits, one AdamW.
"""

import functools
import itertools
import json
import os
import subprocess
import sys
from typing import NamedTuple

import pytest
import torch

from rsft_assets_tests.steps.checkpoints import gradient_process
from rsft_assets_tests.steps.checkpoints.gradient_process import ADAM, RATE, VOCABULARY, batches, weights_of
from rsft_assets_tests.steps.checkpoints.tiny import tiny_model

GRADIENT, WEIGHTS = 5e-6, 1e-4
LOSSES = ("token-mean", "authors")


class Case(NamedTuple):
    """One way to compute the gradient."""

    stage: int
    budget: int
    packed: bool
    loss: str
    precision: str = "fp32"
    recompute: float = 0.0
    compile: str = "off"


FEW = [
    pytest.param(2, [Case(3, 100, True, "authors"), Case(3, 64, False, "token-mean")], marks=pytest.mark.slow),
    (1, [Case(0, 100, False, "token-mean"), Case(0, 10_000, True, "authors")]),
]
TABLE = [Case(*values) for values in itertools.product((0, 1, 2, 3), (64, 200, 10_000), (True, False), LOSSES)]
BF16 = {1: (0, 1), 2: (0, 1, 2, 3)}
"""Number of processes -> stages."""
PURE = Case(0, 200, True, "authors", precision="bf16-pure")


def bf16(stage):
    return Case(stage, 200, True, "token-mean", precision="bf16")


def recomputing(stage):
    return [
        Case(stage, 100, True, "token-mean", recompute=1.0),
        Case(stage, 10_000, False, "authors", recompute=0.5),
    ]


@pytest.fixture(scope="module")
def reference():
    """Gradient and weights by plain PyTorch, by weighting."""
    return {loss: plain_training(loss, clip=1.0) for loss in LOSSES}


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


@pytest.fixture(scope="module")
def all_found(tmp_path_factory):
    """What a number of processes gave in every case of the slow tests."""

    @functools.cache
    def found(processes):
        recomputed = recomputing({1: 0, 2: 3}[processes])
        cases = [*TABLE, *recomputed, *map(bf16, BF16[processes]), PURE]
        return found_by(tmp_path_factory.mktemp(f"with-{processes}"), processes, cases)

    return found


def found_by(tmp_path, processes, chosen):
    """What each case gave: alone in this process, several in one start of theirs."""
    cases = [
        case._asdict() | {"clip": 1.0, "out": str(tmp_path / f"found-{number}.pt")}
        for number, case in enumerate(chosen)
    ]
    if processes == 1:
        for case in cases:
            gradient_process.run(case)
    else:
        _start(processes, cases, tmp_path / "cases.json")
    return {one: torch.load(case["out"]) for one, case in zip(chosen, cases, strict=True)}


def _start(processes, cases, path):
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
    outputs = [process.communicate(timeout=900)[0] for process in running]
    assert [process.returncode for process in running] == [0] * processes, "\n".join(outputs)[-3000:]


def differences(found, expected, kind):
    """Largest relative difference of a tensor, in norm, and how many tensors were compared."""
    names = [name for name in expected if name.startswith(kind)]
    assert names
    return max(float((found[n] - expected[n]).norm() / expected[n].norm()) for n in names)


def check(found, reference):
    for case, values in found.items():
        expected = reference[case.loss]
        assert values.keys() == expected.keys()
        assert differences(values, expected, "gradient/") <= GRADIENT
        assert differences(values, expected, "weight/") <= WEIGHTS


@pytest.mark.parametrize(("processes", "cases"), FEW)
def test_gradient_and_weights_are_those_of_plain_pytorch(tmp_path, reference, processes, cases):
    check(found_by(tmp_path, processes, cases), reference)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("processes", [1, 2])
def test_the_whole_table(all_found, reference, processes, stage):
    cases = [case for case in TABLE if case.stage == stage]
    assert len(cases) == 12
    check({case: all_found(processes)[case] for case in cases}, reference)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "stage"), [(1, 0), (2, 3)])
def test_recomputing_activations_changes_nothing(all_found, reference, processes, stage):
    for case in recomputing(stage):
        assert differences(all_found(processes)[case], reference[case.loss], "gradient/") <= GRADIENT


@pytest.mark.slow
def test_compiled_layers_change_nothing(tmp_path, reference):
    """Also where half of them are computed again, beside master weights, and between processes."""
    exact = [Case(0, 100, True, "authors", recompute=share, compile="on") for share in (0.0, 0.5, 1.0)]
    half = bf16(1)._replace(compile="on", recompute=0.5)
    found = found_by(tmp_path, 1, [*exact, half])
    check({case: found[case] for case in exact}, reference)
    check(found_by(tmp_path, 2, [exact[1]._replace(stage=2)]), reference)
    assert differences(found[half], reference[half.loss], "gradient/") < 0.05


def test_the_table_can_fail(reference):
    """The two weightings differ by far more than the tolerance."""
    gap = differences(reference["authors"], reference["token-mean"], "gradient/")
    assert gap > 1000 * GRADIENT


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "stage"), [(one, stage) for one, stages in BF16.items() for stage in stages])
def test_bf16_with_master_weights_follows_fp32(all_found, reference, processes, stage):
    found = all_found(processes)[bf16(stage)]
    assert differences(found, reference["token-mean"], "gradient/") < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_pure_bf16_runs_at_stage_0(all_found, reference, processes):
    assert differences(all_found(processes)[PURE], reference["authors"], "gradient/") < 0.05
