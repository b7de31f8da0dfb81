"""Reference rates of `rsft plan`, used where no finished output of this study has a measured one.

Every rate names its source: `reference` is a declared or published fact, `assumed` our own guess until the first
outputs are measured.
"""

from dataclasses import dataclass
from typing import Literal

Basis = Literal["measured", "reference", "assumed"]


@dataclass(frozen=True)
class Rate:
    """One number and where it comes from."""

    value: float
    basis: Basis
    source: str


CARD = "NVIDIA H200"
"""Where this machine has no card whose peak is known."""


def training_mfu(parameters: int) -> Rate:
    """Share of a card's peak at which a model of this size trains; small matrices use less of it."""
    return _LARGE_TRAINING_MFU if parameters >= _LARGE_PARAMETERS else _SMALL_TRAINING_MFU


_LARGE_PARAMETERS = 7_000_000_000
_TRAINING = "6 x parameters FLOPs a trained token, attention apart, at"
_SMALL_TRAINING_MFU = Rate(
    0.30,
    "assumed",
    f"{_TRAINING} 30 % of one card's peak (assumed; single measurements at 1.7B on an H100: 18 to 35 %)",
)
_LARGE_TRAINING_MFU = Rate(
    0.40,
    "assumed",
    f"{_TRAINING} 40 % of one card's peak (assumed; single measurements at 14B's width on an H100: 31 to 48 %)",
)
DECODING_MFU = Rate(
    0.10, "assumed", "2 x parameters FLOPs a generated token at 10 % of one card's peak (assumed), full batches"
)
DECODING_MOST = 20_000.0
"""Tokens a second that one engine schedules at most, however small the model."""
CPU_TRAINING_FLOPS = Rate(30e9, "assumed", "6 x parameters FLOPs a trained token at 30 GFLOP/s a CPU core (assumed)")
CPU_DECODING_FLOPS = Rate(6e9, "assumed", "2 x parameters FLOPs a generated token at 6 GFLOP/s a CPU core (assumed)")

TEACHER_PARAMETERS = {"qwen3-32b": 32_800_000_000}
"""By the teacher's name, as its model card says."""

TYPICAL_THINKING = Rate(6_000, "assumed", "6,000 tokens a response that thinks, or its limit (assumed)")
TYPICAL_ANSWER = Rate(500, "assumed", "500 tokens a response without thinking, or its limit (assumed)")
PROMPT_TOKENS = 150
"""Of a question under its template; small beside a response."""
CHARACTERS_PER_TOKEN = Rate(3.5, "reference", "3.5 characters a token, usual for mathematics under Qwen's tokenizer")

BYTES_PER_TOKEN = Rate(1.5, "assumed", "1.5 bytes on disk a stored token: text under zstd (assumed)")
BYTES_PER_GRADE = 60
"""A row of graded.parquet."""

SOURCE_ROWS = {"numinamath-1.5": 900_000, "openr1-math-220k": 44_000}
"""Where the study declares no limit: as the data set's page says."""
BENCHMARK_ITEMS = {"halueval": 30_000}
"""Where the study declares no count: three tasks of 10,000 upstream."""


@dataclass(frozen=True)
class PerRow:
    """What light work costs a row, on one core: assumed from the nano study and a few thousand real rows."""

    seconds: float
    bytes: float


PER_ROW = {
    "queries": PerRow(0.0005, 300),
    "responses": PerRow(0.0005, 60),  # procedures and adopted sets: reading and writing
    "verdicts": PerRow(0.01, 20),
    "audits": PerRow(0.01, 10),
    "datasets": PerRow(0.001, 0),  # their bytes go by tokens
    "benchmarks": PerRow(0.001, 500),
    "scores": PerRow(0.005, BYTES_PER_GRADE),  # grading, after generating
}
PER_ROW_SOURCE = "seconds and bytes a row of light work on one core (assumed)"
AUDITED_QUERIES = 300


JUDGEMENT_TOKENS = {
    "harm": 2_900,
    "self_jailbreak": 7_400,
    "truthful": 300,
    "helpful": 300,
    "reward_rb2": 1_200,
    "reward_skywork_v2": 1_200,
    "reward_rm_mistral": 1_200,
}
"""By role: what one judgement reads and writes, rubric, text judged and reply together (assumed)."""
JUDGING_SOURCE = "tokens a judgement, rubric and reply included, for each of two graders (assumed)"
