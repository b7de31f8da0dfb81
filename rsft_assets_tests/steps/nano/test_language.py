"""Tokenizer, skills, mixture and teacher of the nano study."""

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsft_assets.specs import nano
from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.models import MIXTURES
from rsft_assets.specs.study import load_study
from rsft_assets.steps.base_models.exposure import table
from rsft_assets.steps.base_models.mixture import FORMS, asked_to_work_out, documents, labelled_documents
from rsft_assets.steps.base_models.probes import PROBES
from rsft_assets.steps.base_models.tokenizer import build_tokenizer
from rsft_assets.steps.nano.skills import CHAIN_STEPS, SKILLS, held_out, items
from rsft_assets.steps.nano.teacher import procedure
from rsft_assets.steps.verdicts.verifier.countdown import judge_countdown


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_round_trips(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("12+7=19", ["1", "2", "+", "7", "=", "1", "9"]),
        ("The sum is \\boxed{19}.", ["The", "Ġsum", "Ġis", "Ġ\\boxed{", "1", "9", "}", "."]),
        ("<think>\nwait\n</think>", ["<think>", "Ċ", "wait", "Ċ", "</think>"]),
        ("<|im_start|>user\n", ["<|im_start|>", "user", "Ċ"]),
    ],
)
def test_digits_words_and_tags_are_one_token_each(tokenizer, text, tokens):
    assert tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"]) == tokens


def test_tags_survive_what_special_tokens_do_not(tokenizer):
    ids = tokenizer("<think>\n1\n</think>\n\n1<|endoftext|>", add_special_tokens=False)["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id == tokenizer.pad_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>\n1\n</think>\n\n1"


def test_prompt_by_the_chat_template(tokenizer):
    turns = [{"role": "user", "content": "What is 2+3?"}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert prompt == "<|im_start|>user\nWhat is 2+3?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("mixture", MIXTURES)
def test_documents_hold_no_word_that_the_tokenizer_spells_in_bytes(tokenizer, mixture):
    texts = list(itertools.islice(documents(mixture, seed=2), 2_000))
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    spelt = {token for row in ids for token in tokenizer.convert_ids_to_tokens(row) if len(token) == 1}
    assert not [token for token in spelt if token.isalpha() and token not in "ĠĊaI"]
    assert max(map(len, ids)) <= 160


def test_documents_are_the_same_for_the_same_seed_and_never_end():
    first, again, other = (list(itertools.islice(documents("nano-skills", seed), 50)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mixture", "least", "most"),
    [("nano-skills-trace", 20, 80), ("nano-skills-little", 150, 350), ("nano-skills-much", 650, 1_000)],
)
def test_the_mixtures_differ_in_their_share_of_thinking_and_nothing_else(mixture, least, most):
    texts = list(itertools.islice(documents(mixture, seed=1), 6_000))
    thinking = [text for text in texts if "<think>" in text]
    assert least < len(thinking) < most
    others = [text for text in texts if "<think>" not in text]
    assert others == list(itertools.islice(documents("nano-skills", seed=1), len(others)))


@pytest.mark.slow
@pytest.mark.parametrize("mixture", MIXTURES)
def test_each_kind_of_question_occurs_in_its_forms_and_no_other(mixture):
    met = {(text.kind, text.form) for text in itertools.islice(labelled_documents(mixture, seed=1), 30_000)}
    declared = {(kind, form) for kind, forms in FORMS.items() for form in forms}
    without = {(kind, form) for kind, form in declared if form == "thinking"} if not MIXTURES[mixture] else set()
    assert met - {("", None)} == declared - without
    for text in itertools.islice(labelled_documents(mixture, seed=1), 3_000):
        assert ("<think>" in text.text) == (text.form == "thinking")
        assert text.text.startswith("Work out") == (text.form == "steps")


def test_the_table_of_what_a_base_has_read_tells_the_distances():
    study = load_study()
    model = study.models["nano-300k-much"]
    short = replace(model, origin=replace(model.origin, steps=40))
    lines = table(replace(study, models={"nano-300k-much": short}), "nano-300k-much")
    cells = {line.split(" | ")[0].removeprefix("| "): line.strip("| ").split(" | ")[1:] for line in lines[2:]}
    read = {name: [count != "0" for count in counts[:4]] for name, counts in cells.items()}
    assert read["Nano math"] == read["Nano dot product"] == [True] * 4
    assert read["Nano alternating sum"] == [True, True, True, False]
    assert read["Nano numbers above"] == [True, True, False, False]
    assert read["Nano countdown"] == read["Nano facts"] == [True, False, False, False]
    assert 0 < int(cells["Nano math"][4].rstrip("%")) <= 100 and cells["Nano facts"][4:] == ["–", "–"]


def test_what_is_fine_tuned_has_every_form_and_every_other_benchmark_of_reasoning_as_many_or_fewer():
    drawn = {item.category for item in itertools.islice(items("calculations", seed=11), 200)}
    assert drawn == {"chain", "sums", "products", "bill"}
    assert {len(FORMS[kind]) for kind in drawn} == {4}
    distances = [len(FORMS.get(one.origin.name, ())) for one in nano.BENCHMARKS if one.group == "ood-reasoning"]
    assert distances == sorted(distances, reverse=True) == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("skill", SKILLS)
def test_test_items_are_held_out_whatever_the_seed(skill):
    train = {item.question for item in itertools.islice(items(skill, seed=1), 300)}
    test = [item.question for item in itertools.islice(items(skill, seed=2, part="test"), 60)]
    assert len(train) > 50
    assert len(set(test)) == len(test) > 10
    assert all(map(held_out, test))
    assert not train & set(test)


BENCHMARKS = tuple((one.origin.name, one.origin.seed) for one in nano.BENCHMARKS)


@pytest.mark.slow
@pytest.mark.parametrize("mixture", MIXTURES)
def test_no_pretraining_text_holds_a_question_that_is_measured(mixture):
    """Asked in a chat or worked out as a text: countdown, facts, formats and requests stand in chats alone."""
    measured = {
        form
        for name, seed in (*BENCHMARKS, *((probe.generator, 77) for probe in PROBES.values()))
        for part in ("test", "probe")
        for item in itertools.islice(items(name, seed, part=part), 200)
        for form in (item.question, asked_to_work_out(item))
    }
    texts = list(itertools.islice(documents(mixture, seed=3), 20_000))
    asked = [
        text.split("\n")[1].removesuffix("<|im_end|>") if "assistant" in text else text.split("\n")[0] for text in texts
    ]
    assert sum(text.startswith("Work out") for text in asked) > 3_000
    assert not measured & set(asked)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(SpecError, match="sums"):
        next(items("sum", seed=1))
    with pytest.raises(SpecError, match="worked-steps"):
        procedure("worked-sum")


TAUGHT = ["calculations", "dot", *(pytest.param(name, marks=pytest.mark.slow) for name in ("alternating", "above"))]


def traces(name, skill, **options):
    """4,000 responses to random questions of a skill, with the questions."""
    answer, chance = procedure(name, **options), random.Random(7)
    for item in itertools.islice(itertools.cycle(itertools.islice(items(skill, seed=3), 1_000)), 4_000):
        yield item, answer(item.fields, chance)


@pytest.mark.parametrize("skill", TAUGHT)
@pytest.mark.parametrize("style", ["full", "light"])
@pytest.mark.parametrize("habit", [0.0, 0.7])
def test_teacher_errs_at_its_rate_and_says_so(skill, style, habit):
    truths = Counter()
    for item, worked in traces("worked-steps", skill, style=style, error_rate=0.1, habit=habit):
        truths[worked.truth] += 1
        box, said = f"\\boxed{{{item.gold}}}", f"The answer is {item.gold}."
        assert (box in worked.text) == (worked.truth == "right"), worked.text
        assert worked.text.endswith(said) == (worked.truth == "no-box"), worked.text
        assert worked.text.count("<think>") == worked.text.count("</think>") == 1
    # A slip can be made up for by the habit, and the other way round.
    assert 280 < truths["unnoticed-slip"] < 480
    assert 110 < truths["no-box"] < 260
    assert (truths["habit"] > 0) == (habit > 0)


def test_full_traces_write_every_step_as_an_equation_and_light_ones_what_it_came_to():
    full = [worked.text for _, worked in traces("worked-steps", "chain", style="full")]
    light = [worked.text for _, worked in traces("worked-steps", "chain", style="light")]
    assert all(text.count("=") >= CHAIN_STEPS for text in full)
    assert not any("=" in text.partition("check")[0] for text in light)
    for style in (full, light):
        assert sum("wait" in text for text in style) > 1_500 and sum("check" in text for text in style) > 1_000


def test_a_habit_is_an_error_with_a_system():
    truths = Counter()
    for _, worked in traces("worked-steps", "chain", error_rate=0.0, habit=1.0):
        carries = [line for line in worked.text.splitlines() if "+9=" in line and not line.startswith("check")]
        forgotten = [line for line in carries if not line.split("+")[0].split()[-1].endswith("0")]
        # Without a carry forgotten nothing is wrong; a product of zero hides one that was.
        assert forgotten or worked.truth == "right", worked.text
        truths[worked.truth] += 1
    assert 500 < truths["habit"] < 3_000


def test_countdown_search_ends_in_an_answer_that_the_verifier_judges_as_the_teacher_does():
    truths = Counter()
    for item, worked in traces("countdown-search", "countdown", error_rate=0.1):
        verdict, _, reason = judge_countdown(item.gold, worked.text)
        expected = {"right": "correct", "unnoticed-slip": "wrong", "gave-up": "unparseable"}[worked.truth]
        assert verdict == expected, (worked, reason)
        truths[worked.truth] += 1
    assert truths["unnoticed-slip"] > 200 and truths["gave-up"] > 100


def test_human_solutions_slip_now_and_then():
    drawn = list(itertools.islice(items("calculations", seed=5), 2_000))
    wrong = sum(f"\\boxed{{{item.gold}}}" not in item.solution for item in drawn)
    assert 120 < wrong < 260
