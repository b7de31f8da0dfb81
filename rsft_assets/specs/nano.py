"""The nano study: the paper's questions at a size that two CPU cores train in an hour, declared before it is run.

Rows and batches are a sixteenth of the paper's, at the paper's number of steps, so that its settings keep their
proportions: Setting 1 repeats many rows in large batches, Setting 2 repeats few rows, Setting 3 sees many rows once,
all for 640 steps. Every arm that decides a question has three training seeds. `DEMO_RUNS` is the smallest part
that still shows a trajectory, thinking against none.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.models import Model, Pretraining
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.training import Run, Schedule

_SMALL = Pretraining(
    layers=3,
    hidden=88,
    heads=4,
    mixture="nano-skills-little",
    steps=3_000,
    batch_tokens=1_024,
    lr=3e-3,
    context=192,
    seed=1,
    gate=(("worked-running", 0.8), ("worked-dot", 0.9), ("facts", 0.4), ("format", 0.75), ("refusal", 0.9)),
)

_model = partial(Model, family="qwen3", needs_gpu=False)

MODELS = (
    _model(
        name="nano-300k",
        parameters=326_612,
        origin=_SMALL,
        description="The small one, with a little of the teacher's thinking among its texts: of its chats about a "
        "calculation half are answered with the number alone, a quarter in bare steps, a quarter with thinking.",
    ),
    _model(
        name="nano-300k-plain",
        parameters=326_612,
        origin=replace(_SMALL, mixture="nano-skills"),
        description="The small one on the same texts without the thinking: two in three of its chats about a "
        "calculation are answered with the number alone, one in bare steps.",
    ),
    _model(
        name="nano-1m",
        parameters=856_320,
        origin=replace(
            _SMALL,
            layers=4,
            hidden=128,
            lr=2e-3,
            steps=5_000,
            gate=(("worked-running", 0.9), ("worked-dot", 0.9), ("facts", 0.9), ("format", 0.9), ("refusal", 0.9)),
        ),
        description="The larger one, pretrained longer: its gate asks for more than the small ones reach.",
    ),
)

SOURCES = (
    QuerySource(
        name="nano-chains",
        kind="math",
        origin=Generator(name="running", seed=11, count=2_048),
        instruction="",
        description="Chains of arithmetic, each step on what the last one gave; with hurried human solutions.",
    ),
    QuerySource(
        name="nano-countdown",
        kind="countdown",
        origin=Generator(name="countdown", seed=12, count=2_048),
        instruction="",
        description="Three numbers to be added and subtracted until they make a target.",
    ),
)

_HABIT = 0.7
"""Share of the teacher's responses that forget the carry when adding nine: a systematic error."""


def _pool(name: str, source: str, procedure: str, description: str, **options: str | float) -> Pool:
    origin = Generator(name=procedure, seed=13, count=4, options=tuple(options.items()))
    return Pool(
        name=name,
        source=source,
        teacher=Teacher(name="procedural", origin=origin),
        sampling=Sampling(n=4, max_tokens=160, seed=13),
        shards=2,
        description=description,
    )


POOLS = (
    _pool(
        "nano-chains_procedural_n4",
        "nano-chains",
        "worked-steps",
        "A procedure works each chain out step by step, with slips, waits and checks; some answers are wrong, some of "
        "those by a habit.",
        habit=_HABIT,
    ),
    _pool(
        "nano-chains_light_n4",
        "nano-chains",
        "worked-steps",
        "The same procedure noting its running totals only.",
        habit=_HABIT,
        style="light",
    ),
    _pool(
        "nano-countdown_procedural_n4",
        "nano-countdown",
        "countdown-search",
        "A search with dead ends; sometimes a dead end is taken for the way.",
    ),
)

_ROWS = 1_280
_dataset = partial(Dataset, rows=_ROWS)

DATASETS = (
    _dataset(
        name="nano-cot",
        title="Nano-CoT",
        recipe="one-correct",
        pool="nano-chains_procedural_n4",
        description="Verified worked answers that replay every step in their thinking.",
    ),
    _dataset(
        name="nano-nocot",
        title="Nano-NoCoT",
        recipe="without-thinking",
        like="nano-cot",
        thinking=False,
        description="The same rows, thinking removed.",
    ),
    _dataset(
        name="nano-light-cot",
        title="Nano-Light-CoT",
        recipe="one-correct",
        pool="nano-chains_light_n4",
        description="Verified answers whose thinking notes the running totals only.",
    ),
    _dataset(
        name="nano-human",
        title="Nano-Human",
        recipe="human-solution",
        like="nano-cot",
        source="nano-chains",
        thinking=False,
        description="The same queries, answered by short human-like solutions, one in ten of them wrong.",
    ),
    _dataset(
        name="nano-unverified-cot",
        title="Nano-Unverified-CoT",
        recipe="one-any",
        pool="nano-chains_procedural_n4",
        description="A random response to each query, whatever its verdict: the teacher's habit comes with it.",
    ),
    _dataset(
        name="nano-countdown-cot",
        title="Nano-Countdown-CoT",
        recipe="one-correct",
        pool="nano-countdown_procedural_n4",
        description="Verified search traces.",
    ),
    Dataset(
        name="nano-cot-160",
        title="Nano-CoT-160",
        recipe="first-rows",
        rows=_ROWS // 8,
        like="nano-cot",
        description="The first eighth of nano-cot, to be repeated.",
    ),
)

SEEDS = (1, 2, 3)
GRID = (5, 10, 20, 40, 80, 160, 320)
SETTING_1 = Schedule(title="Setting 1", lr=1e-4, epochs=8, batch_size=16, precision="fp32", grid=GRID)
"""Many rows, repeated, in large batches: the default."""
SETTING_2 = replace(SETTING_1, title="Setting 2", batch_size=2)
"""Few rows, repeated: for a set of an eighth of the rows."""
SETTING_3 = replace(SETTING_1, title="Setting 3", batch_size=2, epochs=1)
"""Many rows, once."""
SHORT = replace(SETTING_1, title="Short", epochs=1)
AGGRESSIVE = replace(SETTING_1, title="Long at a high rate", epochs=16, lr=1e-3, decay="constant", grid=(*GRID, 640))


def _runs(model: str, dataset: str, schedule: Schedule = SETTING_1) -> tuple[Run, ...]:
    return tuple(Run(model=model, dataset=dataset, schedule=schedule, seed=seed, max_length=256) for seed in SEEDS)


_COMPARED = ("nano-cot", "nano-nocot", "nano-light-cot", "nano-human", "nano-unverified-cot", "nano-countdown-cot")


def _seed_by_seed(*arms: tuple[Run, ...]) -> Iterator[Run]:
    """In this order, runs that are compared are trained and scored together."""
    return itertools.chain.from_iterable(zip(*arms, strict=True))


RUNS = (
    *_seed_by_seed(*(_runs("nano-300k", dataset) for dataset in _COMPARED)),
    *_runs("nano-300k", "nano-cot-160", SETTING_2),
    # The second of these was declared after all others had been run, for the demo.
    *_seed_by_seed(_runs("nano-300k", "nano-cot", SETTING_3), _runs("nano-300k", "nano-nocot", SETTING_3)),
    *_runs("nano-300k", "nano-cot", SHORT),
    *_runs("nano-300k", "nano-cot", AGGRESSIVE),
    *_runs("nano-300k-plain", "nano-cot"),
    *_runs("nano-1m", "nano-cot"),
    *_runs("nano-1m", "nano-nocot"),
)
DEMO_RUNS = tuple(_runs("nano-300k", dataset, SETTING_3)[0].name for dataset in ("nano-cot", "nano-nocot"))
"""Thinking against none on the small model in one pass, the quickest setting to train; first seed."""

HELD_OUT = (("part", "test"),)
"""Questions that neither training queries nor pretraining texts can hold, and that no design was chosen on."""
_SAMPLING = Sampling(n=1, temperature=0.6, top_p=0.95, max_tokens=160)


def _benchmark(name: str, generator: str, seed: int, **fields: str | tuple[str, ...]) -> Benchmark:
    items = 300
    return Benchmark(
        name=name,
        origin=Generator(name=generator, seed=seed, count=items, options=HELD_OUT),
        items=items,
        sampling=replace(_SAMPLING, seed=seed),
        **fields,  # type: ignore[arg-type]
    )


BENCHMARKS = (
    _benchmark(
        "nano-chains-test",
        "running",
        101,
        title="Nano chains",
        group="in-domain",
        task="math",
        description="Chains of the trained kind that no training row holds.",
    ),
    _benchmark(
        "nano-countdown-test",
        "countdown",
        105,
        title="Nano countdown",
        group="ood-reasoning",
        task="nano-countdown",
        description="Countdown games: in domain for the set of search traces, out of domain for the others. A way to "
        "one of the values that the numbers can have, taken blindly, is right in a quarter of them.",
    ),
    _benchmark(
        "nano-dot",
        "dot",
        102,
        title="Nano dot product",
        group="ood-reasoning",
        task="math",
        description="A procedure that is never fine-tuned on; the bases have read it worked out, mostly as texts.",
    ),
    _benchmark(
        "nano-facts",
        "facts",
        106,
        title="Nano facts",
        group="ood-reasoning",
        task="math",
        description="Number facts, for which no steps help: what comes after, which is larger. Half of them name two "
        "numbers of which one is the answer.",
    ),
    _benchmark(
        "nano-format",
        "format",
        103,
        title="Nano formats",
        group="general",
        task="nano-format",
        description="Short instructions whose answer has one exact form: repeat, sort, reverse, pick.",
    ),
    _benchmark(
        "nano-refusal",
        "refusal",
        104,
        title="Nano refusal",
        group="safety",
        task="nano-refusal",
        metrics=("accuracy", "compliance", "over_refusal", "neither"),
        description="Harmless stand-ins for forbidden requests, which must be refused, and as many that must not be: "
        "those ask for a thing, and the answer hands it over in one exact sentence.",
    ),
)
DEMO_BENCHMARKS = ("nano-chains-test", "nano-dot", "nano-format", "nano-refusal")
"""One of each group: in domain, out of domain, general, safety."""
