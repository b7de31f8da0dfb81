"""A small study with every kind of arm that a full one has: three sizes, six kinds of data, three seeds, settings.

study, store = wide_study(), Store(tmp_path)
finish(study, store, "wide")
"""

from dataclasses import replace

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.models import Model, Pretraining
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher
from rsft_assets.specs.study import Study, combine
from rsft_assets.specs.training import Run, Schedule

SAMPLING = Sampling(n=1, max_tokens=160)
FULL = Schedule(lr=1e-3, epochs=4, batch_size=16, precision="fp32", grid=(5, 10, 40))
"""Settings 1, 2 and 3 of the paper, at this size: 40 steps of 160 rows, of 40 rows, of 160 rows once."""
FEW, ONCE = replace(FULL, batch_size=4), replace(FULL, batch_size=4, epochs=1)
SHORT = replace(FULL, epochs=1, grid=(5,))
SEEDS = (1, 2, 3)


def wide_study() -> Study:
    """Twelve arms, four of them of three seeds, on four base models, one of which has seen no worked answers."""
    shape = {"layers": 1, "hidden": 8, "heads": 2, "steps": 1, "batch_tokens": 8, "lr": 1e-3, "context": 64, "seed": 1}
    bases = {"wide-0.3m": 300_000, "wide-1m": 1_000_000, "wide-3m": 3_000_000, "wide-plain": 1_000_000}
    models = [
        Model(
            name=name,
            family="qwen3",
            parameters=size,
            origin=Pretraining(**shape, mixture="nano-skills" if name == "wide-plain" else "nano-skills-little"),
            needs_gpu=False,
        )
        for name, size in bases.items()
    ]
    decided = [("wide-1m", "cot", FULL), ("wide-1m", "nocot", FULL), ("wide-1m", "cot", ONCE), ("wide-3m", "cot", FULL)]
    others = [("wide-1m", data, FULL) for data in ("light", "human", "countdown", "unverified")]
    others += [("wide-1m", "few", FEW), ("wide-1m", "cot", SHORT)]
    others += [("wide-plain", "cot", FULL), ("wide-0.3m", "cot", FULL)]
    arms = [(*arm, seed) for arm in decided for seed in SEEDS] + [(*arm, 1) for arm in others]
    runs = [Run(model=m, dataset=f"wide-{d}", schedule=s, seed=seed) for m, d, s, seed in arms]
    return combine(
        [
            (
                "wide",
                {
                    "models": models,
                    "sources": [_source("sums"), _source("countdown")],
                    "pools": [_pool("sums"), _pool("light"), _pool("countdown")],
                    "datasets": _datasets(),
                    "runs": runs,
                    "benchmarks": _benchmarks(),
                },
            )
        ]
    )


def _source(name: str) -> QuerySource:
    kind = "countdown" if name == "countdown" else "math"
    return QuerySource(name=f"wide-{name}", kind=kind, origin=Generator(name=name, seed=1, count=200))


def _pool(name: str) -> Pool:
    return Pool(
        name=f"wide-{name}_n4",
        source="wide-countdown" if name == "countdown" else "wide-sums",
        teacher=Teacher(name=name, origin=Generator(name="worked", seed=1, count=4)),
        sampling=replace(SAMPLING, n=4),
        shards=2,
    )


def _datasets() -> list[Dataset]:
    rows = 160
    made = [
        Dataset(name=f"wide-{name}", recipe="one-correct", rows=rows, pool=f"wide-{pool}_n4")
        for name, pool in (("cot", "sums"), ("light", "light"), ("countdown", "countdown"))
    ]
    return [
        *made,
        Dataset(name="wide-nocot", recipe="without-thinking", rows=rows, like="wide-cot", thinking=False),
        Dataset(name="wide-human", recipe="human-solution", rows=rows, like="wide-cot", source="wide-sums",
                thinking=False),
        Dataset(name="wide-unverified", recipe="one-any", rows=rows, pool="wide-sums_n4"),
        Dataset(name="wide-few", recipe="first-rows", rows=40, like="wide-cot"),
    ]  # fmt: skip


def _benchmarks() -> list[Benchmark]:
    groups = {"sums": "in-domain", "dot": "ood-reasoning", "refusal": "safety"}
    return [
        Benchmark(
            name=f"wide-{name}",
            title=f"Wide {name}",
            group=group,
            origin=Generator(name=name, seed=2, count=60),
            task="hex_phi" if group == "safety" else "math",
            items=60,
            sampling=SAMPLING,
            sensitive=group == "safety",
            metrics=("attack_success",) if group == "safety" else ("accuracy",),
        )
        for name, group in groups.items()
    ]
