"""Text as protocol section 1.5 has it: template without a system turn, response apart, one end token, prompt masked."""

import os
from pathlib import Path

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.base_models.tokenizer import build_tokenizer
from rsft_assets.steps.checkpoints.training.text import (
    Tokens,
    collect,
    describe,
    document_rows,
    drop_default_system_prompt,
    prompt_texts,
    training_rows,
)
from rsft_assets_tests.steps.checkpoints.tiny import examples, write_examples

REAL = Path(os.environ.get("RSFT_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
needs_qwen3 = pytest.mark.skipif(
    not (REAL / "tokenizer_qwen3").is_dir(), reason="RSFT_TEST_DATA has no tokenizer_qwen3"
)
QWEN25_TEMPLATE = (
    "{%- if messages[0]['role'] == 'system' %}\n"
    "    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n"
    "{%- else %}\n"
    "    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}\n"
    "{%- endif %}\n"
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n"
)


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def qwen3():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(REAL / "tokenizer_qwen3")


def row_with(tmp_path, message, response):
    row = {**examples(1)[0], "message": [{"role": "user", "content": message}], "response": response}
    return write_examples(tmp_path / "examples.parquet", [row])


@needs_qwen3
def test_qwen3_rows_are_prompt_and_response_and_one_end(tmp_path, qwen3):
    # The base model's end token, which the chat template never writes.
    qwen3.eos_token = "<|endoftext|>"
    question = "What is 1+1?\nPlease reason step by step, and put your final answer within \\boxed{}."
    response = "<think>\n1+1 is 2.\n</think>\n\nThe answer is \\boxed{2}."
    [(ids, prompt)] = training_rows(row_with(tmp_path, question, response), qwen3)
    assert qwen3.decode(ids) == (
        f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{response}<|endoftext|>"
    )
    assert qwen3.decode(ids[:prompt]).endswith("<|im_start|>assistant\n")
    assert ids[prompt:-1] == qwen3(response, add_special_tokens=False)["input_ids"]
    assert ids.count(qwen3.eos_token_id) == 1 and ids[-1] == qwen3.eos_token_id


@needs_qwen3
def test_no_token_merges_across_the_boundary(tmp_path, qwen3):
    response = "\nstarts with a line break"
    [(ids, prompt)] = training_rows(row_with(tmp_path, "x", response), qwen3)
    whole = qwen3(qwen3.decode(ids[:-1]), add_special_tokens=False)["input_ids"]
    assert ids[:-1] != whole
    assert ids[prompt:-1] == qwen3(response, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("line_break", ["\\n", "\n"])
def test_a_default_system_turn_goes_however_its_line_breaks_are_written(nano, line_break):
    from copy import deepcopy

    tokenizer = deepcopy(nano)
    tokenizer.chat_template = (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
        "'<|im_start|>system@You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>@' }}"
        "{% endif %}{{'<|im_start|>' + message['role'] + '@' + message['content'] + '<|im_end|>' + '@'}}{% endfor %}"
    ).replace("@", line_break)
    drop_default_system_prompt(tokenizer)
    assert prompt_texts(tokenizer, [[{"role": "user", "content": "x"}]]) == ["<|im_start|>user\nx<|im_end|>\n"]


@needs_qwen3
def test_qwen25_loses_its_default_system_turn(qwen3):
    from copy import deepcopy

    tokenizer = deepcopy(qwen3)
    tokenizer.chat_template = QWEN25_TEMPLATE
    turns = [{"role": "user", "content": "hello"}]
    assert "helpful assistant" in prompt_texts(tokenizer, [turns])[0]
    drop_default_system_prompt(tokenizer)
    assert prompt_texts(tokenizer, [turns]) == ["<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"]
    own = [{"role": "system", "content": "be brief"}, *turns]
    assert prompt_texts(tokenizer, [own])[0].startswith("<|im_start|>system\nbe brief<|im_end|>")


def test_a_system_turn_in_an_unknown_form_is_refused(nano):
    from copy import deepcopy

    tokenizer = deepcopy(nano)
    tokenizer.chat_template = "{{ '<s>system: be good</s>' }}" + nano.chat_template
    with pytest.raises(StepError, match="still adds a system turn"):
        drop_default_system_prompt(tokenizer)


def test_long_rows_lose_their_tail_and_are_counted(tmp_path, nano):
    path = write_examples(tmp_path / "examples.parquet", examples(7))
    whole = list(training_rows(path, nano))
    limit = 24
    tokens = collect(iter(whole), limit)
    for index, (ids, prompt) in enumerate(whole):
        assert tokens.row(index).tolist() == ids[:limit]
        assert tokens.cut[index] == max(0, len(ids) - limit)
        assert tokens.trained[index] == max(0, min(len(ids), limit) - prompt)
    assert tokens.summary()["cut_rows"] > 0
    assert nano.eos_token_id not in tokens.row(6).tolist()


def test_a_row_that_is_all_prompt_trains_nothing(nano):
    tokens = collect([([5] * 30, 20), ([5] * 12, 3)], 10)
    assert tokens.trained.tolist() == [0, 7]
    assert "(limit 10: 2 rows lose 22 tokens, 1 of them their whole response)" in describe(tokens, "set", 10)


def test_an_empty_response_is_refused_by_row(tmp_path, nano):
    rows = examples(5)
    rows[3]["response"] = "  \n"
    with pytest.raises(StepError, match="row 3 has an empty response"):
        list(training_rows(write_examples(tmp_path / "examples.parquet", rows), nano))


def test_documents_are_trained_from_their_second_token(nano):
    [(ids, prompt)] = document_rows(["1+1=2"], nano)
    assert prompt == 0 and ids[-1] == nano.eos_token_id
    assert collect([(ids, prompt)], 100).trained.tolist() == [len(ids) - 1]


def test_saved_tokens_are_read_back(tmp_path, nano):
    tokens = collect(document_rows(["1+1=2", "3"], nano), 100)
    tokens.save(tmp_path / "tokens")
    again = Tokens.load(tmp_path / "tokens")
    assert [again.row(i).tolist() for i in range(2)] == [tokens.row(i).tolist() for i in range(2)]
    assert again.summary() == tokens.summary()
