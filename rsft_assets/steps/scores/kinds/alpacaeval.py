"""AlpacaEval as the paper scores it: the mean raw output of a reward model, not a win rate.

The instruction goes in as it is. Judged is what follows the last `</think>`; where thinking never ended, `strict` has
nothing to reward (undecided), `authors` rewards the whole text. Each reward model that the user names is one metric.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.judges import judge_specs
from rsft_assets.steps.scores.grading.judges import Question, missing_judges, reward_question
from rsft_assets.steps.scores.grading.task import Grade, Locked, Metric, Sample, Task, question_alone, undecided
from rsft_assets.steps.scores.grading.text import judged_part
from rsft_assets.steps.scores.grading.tools import Tools

METRICS = (
    Metric("reward_rb2", "reward", headline=True),
    Metric("reward_skywork_v2", "reward"),
    Metric("reward_rm_mistral", "reward"),
)
"""Each is the role of its judge."""


def read(row: Mapping[str, Any]) -> Locked:
    """fields: reference (the published output) and its generator."""
    fields = {"reference": row.get("output"), "generator": row.get("generator")}
    return Locked(row["instruction"], None, row.get("dataset"), fields)


def question(sample: Sample, grader: str) -> Question | None:
    answer = judged_part(sample.text, grader)
    if answer is None:
        return None
    turns = [("user", sample.item.question), ("assistant", answer)]
    return reward_question([{"role": role, "content": content} for role, content in turns])


def grade(samples: Iterable[Sample], grader: str, benchmark: Benchmark, tools: Tools) -> Iterator[list[Grade]]:
    named = [metric.name for metric in METRICS if metric.name in judge_specs()]
    asked = dict.fromkeys(named, partial(question, grader=grader))
    for replies in tools.replies(benchmark.name, asked, samples):
        yield [_grade(metric, reply) for metric, reply in replies.items()]


def _grade(metric: str, reply: str | None) -> Grade:
    return undecided(metric, "think-not-closed") if reply is None else Grade(metric, float(reply), "rewarded")


# The headline's reward model is needed; the others are scored where they are named.
TASK = Task(
    question_alone,
    grade,
    METRICS,
    lambda published: published.items(read, "alpaca_eval.json"),
    partial(missing_judges, [METRICS[0].name]),
)
