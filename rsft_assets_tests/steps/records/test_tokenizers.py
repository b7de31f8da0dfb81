"""Tokenizers of model folders: loaded without the code of models where their own words allow it."""

import json
import subprocess
import sys

import pytest

from rsft_assets.steps.records.tokenizers import load_tokenizer
from rsft_assets_tests.steps.engines.tiny_model import tiny_tokenizer

LOOK = """
import sys
from rsft_assets.steps.records.tokenizers import load_tokenizer
tokenizer = load_tokenizer(sys.argv[1])
print(type(tokenizer).__name__, tokenizer("a b").input_ids, "transformers.models.auto.modeling_auto" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(folder, **fields):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_plain_tokenizer_is_the_one_that_transformers_gives_to_the_byte(folder, tmp_path):
    from transformers import AutoTokenizer

    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert type(ours) is type(theirs)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert files(tmp_path / "ours") == files(tmp_path / "theirs")


def test_a_plain_tokenizer_imports_no_model(folder):
    said = subprocess.run([sys.executable, "-c", LOOK, str(folder)], capture_output=True, text=True, check=True).stdout
    ids = load_tokenizer(folder)("a b").input_ids
    assert said.splitlines()[-1] == f"TokenizersBackend {ids} False"


@pytest.mark.parametrize(
    "fields",
    [
        {"tokenizer_class": "Qwen2Tokenizer"},
        {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}},
        {"tokenizer_class": None},
        {"tokenizer_class": ["TokenizersBackend"]},
    ],
    ids=["another class", "code of its own", "no class", "nonsense"],
)
def test_any_other_is_left_to_transformers(folder, monkeypatch, fields):
    from transformers import AutoTokenizer

    change(folder, **fields)
    plain, asked = tiny_tokenizer(), []
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *words, **more: asked.append(words) or plain)
    assert load_tokenizer(folder) is plain
    assert asked == [(str(folder),)]
