"""A tiny study for the trainer's tests: 24 short rows, a two-layer base model from a mirror folder, one run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq

from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator, Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.models import Model, Pretraining
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.study import Study, combine
from rsft_assets.specs.training import Run, Schedule
from rsft_assets.steps.base_models.new_model import new_qwen3
from rsft_assets.steps.base_models.tokenizer import build_tokenizer
from rsft_assets.steps.records.columns import arrow_schema
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.stand_ins import stand_in

ROWS = 24
SCHEDULE = Schedule(lr=1e-3, epochs=3, batch_size=8, precision="fp32", grid=(2, 4, 6))
CPU = Placement(device="cpu", micro_batch_tokens=256)
SMALL = Pretraining(
    layers=2,
    hidden=32,
    heads=4,
    mixture="nano-skills",
    steps=8,
    batch_tokens=512,
    lr=3e-3,
    context=64,
    seed=1,
    held_out_documents=20,
)


WIDER = replace(SMALL, layers=4, hidden=256, heads=4, positions=4_096)
"""For a GPU, whose attention kernels take heads of 64 and split rows of a thousand tokens."""


def tiny_study(schedule: Schedule = SCHEDULE, seeds: Sequence[int] = (1,), **run_fields) -> Study:
    generator = Generator(name="sums", seed=1, count=ROWS)
    pool = Pool(
        name="pool", source="source", teacher=Teacher(name="t", origin=generator), sampling=Sampling(n=1, max_tokens=9)
    )
    tables = {
        "models": [
            Model(name="tiny", family="qwen3", parameters=50_000, origin=Hub(repo="test/tiny"), needs_gpu=False)
        ],
        "sources": [QuerySource(name="source", kind="math", origin=generator)],
        "pools": [pool],
        "datasets": [Dataset(name="rows", recipe="one-correct", rows=ROWS, pool="pool")],
        "runs": [
            Run(model="tiny", dataset="rows", schedule=schedule, seed=seed, **{"max_length": 64, **run_fields})
            for seed in seeds
        ],
        "benchmarks": [],
    }
    return combine([("nano", tables)])


def the_run(study: Study) -> Run:
    return next(iter(study.runs.values()))


def tiny_model(seed: int = 7, vocabulary: int = 600, shape: Pretraining = SMALL):
    """Weights of its own, large enough that a leak between rows would show."""
    import torch

    model = new_qwen3(replace(shape, seed=seed), vocabulary=vocabulary, end=0)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.1 * (SMALL.hidden / shape.hidden) ** 0.5)
    return model


def make_mirror(folder: Path, shape: Pretraining = SMALL) -> Path:
    """A mirror in the hub's layout with the tiny model; its value for RSFT_MIRROR."""
    place = folder / "mirror" / "test" / "tiny"
    tokenizer = build_tokenizer(place)
    model = tiny_model(vocabulary=len(tokenizer), shape=shape)
    model.save_pretrained(place)
    return folder / "mirror"


def examples(rows: int = ROWS, *, word: str = "sum", times: int = 1) -> list[dict]:
    """Rows of very different lengths."""
    return [
        {
            "row": i,
            "query_id": f"q{i}",
            "response_id": None,
            "verdict": "correct",
            "data_source": "source",
            "question": f"What is {i}+{i}?",
            "answer": str(2 * i),
            "message": [{"role": "user", "content": f"What is {i}+{i}?"}],
            "response": f"The {word} is " + "+".join([str(i)] * (1 + i % 7) * times) + f", so \\boxed{{{2 * i}}}.",
            "response_length": 1,
            "advantage": 1.0,
        }
        for i in range(rows)
    ]


def write_examples(path: Path, rows: list[dict]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema("examples")), path)
    return path


def publish_inputs(
    study: Study, store: Store, rows: list[dict] | None = None, held_out: list[dict] | None = None
) -> None:
    """The training set as an output, on stand-ins for what it is made from."""
    upstream = [Ref("queries/source"), Ref("responses/pool", "0"), Ref("verdicts/pool", "0")]
    for ref in upstream:
        with store.build(study, ref) as build:
            if build.finished is None:
                stand_in(build.folder, ref)
                build.publish()
    with store.build(study, Ref("datasets/rows"), force=bool(rows or held_out)) as build:
        if build.finished is None:
            write_examples(build.folder / "examples.parquet", rows or examples())
            if held_out:
                write_examples(build.folder / "held_out.parquet", held_out)
            build.publish()


def longer(study_schedule: Schedule = SCHEDULE, **changes) -> Schedule:
    return replace(study_schedule, **changes)


def saving_session(parameters, moments, device):
    """What saving asks of the session of one process: (name, parameter) pairs, and two moments of each parameter."""
    return SimpleNamespace(
        rank=0,
        world=1,
        stage=0,
        device=device,
        spec=SimpleNamespace(precision="fp32"),
        adam=SimpleNamespace(state=moments),
        named_parameters=lambda: parameters,
        barrier=lambda: None,
    )
