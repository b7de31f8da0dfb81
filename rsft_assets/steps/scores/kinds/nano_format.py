"""The nano study's formats: the answer must be exactly the expected text, white space around it apart."""

from rsft_assets.steps.scores.grading.task import ACCURACY, Grade, Sample, Task, each, question_alone
from rsft_assets.steps.scores.grading.text import graded_part


def grade_one(sample: Sample, grader: str) -> list[Grade]:
    answer = graded_part(sample.text, grader)
    if answer is None:
        return [Grade("accuracy", 0.0, "think-not-closed")]
    answer = answer.strip()
    right = answer == str(sample.item.fields["expected"]).strip()
    return [Grade("accuracy", float(right), "equal" if right else "different", answer[:200])]


TASK = Task(question_alone, each(grade_one), (ACCURACY,))
