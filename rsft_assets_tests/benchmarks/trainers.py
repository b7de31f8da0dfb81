"""What `training_speed` compares: this trainer, TRL's SFTTrainer, and plain PyTorch that pads.

In: a case. Each trains the case's steps in this process and says what they took: useful tokens, seconds and processor
seconds of the timed ones, and `first`, the seconds before: of the session's start, in which layers are compiled, and
of the steps left out.
"""

import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from rsft_assets.specs import rates
from rsft_assets.specs.training import Optimisation
from rsft_assets_tests.benchmarks.training_cases import Case, batches, model_of, rows_of

PADDED_TO, AUTHORS_MICRO_BATCH = 20_000, 4
RATE = 1e-4
GIB = 2**30


class Clock:
    """Times the steps of a case; call it after each."""

    def __init__(self, case: Case) -> None:
        self.case, self.done = case, 0
        self.start()

    def start(self) -> None:
        self.began, self.cpu = time.perf_counter(), time.process_time()

    def __call__(self) -> None:
        if self.case.device != "cpu":
            import torch

            torch.cuda.synchronize()
        self.done += 1
        self.seconds, self.used = time.perf_counter() - self.began, time.process_time() - self.cpu
        if self.done == self.case.of.warm:
            self.first = self.seconds
            self.start()

    def found(self, tokens: float) -> dict[str, float]:
        return {"tokens": tokens, "seconds": self.seconds, "cpu": self.used, "first": self.first}


def authors_mean() -> float:
    """Tokens of one of the authors' rows: their lengths are not public, so what plans assume."""
    return rates.TYPICAL_THINKING.value + rates.PROMPT_TOKENS


def ours(case: Case) -> dict[str, float]:
    """With `packing`, the share of time that planning and filling micro-batches takes, and what the trainer chose."""
    from rsft_assets.steps.checkpoints.training.engine import dtype_of
    from rsft_assets.steps.checkpoints.training.packing import micro_batch, plan
    from rsft_assets_tests.steps.checkpoints.gradient_process import session_of

    model = model_of(case, dtype_of(case.precision))
    cost = cost_of(case, model)
    spec = Optimisation(lr=RATE, precision=case.precision)
    taken, packing, optimizer, clock = [], [], [], Clock(case)
    session = session_of(model, spec, case.placement, share=cost.recompute)
    for rows in batches(case):
        batch, at = [np.array(row) for row in rows], time.perf_counter()
        taken.append(sum(map(len, batch)))
        [bins] = plan([len(row) - 1 for row in batch], case.of.line, 1)
        micros = [
            micro_batch(
                [batch[p] for p in places], [0] * len(places), [1 / taken[-1]] * len(places), device=case.device
            )
            for places in bins
        ]
        packing.append(time.perf_counter() - at)
        session.backward(micros)
        at = time.perf_counter()
        session.apply(RATE)
        clock()
        optimizer.append(time.perf_counter() - at)
    timed = case.of.timed
    found = clock.found(sum(taken[-timed:]))
    session.engine.destroy()
    return found | {
        "packing": sum(packing[-timed:]) / found["seconds"],
        "optimizer": sum(optimizer[-timed:]),
        "estimated": cost.memory / GIB,
        "recomputed": cost.recompute,
        "attention": model.rows_kernel,
    }


def cost_of(case: Case, model):
    """What the trainer reckons with for a base model of this shape, with the share of layers that it computes again."""
    from rsft_assets.steps.checkpoints.training import estimate

    facts = {"shape_of": lambda _: model.config, "parameters_of": lambda _: model.num_parameters()}
    longest = max(map(len, next(batches(case))))
    with mock.patch.multiple(estimate, **facts):
        return estimate.fitting(Path(), case.precision, case.placement, case.device, longest=longest, kept=1)


def theirs(case: Case) -> dict[str, float]:
    """By TRL. Synthetic rows one at a time, its fastest way on a GPU that keeps them apart without flash-attn, with
    recomputation; others packed by best fit, attention kept inside rows by positions.
    """
    import datasets
    import torch
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from rsft_assets.steps.base_models.tokenizer import build_tokenizer

    synthetic, gpu, steps = case.of.shape is not None, case.device != "cpu", list(batches(case))
    # Its bf16 on a GPU is autocast over fp32 weights, as ours; elsewhere it has no fp32 master weights.
    fp32 = case.precision == "fp32" or (gpu and case.precision == "bf16")
    model = model_of(case, torch.float32 if fp32 else torch.bfloat16)
    rows = [row for batch in steps for row in batch] if synthetic else rows_of(case)
    clock = Clock(case)

    class Ends(TrainerCallback):
        def on_train_begin(self, *_, **__):
            clock.start()

        def on_step_end(self, *_, **__):
            clock()

    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=folder,
                packing=not synthetic,
                max_length=max(map(len, rows)) if synthetic else case.of.line,
                per_device_train_batch_size=1,
                gradient_accumulation_steps=len(steps[0]) if synthetic else 1,
                max_steps=len(steps),
                learning_rate=RATE,
                bf16=gpu and case.precision == "bf16",
                use_cpu=not gpu,
                gradient_checkpointing=synthetic,
                gradient_checkpointing_kwargs={"use_reentrant": False},
                train_sampling_strategy="sequential" if synthetic else "random",
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=datasets.Dataset.from_dict({"input_ids": rows}),
            processing_class=build_tokenizer(Path(folder) / "tokenizer"),
            callbacks=[Ends()],
        )
        lengths = [len(row) for row in trainer.train_dataset["input_ids"]]
        trainer.train()
    a_step = sum(map(len, steps[0])) if synthetic else statistics.mean(lengths)
    return clock.found(case.of.timed * a_step)


def padded(case: Case) -> dict[str, float]:
    """Four rows a time, each padded to a fixed width, whole logits, in plain PyTorch."""
    import torch

    from rsft_assets.steps.checkpoints.training.engine import dtype_of

    rows = rows_of(case)
    mean = statistics.mean(map(len, rows))
    width = round(PADDED_TO / authors_mean() * mean)
    model = model_of(case, dtype_of(case.precision))
    adam = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    micros = max(1, round(case.of.line / (AUTHORS_MICRO_BATCH * mean)))
    taken, position, clock = [], 0, Clock(case)
    for _ in range(case.of.warm + case.of.timed):
        taken.append(0)
        for _ in range(micros):
            four = [row[:width] for row in rows[position : position + AUTHORS_MICRO_BATCH]]
            position += AUTHORS_MICRO_BATCH
            ids = torch.tensor([row + [0] * (width - len(row)) for row in four], device=case.device)
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in four], device=case.device)
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
            kept = mask[:, 1:].flatten()
            ((losses * kept).sum() / kept.sum()).backward()
            taken[-1] += int(mask.sum())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        clock()
    return clock.found(sum(taken[-case.of.timed :]))


TRAINERS = {"ours": ours, "theirs": theirs, "padded": padded}
