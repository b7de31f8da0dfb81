"""The nano study's tokenizer: one token for each digit, operator and word, bytes for everything else.

    tokenizer = build_tokenizer(folder)        # saved there in Hugging Face's format

Any text round-trips exactly. The chat template and the special tokens are those of Qwen3, cut down.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from rsft_assets.steps.nano.words import WORDS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EOS = "<|endoftext|>"
TURN, TURN_END = "<|im_start|>", "<|im_end|>"
THINK, THINK_END = "<think>", "</think>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_PIECES = r" ?\\boxed\{| ?[A-Za-z]+|\d|[^A-Za-z\d]"


def build_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """Build the tokenizer and save it in `folder`, where `AutoTokenizer.from_pretrained` finds it."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {piece: number for number, piece in enumerate(_vocabulary())}
    # Without merges, a piece is one token if the vocabulary has it, else its bytes.
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (EOS, TURN, TURN_END)])
    inner.add_tokens([AddedToken(text, special=False, normalized=False) for text in (THINK, THINK_END)])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        eos_token=EOS,
        pad_token=EOS,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _vocabulary() -> list[str]:
    """Bytes, then words with and without a space before them, in the byte-level alphabet."""
    from tokenizers import pre_tokenizers

    space = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(" ")[0][0]
    words = dict.fromkeys((*WORDS, "\\boxed{"))
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *words, *(space + word for word in words)]
    return list(dict.fromkeys(pieces))
