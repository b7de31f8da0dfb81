"""What a generator, a procedural teacher and a gate are asked for and cannot give."""

from dataclasses import replace

import pytest

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.hub import Generator
from rsft_assets.specs.nano import MODELS
from rsft_assets.specs.validation import check_values
from rsft_assets.steps.nano.skills import items
from rsft_assets.steps.nano.teacher import procedure
from rsft_assets.steps.queries.fetch import generated_queries


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"banana": 3}, "generator 'dot': unknown option 'banana': valid: part"),
        ({"part": "tset"}, "generator 'dot': option part: 'tset': did you mean test"),
        ({"part": 3}, "generator 'dot': option part: 3: valid: probe, test, train, trial"),
    ],
)
def test_an_option_of_a_generator_is_named_with_the_valid_ones(options, words):
    with pytest.raises(SpecError) as caught:
        items("dot", 1, **options)
    assert words in str(caught.value)


def test_a_generator_that_runs_dry_does_not_pass_for_full():
    with pytest.raises(
        StepError, match=r"generator refusal, seed 1: no more than \d+ different questions.*asks for 100000"
    ):
        list(generated_queries(Generator(name="refusal", seed=1, count=100_000)))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("worked-steps", {"habbit": 0.5}, "unknown option 'habbit': did you mean habit"),
        ("worked-steps", {"habit": "lots"}, "option habit: 'lots' is no share from 0 to 1"),
        ("worked-steps", {"habit": 7}, "option habit: 7 is no share from 0 to 1"),
        ("worked-steps", {"error_rate": -1}, "option error_rate: -1 is no share from 0 to 1"),
        ("worked-steps", {"error_rate": True}, "option error_rate: True is no share from 0 to 1"),
        ("worked-steps", {"style": "heavy"}, "option style: 'heavy': valid: full, light"),
        ("countdown-search", {"style": "full"}, "unknown option 'style'"),
        ("worked-step", {}, "unknown procedure 'worked-step': did you mean worked-steps"),
    ],
)
def test_an_option_of_a_teacher_is_named_with_the_valid_ones(name, options, words):
    with pytest.raises(SpecError) as caught:
        procedure(name, **options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": -5}, "field steps: -5 must be above 0"),
        ({"layers": 0}, "field layers: 0 must be above 0"),
        ({"mixture": "nano-skill"}, "field mixture: 'nano-skill' is not one of nano-skills, nano-skills-trace, "),
        ({"gate": (("work-dot", 0.5),)}, "field gate: 'work-dot' is not one of direct, worked-chain, "),
        ({"gate": (("facts", 40.0),)}, "field gate: 40.0 for facts is not a share"),
        ({"gate": (("facts", -0.4),)}, "field gate: -0.4 for facts is not a share"),
        ({"gate": (("facts", float("nan")),)}, "field gate: nan must be a finite number"),
        ({"gate": (("facts", 0.4), ("facts", 0.5))}, "field gate: facts is listed twice"),
    ],
)
def test_a_base_that_cannot_be_made_is_refused_when_the_study_is_read(change, words):
    model = replace(MODELS[0], origin=replace(MODELS[0].origin, **change))
    with pytest.raises(SpecError) as caught:
        check_values(model, "models 'x'")
    assert words in str(caught.value)
