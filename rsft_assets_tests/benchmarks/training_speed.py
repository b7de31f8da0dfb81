"""Useful (unpadded) tokens a second: this trainer beside TRL's SFTTrainer with packing, same model, rows and machine.

    python -m rsft_assets_tests.benchmarks.training_speed [--size 1m|135m] [--rounds 3] [--precision fp32|bf16]

Rounds of the two alternate, each in a process of its own; the first optimizer steps are left out. TRL and
accelerate must be importable for its half. The last line is the factor that packing saves over padding each
row to 20,000 tokens, on the lengths of the rows used and on the paper's scale.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINE, WARM, STEPS = 4_096, 2, 8
PADDED_TO = 20_000


def rows_of(count: int) -> list[list[int]]:
    """Documents of the nano mixture, tokenised: real lengths of the embedded default."""
    import itertools

    from rsft_assets.steps.nano.mixture import documents
    from rsft_assets.steps.nano.tokenizer import build_tokenizer
    from rsft_assets.steps.training.text import document_rows

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = build_tokenizer(Path(folder))
    return [ids for ids, _ in document_rows(itertools.islice(documents("nano-skills", 1), count), tokenizer)]


def model_of(size: str, vocabulary: int = 600):
    from rsft_assets.steps.training.models import new_qwen3

    shape = {"1m": (4, 128, 4), "135m": (24, 640, 10)}[size]
    layers, hidden, heads = shape
    return new_qwen3(vocabulary=vocabulary, layers=layers, hidden=hidden, heads=heads, context=LINE, seed=1, end=0)


def ours(size: str, precision: str, rows: list[list[int]]) -> dict[str, float]:
    """(tokens, seconds, processor seconds) of the timed steps."""
    import numpy as np

    from rsft_assets.specs.placement import Placement
    from rsft_assets.steps.training.attention import install
    from rsft_assets.steps.training.engine import Optimiser, Session, dtype_of, join_processes
    from rsft_assets.steps.training.packing import micro_batch, plan

    join_processes("cpu", Path("unused"))
    model = model_of(size).to(dtype_of(precision))
    install(model)
    optimiser = Optimiser((0.9, 0.999), 1e-8, 0.01, 1.0, precision)
    session = Session(model, optimiser, Placement(device="cpu"), "cpu")
    arrays = [np.array(row) for row in rows]
    taken, start = 0, 0
    packing = 0.0
    for step in range(WARM + STEPS):
        if step == WARM:
            began, cpu, taken, packing = time.perf_counter(), time.process_time(), 0, 0.0
        batch: list[np.ndarray] = []
        while sum(map(len, batch)) + len(arrays[start]) <= LINE:
            batch.append(arrays[start])
            start += 1
        at = time.perf_counter()
        total = sum(map(len, batch))
        [bins] = plan([len(row) - 1 for row in batch], LINE, 1)
        micros = [
            micro_batch([batch[p] for p in places], [0] * len(places), [1 / total] * len(places), device="cpu")
            for places in bins
        ]
        packing += time.perf_counter() - at
        session.backward(micros)
        session.apply(1e-4)
        taken += total
    seconds = time.perf_counter() - began
    return {"tokens": taken, "seconds": seconds, "cpu": time.process_time() - cpu, "packing": packing / seconds}


def theirs(size: str, precision: str, rows: list[list[int]]) -> dict[str, float]:
    """The same by TRL, packing by best fit, attention kept inside rows by positions."""
    import datasets
    import torch
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):
        def on_step_end(self, arguments, state, control, **_):
            if state.global_step == WARM:
                self.began, self.cpu = time.perf_counter(), time.process_time()
            self.seconds = time.perf_counter() - getattr(self, "began", time.perf_counter())
            self.used = time.process_time() - getattr(self, "cpu", time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        from rsft_assets.steps.nano.tokenizer import build_tokenizer

        tokenizer = build_tokenizer(Path(folder) / "tokenizer")
        clock = Clock()
        trainer = SFTTrainer(
            model=model_of(size).to(torch.bfloat16 if precision == "bf16" else torch.float32),
            args=SFTConfig(
                output_dir=folder,
                packing=True,
                max_length=LINE,
                per_device_train_batch_size=1,
                gradient_accumulation_steps=1,
                max_steps=WARM + STEPS,
                learning_rate=1e-4,
                bf16=False,
                use_cpu=True,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=datasets.Dataset.from_dict({"input_ids": rows}),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        lengths = [len(row) for row in trainer.train_dataset["input_ids"]]
        trainer.train()
    return {"tokens": STEPS * statistics.mean(lengths), "seconds": clock.seconds, "cpu": clock.used, "packing": 0.0}


def one_round(which: str, size: str, precision: str) -> dict[str, float]:
    """One of the two in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--one", which, "--size", size, "--precision", precision]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("1m", "135m"), default="1m")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=("ours", "theirs"))
    arguments = parser.parse_args()
    if arguments.one:
        import torch

        torch.set_num_threads(1)
        function = {"ours": ours, "theirs": theirs}[arguments.one]
        print(json.dumps(function(arguments.size, arguments.precision, rows_of(1_500))))
        return
    names = ["ours"] + ["theirs"] * (importlib.util.find_spec("trl") is not None)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            found[name].append(one_round(name, arguments.size, arguments.precision))
    for unit in ("seconds", "cpu"):
        rates = {name: [r["tokens"] / r[unit] for r in rounds] for name, rounds in found.items()}
        for name, values in rates.items():
            middle = statistics.median(values)
            print(f"{name:7s} {middle:9,.0f} tokens per {unit:7s} ({min(values):,.0f} to {max(values):,.0f})")
        if len(rates) == 2:
            ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
            print(f"ratio   {statistics.median(ratios):9.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"packing takes {100 * statistics.median(r['packing'] for r in found['ours']):.2f} % of a step")
    mean = statistics.mean(map(len, rows_of(1_500)))
    print(f"padding each row to {PADDED_TO:,}: {PADDED_TO / mean:.0f} times these rows' mean of {mean:.0f} tokens")


if __name__ == "__main__":
    main()
