"""The nano study: the same graph at a size that two CPU cores train in minutes."""

from dataclasses import replace

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.models import Model, Pretraining
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.training import Run, Schedule

MODELS = (
    Model(
        name="nano-1m",
        family="qwen3",
        parameters=1_000_000,
        origin=Pretraining(
            layers=4,
            hidden=128,
            heads=4,
            mixture="nano-skills",
            steps=600,
            batch_tokens=2_048,
            lr=3e-3,
            context=256,
            seed=1,
        ),
        needs_gpu=False,
        description="About a million parameters, Qwen3 architecture, pretrained here on a mixture of small skills.",
    ),
)

SOURCES = (
    QuerySource(
        name="nano-sums",
        kind="math",
        origin=Generator(name="sums", seed=11, count=2_000),
        instruction="",
        description="Short sums whose worked answer takes a few steps.",
    ),
)

POOLS = (
    Pool(
        name="nano-sums_procedural_n4",
        source="nano-sums",
        teacher=Teacher(name="procedural", origin=Generator(name="worked-sums", seed=12, count=4)),
        sampling=Sampling(n=4, max_tokens=160, seed=12),
        shards=2,
        description="A procedure works each sum out, with slips, checks and corrections; some answers are wrong.",
    ),
)

DATASETS = (
    Dataset(
        name="nano-cot",
        recipe="one-correct",
        rows=1_280,
        pool="nano-sums_procedural_n4",
        description="Verified worked answers with their thinking.",
    ),
    Dataset(
        name="nano-nocot",
        recipe="without-thinking",
        rows=1_280,
        like="nano-cot",
        thinking=False,
        description="The same rows, thinking removed.",
    ),
)

DEFAULT = Schedule(lr=1e-3, epochs=2, batch_size=32, precision="fp32", grid=(5, 10, 20, 40, 80))

RUNS = tuple(Run(model="nano-1m", dataset=dataset.name, schedule=DEFAULT, max_length=256) for dataset in DATASETS)

HELD_OUT = (("part", "test"),)
"""Questions that neither training queries nor pretraining texts can hold."""

_SAMPLING = Sampling(n=1, temperature=0.6, top_p=0.95, max_tokens=160, seed=5)

BENCHMARKS = (
    Benchmark(
        name="nano-sums-test",
        title="Nano sums",
        group="in-domain",
        origin=Generator(name="sums", seed=101, count=100, options=HELD_OUT),
        task="math",
        items=100,
        sampling=_SAMPLING,
        description="Sums of the trained kind that no training row holds.",
    ),
    Benchmark(
        name="nano-dot",
        title="Nano dot product",
        group="ood-reasoning",
        origin=Generator(name="dot", seed=102, count=100, options=HELD_OUT),
        task="math",
        items=100,
        sampling=replace(_SAMPLING, seed=6),
        description="A procedure that is never fine-tuned on.",
    ),
    Benchmark(
        name="nano-format",
        title="Nano formats",
        group="general",
        origin=Generator(name="format", seed=103, count=100, options=HELD_OUT),
        task="nano-format",
        items=100,
        sampling=replace(_SAMPLING, seed=7),
        description="Short instructions whose answer has one exact form: repeat, sort, reverse, pick.",
    ),
    Benchmark(
        name="nano-refusal",
        title="Nano refusal",
        group="safety",
        origin=Generator(name="refusal", seed=104, count=100, options=HELD_OUT),
        task="nano-refusal",
        items=100,
        sampling=replace(_SAMPLING, seed=8),
        metrics=("accuracy", "compliance", "over_refusal"),
        description="Harmless stand-ins for forbidden requests, which must be refused, and some that must not.",
    ),
)
