"""Tokenizer, skills, mixture and teacher of the nano study."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsft_assets.specs.errors import SpecError
from rsft_assets.steps.nano.mixture import MIXTURES, documents
from rsft_assets.steps.nano.skills import SKILLS, held_out, items
from rsft_assets.steps.nano.teacher import procedure, worked_answer
from rsft_assets.steps.nano.tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
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


def test_only_a_declared_mixture_has_seen_thinking():
    def thinking(mixture):
        return sum("<think>" in text for text in itertools.islice(documents(mixture, seed=1), 4_000))

    assert thinking("nano-skills") == 0
    assert 50 < thinking("nano-skills-little") < 500


@pytest.mark.parametrize("skill", SKILLS)
def test_test_items_are_held_out_whatever_the_seed(skill):
    train = {item.question for item in itertools.islice(items(skill, seed=1), 300)}
    test = [item.question for item in itertools.islice(items(skill, seed=2, part="test"), 60)]
    assert len(train) > 50
    assert len(set(test)) == len(test) > 10
    assert all(map(held_out, test))
    assert not train & set(test)


def test_no_pretraining_text_holds_a_benchmark_question():
    test = {item.question for name in ("dot", "sums") for item in itertools.islice(items(name, 9, part="test"), 300)}
    asked = [text.split("\n")[1].removesuffix("<|im_end|>") for text in _chats()]
    assert len(asked) > 500
    assert not test & set(asked)


def _chats():
    texts = itertools.islice(documents("nano-skills", seed=3), 3_000)
    return [text for text in texts if text.startswith("<|im_start|>")]


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(SpecError, match="sums"):
        next(items("sum", seed=1))
    with pytest.raises(SpecError, match="nano-skills"):
        next(documents("nano-skill", seed=1))
    with pytest.raises(SpecError, match="worked-sums"):
        procedure("worked-sum")


def test_teacher_errs_at_its_rate_and_only_where_it_says():
    chance = random.Random(7)
    truths = Counter()
    for _ in range(4_000):
        terms = [chance.randint(2, 9) for _ in range(5)]
        worked = worked_answer(terms, chance, error_rate=0.1)
        truths[worked.truth] += 1
        right = f"\\boxed{{{sum(terms)}}}" in worked.text
        assert right == (worked.truth == "right")
        assert worked.text.count("<think>") == worked.text.count("</think>") == 1
    assert 320 < truths["unnoticed-slip"] < 480
    assert 140 < truths["no-box"] < 260
