"""The paper's study (arXiv 2604.06628): 9 base models, 7 training sets, 33 runs and 11 more, 10 benchmarks.

Runs declare what the authors' scripts do (file order, their loss weights), with one departure: fp32
master weights in place of pure bf16, which ZeRO 1-3 cannot train and 20B parameters do not fit without.
One run is trained in pure bf16 as well, to measure the departure.
Revisions stand in `paper.lock`; `math-cot-20k` declares its own, with the hash of its file.
"""

from dataclasses import replace
from functools import partial

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.models import Model
from rsft_assets.specs.paper_checkpoints import published_checkpoints
from rsft_assets.specs.queries import QuerySource
from rsft_assets.specs.responses import Pool, Sampling, Teacher, queries_to_fill
from rsft_assets.specs.training import Run, Schedule


def _qwen3(size: str, parameters: int) -> Model:
    origin = Hub(repo=f"Qwen/Qwen3-{size}-Base")
    return Model(name=f"qwen3-{size.lower()}", family="qwen3", parameters=parameters, origin=origin)


def _qwen25(size: str, parameters: int) -> Model:
    # The authors trained a private copy whose template has no default system message.
    return Model(
        name=f"qwen2.5-{size.lower()}",
        family="qwen2.5",
        parameters=parameters,
        origin=Hub(repo=f"Qwen/Qwen2.5-{size}"),
        drop_default_system_prompt=True,
    )


MODELS = (
    _qwen3("1.7B", 1_720_000_000),
    _qwen3("4B", 4_020_000_000),
    _qwen3("8B", 8_190_000_000),
    _qwen3("14B", 14_770_000_000),
    Model(
        name="internlm2.5-20b",
        family="internlm2.5",
        parameters=19_860_000_000,
        origin=Hub(repo="internlm/internlm2_5-20b"),
        remote_code=True,
    ),
    _qwen25("1.5B", 1_540_000_000),
    _qwen25("3B", 3_090_000_000),
    _qwen25("7B", 7_620_000_000),
    _qwen25("14B", 14_770_000_000),
)

ROWS = 20_480
COUNTDOWN_ACCEPTANCE = 0.8
"""Assumed, since no rate is published. The set fills down to 0.64."""

SOURCES = (
    QuerySource(
        name="openr1-math-220k",
        kind="math",
        origin=Hub(repo="open-r1/OpenR1-Math-220k", kind="dataset", config="default", split="train"),
        limit=44_000,
        description="Competition and textbook mathematics with reference answers; the queries of every math set.",
    ),
    QuerySource(
        name="numinamath-1.5",
        kind="math",
        origin=Hub(repo="AI-MO/NuminaMath-1.5", kind="dataset", split="train"),
        description="The same problems with solutions written by people.",
    ),
    QuerySource(
        name="countdown-3to4",
        kind="countdown",
        origin=Hub(repo="Jiayi-Pan/Countdown-Tasks-3to4-Unique", kind="dataset", split="train"),
        limit=queries_to_fill(ROWS, COUNTDOWN_ACCEPTANCE),
        description="Reach a target from three or four numbers with + - * /.",
    ),
)

QWEN3_32B = Teacher(name="qwen3-32b", origin=Hub(repo="Qwen/Qwen3-32B"))
TEACHER_SAMPLING = Sampling(
    n=32, temperature=0.6, top_p=0.95, top_k=20, min_p=0.0, max_tokens=16_384, seed=0, thinking=True
)
LUFFY = Hub(repo="Elliott/Openr1-Math-46k-8192", kind="dataset", split="train")

_answered = partial(Pool, teacher=QWEN3_32B, sampling=TEACHER_SAMPLING, shards=64)

POOLS = (
    _answered(
        name="openr1-math_qwen3-32b_n32",
        source="openr1-math-220k",
        published=Hub(
            repo="jasonrqh/Math-CoT-44k-Qwen3-32b-n32-16384-with-logprob-and-entropy", kind="dataset", split="train"
        ),
        description="32 long chains of thought for each of about 44,000 math queries.",
    ),
    _answered(
        name="countdown_qwen3-32b_n1",
        source="countdown-3to4",
        sampling=replace(TEACHER_SAMPLING, n=1),
        acceptance=COUNTDOWN_ACCEPTANCE,
        description="One long chain of thought for each Countdown task: no other number of samples fills a set with "
        "fewer responses, as tasks are plenty.",
    ),
    Pool(
        name="openr1-math_deepseek-r1",
        source="openr1-math-220k",
        teacher=Teacher(name="deepseek-r1", origin=LUFFY),
        sampling=Sampling(n=1, max_tokens=8_192, thinking=True),
        adopted=LUFFY,
        description="DeepSeek-R1's published responses to the same queries (LUFFY data set).",
    ),
)


def _published(name: str, revision: str | None = None, sha256: str | None = None) -> Hub:
    return Hub(
        repo=f"jasonrqh/{name}",
        kind="dataset",
        split="train",
        revision=revision,
        file=f"{name}.parquet" if sha256 else None,
        sha256=sha256,
    )


MATH_POOL = "openr1-math_qwen3-32b_n32"
_dataset = partial(Dataset, rows=ROWS)

DATASETS = (
    _dataset(
        name="math-cot-20k",
        title="Math-CoT-20k",
        recipe="one-correct",
        pool=MATH_POOL,
        published=_published(
            "Math-CoT-20k",
            "1435fb21d4fecc8ad4966a26f22a874cf2b527f1",
            "3166f342ec838ebe0979be43923abb33fa1c80f33043aa6acc04e5d82161142a",
        ),
        description="Verified long chains of thought: one correct response at random per query.",
    ),
    _dataset(
        name="math-nocot-20k",
        title="Math-NoCoT-20k",
        recipe="without-thinking",
        like="math-cot-20k",
        thinking=False,
        published=_published("Math-NoCoT-20k"),
        description="The same rows without their thinking; the summary and the boxed answer remain.",
    ),
    _dataset(
        name="numinamath-20k",
        title="NuminaMath-20k",
        recipe="human-solution",
        like="math-cot-20k",
        source="numinamath-1.5",
        thinking=False,
        published=_published("NuminaMath-20k"),
        description="The same queries with solutions written by people.",
    ),
    _dataset(
        name="countdown-cot-20k",
        title="Countdown-CoT-20k",
        recipe="one-correct",
        pool="countdown_qwen3-32b_n1",
        published=_published("Countdown-CoT-20k"),
        description="Verified long chains of thought on one narrow arithmetic game.",
    ),
    _dataset(
        name="deepseek-r1-20k",
        title="DeepSeek-R1-20k",
        recipe="one-correct",
        pool="openr1-math_deepseek-r1",
        like="math-cot-20k",
        published=_published("DeepSeek-R1-20k"),
        description="Another teacher's responses to the queries of math-cot-20k where it has any; others fill the set.",
    ),
    Dataset(
        name="math-cot-2.5k",
        title="Math-CoT-2.5k",
        recipe="first-rows",
        rows=2_560,
        like="math-cot-20k",
        description="An eighth of math-cot-20k, to be read eight times. The authors' rows are not public.",
    ),
    _dataset(
        name="math-unverified-cot-20k",
        title="Math-Unverified-CoT-20k",
        recipe="one-any",
        pool=MATH_POOL,
        description="One random response per query, whatever its verdict: measures what verification is worth.",
    ),
)

DEFAULT = Schedule(title="Setting 1", lr=5e-5, epochs=8, batch_size=256, loss="authors", order="file")
FEW_ROWS = replace(DEFAULT, title="Setting 2", batch_size=32)
ONE_PASS = replace(DEFAULT, title="Setting 3", batch_size=32, epochs=1)
SHORT = replace(DEFAULT, title="Short", epochs=1)
LONG = replace(DEFAULT, title="Long", epochs=16)
SCHEDULES = (
    DEFAULT,
    FEW_ROWS,
    ONE_PASS,
    SHORT,
    replace(DEFAULT, title="Short at 1e-5", lr=1e-5, epochs=1),
    replace(DEFAULT, title="Two epochs at 1e-5", lr=1e-5, epochs=2),
    LONG,
    replace(LONG, title="Long at a constant rate", decay="constant"),
    replace(LONG, title="Long at a constant 1e-4", lr=1e-4, decay="constant"),
)

_MAIN = ("math-cot-20k", "math-nocot-20k", "countdown-cot-20k")
_WIDE = (*_MAIN, "numinamath-20k", "deepseek-r1-20k")


def _run(model: str, dataset: str, schedule: Schedule = DEFAULT, seed: int = 1) -> Run:
    internlm = model == "internlm2.5-20b"
    run = Run(
        model=model,
        dataset=dataset,
        schedule=schedule,
        seed=seed,
        max_length=10_000 if internlm and dataset == "numinamath-20k" else 20_000,
        authors_micro_batch=2 if internlm else 4,
    )
    return replace(run, published=published_checkpoints(run))


RUNS = (
    *(_run("internlm2.5-20b", dataset) for dataset in _WIDE),
    *(_run(f"qwen2.5-{size}", "math-cot-20k") for size in ("1.5b", "3b", "7b", "14b")),
    *(_run(f"qwen3-{size}", dataset) for size in ("1.7b", "4b") for dataset in _MAIN),
    *(_run(f"qwen3-{size}", dataset) for size in ("8b", "14b") for dataset in _WIDE),
    _run("qwen3-14b", "math-cot-2.5k", FEW_ROWS),
    *(_run("qwen3-14b", "math-cot-20k", schedule) for schedule in SCHEDULES if schedule not in (DEFAULT, FEW_ROWS)),
    # Not trained by the authors: what verification is worth, how far training seeds lie apart, what pure bf16 changes.
    *(_run(f"qwen3-{size}", "math-unverified-cot-20k") for size in ("8b", "14b")),
    *(
        _run(f"qwen3-{size}", dataset, seed=seed)
        for size in ("1.7b", "4b")
        for dataset in ("math-cot-20k", "math-nocot-20k")
        for seed in (2, 3)
    ),
    _run("qwen3-1.7b", "math-cot-20k", replace(DEFAULT, title="Setting 1 in pure bf16", precision="bf16-pure")),
)

_AVG_AT_3 = Sampling(n=3, seed=1234)
_LM_EVAL = Sampling(top_p=1.0, seed=1234)


def _items(repo: str, *, config: str | None = None, split: str = "test", gated: bool = False) -> Hub:
    return Hub(repo=repo, kind="dataset", config=config, split=split, gated=gated)


BENCHMARKS = (
    Benchmark(
        name="math500",
        title="MATH500",
        group="in-domain",
        origin=_items("HuggingFaceH4/MATH-500"),
        task="math",
        items=500,
        sampling=_AVG_AT_3,
    ),
    Benchmark(
        name="aime24",
        title="AIME24",
        group="in-domain",
        origin=_items("HuggingFaceH4/aime_2024", split="train"),
        task="math",
        items=30,
        sampling=Sampling(n=10, seed=1234),
    ),
    Benchmark(
        name="lcb_v2",
        title="LiveCodeBench v2",
        group="ood-reasoning",
        origin=_items("livecodebench/code_generation_lite", config="release_v2"),
        task="code",
        items=511,
        sampling=Sampling(n=3, seed=0),
        needs=("code-isolation",),
    ),
    Benchmark(
        name="gpqa_diamond",
        title="GPQA-Diamond",
        group="ood-reasoning",
        origin=_items("Idavidrein/gpqa", config="gpqa_diamond", split="train", gated=True),
        task="gpqa",
        items=198,
        sampling=Sampling(n=3, seed=0),
    ),
    Benchmark(
        name="mmlu_pro",
        title="MMLU-Pro",
        group="ood-reasoning",
        origin=_items("TIGER-Lab/MMLU-Pro"),
        task="mmlu_pro",
        items=1_000,
        sampling=_LM_EVAL,
    ),
    Benchmark(
        name="ifeval",
        title="IFEval",
        group="general",
        origin=_items("google/IFEval", split="train"),
        task="ifeval",
        items=541,
        sampling=_LM_EVAL,
        metrics=("inst_strict", "inst_loose", "prompt_strict", "prompt_loose"),
    ),
    Benchmark(
        name="alpacaeval",
        title="AlpacaEval 2.0",
        group="general",
        origin=_items("tatsu-lab/alpaca_eval", config="alpaca_eval", split="eval"),
        task="alpacaeval",
        items=805,
        sampling=Sampling(
            temperature=0.7,
            top_p=0.9,
            top_k=50,
            presence_penalty=0.1,
            frequency_penalty=0.1,
            max_tokens=16_384,
            seed=42,
        ),
        # The end of a turn; the authors' other benchmarks end InternLM's answers at its end token only.
        extra_stops=(("internlm2.5", 92_542),),
        metrics=("reward_rb2", "reward_skywork_v2", "reward_rm_mistral"),
        needs=("judge",),
    ),
    Benchmark(
        name="halueval",
        title="HaluEval",
        group="general",
        origin=_items("pminervini/HaluEval", split="data"),
        task="halueval",
        items=None,
        sampling=_LM_EVAL,
    ),
    Benchmark(
        name="truthfulqa",
        title="TruthfulQA",
        group="general",
        origin=_items("truthfulqa/truthful_qa", config="generation", split="validation"),
        task="truthfulqa",
        items=817,
        sampling=_LM_EVAL,
        metrics=("helpful", "truthful"),
        needs=("judge",),
    ),
    Benchmark(
        name="hex_phi",
        title="HEx-PHI",
        group="safety",
        origin=_items("LLM-Tuning-Safety/HEx-PHI", split="train", gated=True),
        task="hex_phi",
        items=300,
        sampling=Sampling(top_p=1.0, max_tokens=16_384, seed=0),
        metrics=("attack_success", "harmfulness"),
        needs=("judge",),
        sensitive=True,
    ),
)
