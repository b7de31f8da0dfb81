"""AlpacaEval as the paper scores it: the mean raw output of a reward model, not a win rate.

The instruction goes in as it is. Judged is what follows the last `</think>`; where thinking never ended, `strict` has
nothing to reward (undecided), `authors` rewards the whole text. Each reward model that the user names is one metric.
"""

from collections.abc import Iterable, Iterator
from itertools import tee

from rsft_assets.specs.benchmarks import Benchmark
from rsft_assets.specs.judges import judge_specs
from rsft_assets.steps.scores.grading.judges import Question, missing_judges, reward_question
from rsft_assets.steps.scores.grading.task import Grade, Item, Sample, Task, undecided
from rsft_assets.steps.scores.grading.text import THINK_CLOSE, answer_part
from rsft_assets.steps.scores.grading.tools import Tools

METRICS = ("reward_rb2", "reward_skywork_v2", "reward_rm_mistral")


def prompt(item: Item, benchmark: Benchmark) -> str:
    return item.question


def question(sample: Sample, grader: str) -> Question | None:
    answer = answer_part(sample.text)
    if answer is None:
        if grader == "strict":
            return None
        answer = sample.text.rpartition(THINK_CLOSE)[2]
    turns = [("user", sample.item.question), ("assistant", answer.strip())]
    return reward_question([{"role": role, "content": content} for role, content in turns])


def grade(samples: Iterable[Sample], grader: str, benchmark: Benchmark, tools: Tools) -> Iterator[list[Grade]]:
    named = [metric for metric in METRICS if metric in judge_specs()]
    streams = tee(samples, len(named))
    replies = [
        tools.judge(metric, benchmark.name).replies(question(sample, grader) for sample in stream)
        for metric, stream in zip(named, streams, strict=True)
    ]
    for of_sample in zip(*replies, strict=True):
        yield [_grade(metric, reply) for metric, reply in zip(named, of_sample, strict=True)]


def _grade(metric: str, reply: str | None) -> Grade:
    return undecided(metric, "think-not-closed") if reply is None else Grade(metric, float(reply), "rewarded")


def unavailable() -> str:
    """The headline's reward model is needed; the others are scored where they are named."""
    return missing_judges(METRICS[:1])


TASK = Task(prompt, grade, unavailable, unbounded=frozenset(METRICS))
