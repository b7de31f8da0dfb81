"""The nano study: the paper's questions at a size that two CPU cores train, declared before it is run.

Rows and batches are a thirty-second of the paper's, at the paper's number of steps, so that its settings keep their
proportions: Setting 1 repeats many rows in large batches, Setting 2 repeats few rows, Setting 3 sees many rows once,
all for 640 steps. What decides here is how much thinking the base models have read: the small ones differ in nothing
else. Every arm that decides a question has three training seeds. `DEMO_RUNS` is the smallest part that still shows
what the study is about: thinking against none, from a base that has read a little thinking and from one that has not.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.models import Mixture, Model, Pretraining
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.training import Run, Schedule

_SMALL = Pretraining(
    layers=3,
    hidden=88,
    heads=4,
    mixture="nano-skills-little",
    steps=6_000,
    batch_tokens=1_024,
    lr=3e-3,
    context=192,
    seed=1,
    gate=(("worked-chain", 0.8), ("worked-dot", 0.9), ("facts", 0.8), ("format", 0.8), ("refusal", 0.95)),
)

_model = partial(Model, family="qwen3", needs_gpu=False)


def _small(name: str, mixture: Mixture, description: str) -> Model:
    return _model(name=name, parameters=327_316, origin=replace(_SMALL, mixture=mixture), description=description)


MODELS = (
    _small(
        "nano-300k",
        "nano-skills-little",
        "It has read a little of the teacher's thinking: 4 % of its texts.",
    ),
    _small("nano-300k-plain", "nano-skills", "It has read no thinking; its other texts are those of nano-300k."),
    _small(
        "nano-300k-trace",
        "nano-skills-trace",
        "It has read a trace of thinking: 0.8 % of its texts. The others are those of nano-300k.",
    ),
    _small(
        "nano-300k-much",
        "nano-skills-much",
        "It has read much thinking: 14 % of its texts. The others are those of nano-300k.",
    ),
    _model(
        name="nano-1m",
        parameters=857_344,
        origin=replace(_SMALL, layers=4, hidden=128, lr=2e-3),
        description="A larger one that has read the texts of nano-300k.",
    ),
)

SOURCES = (
    QuerySource(
        name="nano-math",
        kind="math",
        origin=Generator(name="calculations", seed=11, count=1_024),
        instruction="",
        description="Chains of arithmetic, sums, sums of products and prices; with hurried human solutions.",
    ),
    QuerySource(
        name="nano-countdown",
        kind="countdown",
        origin=Generator(name="countdown", seed=12, count=1_024),
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
        "nano-math_procedural_n4",
        "nano-math",
        "worked-steps",
        "A procedure works each question out step by step, with slips, waits and checks; some answers are wrong, some "
        "of those by a habit.",
        habit=_HABIT,
    ),
    _pool(
        "nano-math_light_n4",
        "nano-math",
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

_ROWS = 640
_dataset = partial(Dataset, rows=_ROWS)

DATASETS = (
    _dataset(
        name="nano-cot",
        title="Nano-CoT",
        recipe="one-correct",
        pool="nano-math_procedural_n4",
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
        pool="nano-math_light_n4",
        description="Verified answers whose thinking notes the running totals only.",
    ),
    _dataset(
        name="nano-human",
        title="Nano-Human",
        recipe="human-solution",
        like="nano-cot",
        source="nano-math",
        thinking=False,
        description="The same queries, answered by short human-like solutions, one in ten of them wrong.",
    ),
    _dataset(
        name="nano-unverified-cot",
        title="Nano-Unverified-CoT",
        recipe="one-any",
        pool="nano-math_procedural_n4",
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
        name="nano-cot-80",
        title="Nano-CoT-80",
        recipe="first-rows",
        rows=_ROWS // 8,
        like="nano-cot",
        description="The first eighth of nano-cot, to be repeated.",
    ),
)

SEEDS = (1, 2, 3)
GRID = (20, 40, 80, 160, 320, 640, 1_280)
SETTING_1 = Schedule(title="Setting 1", lr=3e-5, epochs=8, batch_size=8, precision="fp32", grid=GRID)
"""Many rows, repeated, in large batches, at a gentle rate: the default."""
SETTING_2 = replace(SETTING_1, title="Setting 2", batch_size=1)
"""Few rows, repeated: for a set of an eighth of the rows."""
SETTING_3 = replace(SETTING_1, title="Setting 3", batch_size=1, epochs=1)
"""Many rows, once."""
SHORT = replace(SETTING_1, title="Short", epochs=1)
FAST = replace(SETTING_1, title="Setting 1 at a higher rate", lr=1e-4)
LONG = replace(SETTING_1, title="Long at a higher rate", lr=1e-4, epochs=16, batch_size=4)
"""Four times the steps, for a dip to end."""
AGGRESSIVE = replace(SETTING_1, title="Aggressive", lr=1e-3, epochs=16, decay="constant")


def _runs(model: str, dataset: str, schedule: Schedule = SETTING_1, seeds: tuple[int, ...] = SEEDS) -> tuple[Run, ...]:
    return tuple(Run(model=model, dataset=dataset, schedule=schedule, seed=seed, max_length=256) for seed in seeds)


def _seed_by_seed(*arms: tuple[Run, ...]) -> Iterator[Run]:
    """In this order, runs that are compared are trained and scored together."""
    return itertools.chain.from_iterable(zip(*arms, strict=True))


_COMPARED = ("nano-cot", "nano-nocot", "nano-light-cot", "nano-human", "nano-unverified-cot", "nano-countdown-cot")
_BASES = ("nano-300k-plain", "nano-300k-trace", "nano-300k-much", "nano-1m")
_DEMO = tuple(
    _runs(model, dataset, SETTING_3, SEEDS[:1])[0]
    for model in ("nano-300k", "nano-300k-plain")
    for dataset in ("nano-cot", "nano-nocot")
)
"""Setting 3 is the quickest to train."""
RUNS = (
    *_seed_by_seed(*(_runs("nano-300k", dataset) for dataset in _COMPARED)),
    *_seed_by_seed(*(_runs(model, "nano-cot") for model in _BASES)),
    *_runs("nano-300k-plain", "nano-nocot"),
    *_runs("nano-300k", "nano-cot-80", SETTING_2),
    *_DEMO,
    *_runs("nano-300k", "nano-cot", SETTING_3, SEEDS[1:]),
    *_runs("nano-300k", "nano-cot", FAST),
    *_runs("nano-300k", "nano-cot", SHORT),
    *_seed_by_seed(*(_runs(model, "nano-cot", LONG) for model in ("nano-300k-plain", "nano-300k-trace"))),
    *_runs("nano-300k", "nano-cot", AGGRESSIVE, SEEDS[:1]),
)
DEMO_RUNS = tuple(run.name for run in _DEMO)

HELD_OUT = (("part", "test"),)
"""Questions that neither training queries nor pretraining texts can hold, and that no design was chosen on."""
_SAMPLING = Sampling(n=1, temperature=0.6, top_p=0.95, max_tokens=160)


def _benchmark(name: str, generator: str, seed: int, **fields: str | tuple[str, ...]) -> Benchmark:
    items = 250
    return Benchmark(
        name=name,
        origin=Generator(name=generator, seed=seed, count=items, options=HELD_OUT),
        items=items,
        sampling=replace(_SAMPLING, seed=seed),
        **fields,  # type: ignore[arg-type]
    )


BENCHMARKS = (
    _benchmark(
        "nano-math-test",
        "calculations",
        101,
        title="Nano math",
        group="in-domain",
        task="math",
        description="Questions of the four trained kinds that no training row holds.",
    ),
    _benchmark(
        "nano-dot",
        "dot",
        102,
        title="Nano dot product",
        group="ood-reasoning",
        task="math",
        description="Near: the steps of what is fine-tuned, asked in other words. It is never fine-tuned; the bases "
        "have read it in every form that the trained kinds have.",
    ),
    _benchmark(
        "nano-alternating",
        "alternating",
        107,
        title="Nano alternating sum",
        group="ood-reasoning",
        task="math",
        description="Middle: known steps in a new order, with signs that the question does not show. The bases have "
        "read it worked out, also in chats, and never with thinking.",
    ),
    _benchmark(
        "nano-above",
        "above",
        108,
        title="Nano numbers above",
        group="ood-reasoning",
        task="math",
        description="Middle, a step further: numbers must be picked before they are added. The bases have read it "
        "worked out in plain texts only, never in a chat.",
    ),
    _benchmark(
        "nano-countdown-test",
        "countdown",
        105,
        title="Nano countdown",
        group="ood-reasoning",
        task="nano-countdown",
        description="Far: a search, of which the bases have read results only. In domain for the set of search traces. "
        "A way to one of the values that the numbers can have, taken blindly, is right in a quarter of the games.",
    ),
    _benchmark(
        "nano-facts",
        "facts",
        106,
        title="Nano facts",
        group="ood-reasoning",
        task="math",
        description="Far: number facts, for which no steps help: what comes after, which is larger. Half of them name "
        "two numbers of which one is the answer.",
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
DEMO_BENCHMARKS = ("nano-math-test", "nano-dot", "nano-countdown-test", "nano-format", "nano-refusal")
"""In domain, near, far, formats, refusals."""
