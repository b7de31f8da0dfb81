"""The nano study's countdown games: the last box must reach the target with the given numbers."""

from rsft_assets.steps.scores.grading.task import ACCURACY, Grade, Sample, Task, each, question_alone, undecided
from rsft_assets.steps.scores.grading.text import graded_part
from rsft_assets.steps.verdicts.verifier.countdown import judge_countdown


def grade_one(sample: Sample, grader: str) -> list[Grade]:
    answer = graded_part(sample.text, grader)
    if answer is None:
        return [Grade("accuracy", 0.0, "think-not-closed")]
    verdict, extracted, reason = judge_countdown(sample.item.gold or "", answer.strip())
    if reason == "gold-unreadable":
        return [undecided("accuracy", reason)]
    return [Grade("accuracy", float(verdict == "correct"), reason, extracted)]


TASK = Task(question_alone, each(grade_one), (ACCURACY,), asks="countdown")
