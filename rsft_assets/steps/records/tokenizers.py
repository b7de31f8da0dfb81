"""The tokenizer of a model folder, and the user's permission to run code that comes with a model."""

import os
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.models import Model

REMOTE_CODE_SETTING = "RSFT_ALLOW_REMOTE_CODE"


def load_tokenizer(folder: Path | str, *, remote_code: bool = False) -> Any:
    """The tokenizer of a model folder, with an end token; no other place is searched."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise StepError(f"{folder}: no usable tokenizer ({error}); is this a Hugging Face model folder?") from error
    # How it was loaded would be saved with it.
    tokenizer.init_kwargs["local_files_only"] = False
    if tokenizer.eos_token_id is None:
        raise StepError(f"{folder}: the tokenizer has no end token, so answers would never end; set eos_token")
    return tokenizer


def allow_remote_code(model: Model | None) -> bool:
    """Whether the repository's own code may run; a `StepError` where it must and may not."""
    if model is None or not model.remote_code:
        return False
    if os.environ.get(REMOTE_CODE_SETTING) != "1":
        raise StepError(
            f"{model.name} runs Python code from its repository ({getattr(model.origin, 'repo', 'its origin')}); "
            f"read that code, then allow it with {REMOTE_CODE_SETTING}=1"
        )
    return True
