"""What is in domain for a run is what it was trained on."""

import pytest

from rsft_assets.specs.in_domain import group_for, kind_trained_on
from rsft_assets.specs.study import load_study
from rsft_assets.steps.scores.grading.tasks import task


@pytest.fixture(scope="module")
def study():
    return load_study()


def group_of(study, run, benchmark):
    return group_for(study, run, benchmark, task(benchmark.task).asks)


@pytest.mark.parametrize(
    ("dataset", "groups"),
    [
        ("nano-cot", {"nano-math-test": "in-domain", "nano-countdown-test": "ood-reasoning"}),
        ("nano-countdown-cot", {"nano-math-test": "ood-reasoning", "nano-countdown-test": "in-domain"}),
        ("math-cot-20k", {"math500": "in-domain", "gpqa_diamond": "ood-reasoning"}),
        ("countdown-cot-20k", {"math500": "ood-reasoning", "gpqa_diamond": "ood-reasoning"}),
    ],
)
def test_groups_follow_the_training_set(study, dataset, groups):
    run = next(run for run in study.runs.values() if run.dataset == dataset)
    assert {name: group_of(study, run, study.benchmarks[name]) for name in groups} == groups


def test_skills_that_no_set_trains_stay_what_they_are(study):
    for run in study.runs.values():
        for benchmark in study.benchmarks_of(run.model):
            if benchmark.group in ("general", "safety"):
                assert group_of(study, run, benchmark) == benchmark.group


def test_sets_made_from_others_are_of_their_kind(study):
    made = [spec for spec in study.datasets.values() if spec.like]
    assert made
    for spec in made:
        assert kind_trained_on(study, spec.name) == kind_trained_on(study, spec.like)
