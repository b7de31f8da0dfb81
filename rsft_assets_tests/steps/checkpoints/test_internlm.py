"""InternLM's layout: a tokenizer whose code lies in the repository, run only when that is allowed, and its text."""

import json

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.models import Model
from rsft_assets.specs.study import combine
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.base_models.tokenizer import build_tokenizer
from rsft_assets.steps.checkpoints.training.text import training_rows
from rsft_assets.steps.records.hub import MIRROR_SETTING
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.records.tokenizers import REMOTE_CODE_SETTING, load_tokenizer
from rsft_assets_tests.steps.checkpoints.tiny import CPU, examples, tiny_model, write_examples

REPO = "internlm/small"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CODE = """
import os
from pathlib import Path
from transformers import PreTrainedTokenizerFast

Path(os.environ["RAN"]).touch()


class InternLM2TokenizerFast(PreTrainedTokenizerFast):
    vocab_files_names = {"tokenizer_file": "tokenizer.json"}
"""


@pytest.fixture
def study():
    origin = Hub(repo=REPO)
    model = Model(
        name="internlm-small",
        family="internlm2.5",
        parameters=50_000,
        origin=origin,
        remote_code=True,
        needs_gpu=False,
    )
    return combine([("nano", {"models": [model]})])


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A mirror with the repository; the path of a file that its code makes when it runs."""
    folder = tmp_path / "mirror" / REPO
    tokenizer = build_tokenizer(folder)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"})
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    for left in folder.glob("chat_template*"):
        left.unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    named = "InternLM2TokenizerFast"
    config |= {"tokenizer_class": named, "chat_template": TEMPLATE}
    config["auto_map"] = {"AutoTokenizer": [None, f"tokenization_internlm2_fast.{named}"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "tokenization_internlm2_fast.py").write_text(CODE)
    tiny_model(vocabulary=len(tokenizer)).save_pretrained(folder)
    monkeypatch.setenv(MIRROR_SETTING, str(tmp_path / "mirror"))
    monkeypatch.setenv("RSFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.delenv(REMOTE_CODE_SETTING, raising=False)
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    return tmp_path / "ran"


def test_its_code_does_not_run_unless_that_is_allowed(study, ran):
    with pytest.raises(StepError, match=rf"internlm-small runs Python code .*{REPO}.*{REMOTE_CODE_SETTING}=1"):
        make_base_model(study, Store.from_env(), Ref("base_models/internlm-small"), placement=CPU)
    assert not ran.exists()
    assert not (Store.from_env().home / "base_models/internlm-small/current.json").exists()


def test_its_text_begins_once_and_ends_once(study, ran, tmp_path, monkeypatch):
    monkeypatch.setenv(REMOTE_CODE_SETTING, "1")
    base = make_base_model(study, Store.from_env(), Ref("base_models/internlm-small"), placement=CPU)
    tokenizer = load_tokenizer(base.folder, remote_code=True)
    assert ran.exists() and type(tokenizer).__name__ == "InternLM2TokenizerFast"
    row = {**examples(1)[0], "message": [{"role": "user", "content": "1+1?"}], "response": "<think>\n2\n</think>\n\n2"}
    [(ids, prompt)] = training_rows(write_examples(tmp_path / "examples.parquet", [row]), tokenizer)
    assert tokenizer.decode(ids[:prompt]) == "<s><|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(ids[prompt:]) == "<think>\n2\n</think>\n\n2</s>"
    assert [ids.count(tokenizer.bos_token_id), ids.count(tokenizer.eos_token_id)] == [1, 1]
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
