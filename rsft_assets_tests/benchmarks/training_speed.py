"""Useful (unpadded) tokens a second: this trainer beside TRL's SFTTrainer with packing, same model, rows and machine.

    python -m rsft_assets_tests.benchmarks.training_speed [--size 135m] [--rounds 3] [--precision bf16-pure]

Rounds alternate, each in a process of its own; the first optimizer steps are left out. TRL and accelerate must
be importable for its half. 1m trains documents of the nano study; 135m has SmolLM2-135M's shape and random weights
and trains MATH rows from RSFT_TEST_DATA. TRL has no fp32 master weights, so bf16-pure is its bf16's like. `padded`
pads four rows a time as the authors' trainer pads to 20,000: to as many times the rows' mean length as 20,000 is of
the mean that `rsft plan` assumes of their rows.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINES = {"1m": (4_096, 2, 8), "135m": (1_024, 1, 2)}
"""(tokens of a packed line, steps left out, steps timed)"""
VOCABULARY = {"1m": 600, "135m": 49_152}
PADDED_TO, AUTHORS_MICRO_BATCH = 20_000, 4
DATA = Path(os.environ.get("RSFT_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def authors_mean() -> float:
    """Tokens of one of the authors' rows: their lengths are not public, so what plans assume."""
    from rsft_assets.specs import rates

    return rates.TYPICAL_THINKING.value + rates.PROMPT_TOKENS


def rows_of(size: str, count: int) -> list[list[int]]:
    """Tokenised rows with real lengths."""
    return documents_of(count) if size == "1m" else math_rows(count)


def math_rows(count: int) -> list[list[int]]:
    """Problems with their solutions; token ids brought into the model's vocabulary, which changes no cost."""
    from transformers import AutoTokenizer

    path = DATA / "sft_math" / "math_test_minus_math500_2500.jsonl"
    if not path.is_file():
        sys.exit(f"{path} is not there; set RSFT_TEST_DATA")
    tokenizer = AutoTokenizer.from_pretrained(DATA / "tokenizer_qwen3")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:count]]
    rows = tokenizer([f"{one['problem']}\n{one['solution']}" for one in lines])["input_ids"]
    return [[token % VOCABULARY["135m"] for token in row] for row in rows]


def documents_of(count: int) -> list[list[int]]:
    """Documents of the nano mixture."""
    import itertools

    from rsft_assets.steps.base_models.mixture import documents
    from rsft_assets.steps.base_models.tokenizer import build_tokenizer
    from rsft_assets.steps.checkpoints.training.text import document_rows

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = build_tokenizer(Path(folder))
    return [ids for ids, _ in document_rows(itertools.islice(documents("nano-skills", 1), count), tokenizer)]


def model_of(size: str):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from rsft_assets.specs import nano
    from rsft_assets.steps.base_models.new_model import new_qwen3

    if size == "1m":
        [spec] = [model.origin for model in nano.MODELS if model.name == "nano-1m"]
        return new_qwen3(dataclasses.replace(spec, positions=8_192), vocabulary=VOCABULARY[size], end=0)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY[size],
        hidden_size=576,
        intermediate_size=1_536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8_192,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def ours(size: str, precision: str, rows: list[list[int]]) -> dict[str, float]:
    """(tokens, seconds, processor seconds) of the timed steps."""
    import numpy as np

    from rsft_assets.specs.placement import Placement
    from rsft_assets.specs.training import Optimisation
    from rsft_assets.steps.checkpoints.training.attention import install
    from rsft_assets.steps.checkpoints.training.engine import Session, dtype_of, join_processes
    from rsft_assets.steps.checkpoints.training.packing import micro_batch, plan

    line, warm, steps = LINES[size]
    join_processes("cpu", Path("unused"))
    model = model_of(size).to(dtype_of(precision))
    install(model)
    session = Session(model, Optimisation(lr=1e-4, precision=precision), Placement(device="cpu"), "cpu")
    arrays = [np.array(row) for row in rows]
    taken, start = 0, 0
    packing = 0.0
    for step in range(warm + steps):
        if step == warm:
            began, cpu, taken, packing = time.perf_counter(), time.process_time(), 0, 0.0
        batch: list[np.ndarray] = []
        while sum(map(len, batch)) + len(arrays[start]) <= line:
            batch.append(arrays[start])
            start += 1
        at = time.perf_counter()
        total = sum(map(len, batch))
        [bins] = plan([len(row) - 1 for row in batch], line, 1)
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
            if state.global_step == LINES[size][1]:
                self.began, self.cpu = time.perf_counter(), time.process_time()
            self.seconds = time.perf_counter() - getattr(self, "began", time.perf_counter())
            self.used = time.process_time() - getattr(self, "cpu", time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        from rsft_assets.steps.base_models.tokenizer import build_tokenizer

        tokenizer = build_tokenizer(Path(folder) / "tokenizer")
        clock = Clock()
        trainer = SFTTrainer(
            model=model_of(size).to(torch.float32 if precision == "fp32" else torch.bfloat16),
            args=SFTConfig(
                output_dir=folder,
                packing=True,
                max_length=LINES[size][0],
                per_device_train_batch_size=1,
                gradient_accumulation_steps=1,
                max_steps=LINES[size][1] + LINES[size][2],
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
    return {
        "tokens": LINES[size][2] * statistics.mean(lengths),
        "seconds": clock.seconds,
        "cpu": clock.used,
        "packing": 0.0,
    }


def padded(size: str, precision: str, rows: list[list[int]]) -> dict[str, float]:
    """Four rows a time, each padded to a fixed width, whole logits, in plain PyTorch."""
    import torch

    from rsft_assets.steps.checkpoints.training.engine import dtype_of

    line, warm, steps = LINES[size]
    width = round(PADDED_TO / authors_mean() * statistics.mean(map(len, rows)))
    model = model_of(size).to(dtype_of(precision))
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    micros = max(1, round(line / (AUTHORS_MICRO_BATCH * statistics.mean(map(len, rows)))))
    taken, position = 0, 0
    for step in range(warm + steps):
        if step == warm:
            began, cpu, taken = time.perf_counter(), time.process_time(), 0
        for _ in range(micros):
            four = [row[:width] for row in rows[position : position + AUTHORS_MICRO_BATCH]]
            position += AUTHORS_MICRO_BATCH
            ids = torch.tensor([row + [0] * (width - len(row)) for row in four])
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in four])
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
            kept = mask[:, 1:].flatten()
            ((losses * kept).sum() / kept.sum()).backward()
            taken += int(mask.sum())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
    seconds = time.perf_counter() - began
    return {"tokens": taken, "seconds": seconds, "cpu": time.process_time() - cpu, "packing": 0.0}


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
    parser.add_argument("--precision", choices=("fp32", "bf16", "bf16-pure"), default="fp32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=sorted(TRAINERS))
    parser.add_argument("--beside", nargs="*", choices=["padded", "theirs"], default=["theirs", "padded"])
    arguments = parser.parse_args()
    rows = rows_of(arguments.size, 1_500)
    if arguments.one:
        import torch

        torch.set_num_threads(1)
        found = TRAINERS[arguments.one](arguments.size, arguments.precision, rows)
        print(json.dumps({**found, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
        return
    beside = [name for name in arguments.beside if name != "theirs" or importlib.util.find_spec("trl")]
    rounds = [
        {name: one_round(name, arguments.size, arguments.precision) for name in ["ours", *beside]}
        for _ in range(arguments.rounds)
    ]
    print(f"{arguments.size}, {arguments.precision}, {arguments.rounds} rounds, one thread each; load {load()}")
    for unit in ("seconds", "cpu"):
        for name in ["ours", *beside]:
            rates = [one[name]["tokens"] / one[name][unit] for one in rounds]
            print(f"{name:7s} {spread(rates, ',.0f')} tokens per {unit}")
        for name in beside:
            ratios = [
                one["ours"]["tokens"] / one["ours"][unit] / (one[name]["tokens"] / one[name][unit]) for one in rounds
            ]
            print(f"ours / {name}: {spread(ratios, '.2f')} per {unit}")
    for name in ["ours", *beside]:
        print(f"{name:7s} {spread([one[name]['peak'] for one in rounds], '.2f')} GiB at the most")
    print(f"packing takes {spread([100 * one['ours']['packing'] for one in rounds], '.2f')} % of a step")
    print(
        f"padding to {PADDED_TO:,} tokens computes {PADDED_TO / authors_mean():.2f} for each useful one of rows of "
        f"{authors_mean():,.0f} (assumed of the authors' rows)"
    )


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def spread(values: list[float], form: str) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


TRAINERS = {"ours": ours, "theirs": theirs, "padded": padded}

if __name__ == "__main__":
    main()
