"""Chat turns to prompt text by the model's own template; no system message is ever added."""

from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.models import Model


def render_chat(tokenizer: Any, turns: list[dict[str, str]], *, thinking: bool | None, drop_system: bool) -> str:
    """The prompt, up to where the assistant's answer starts.

    `drop_system` cuts the system block that some templates (Qwen2.5) insert of their own accord.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise StepError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template, so no prompt can be built; "
            "use a model folder whose tokenizer brings one (chat_template.jinja or tokenizer_config.json)"
        )
    switches = {} if thinking is None else {"enable_thinking": thinking}
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **switches)
    return _without_system(text, turns) if drop_system else text


def _without_system(text: str, turns: list[dict[str, str]]) -> str:
    if turns and turns[0]["role"] == "system":
        return text
    start = text.find("<|im_start|>user")
    if start < 0:
        raise StepError("the chat template writes no <|im_start|>user, so its default system message cannot be cut")
    return text[start:]


def drops_system(model: Model | None) -> bool:
    return model is not None and model.drop_default_system_prompt


def load_tokenizer(folder: Any, *, remote_code: bool) -> Any:
    """The tokenizer of a model folder, with an end token; never looked for anywhere else."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise StepError(f"{folder}: no usable tokenizer ({error}); is this a Hugging Face model folder?") from error
    if tokenizer.eos_token_id is None:
        raise StepError(f"{folder}: the tokenizer has no end token, so no answer would ever end; set eos_token")
    return tokenizer


def remote_code_allowed(model: Model | None) -> bool:
    """Whether to run a repository's own code: the model needs it, and the user allowed it."""
    import os

    if model is None or not model.remote_code:
        return False
    if os.environ.get("RSFT_ALLOW_REMOTE_CODE") != "1":
        raise StepError(
            f"{model.name} runs Python code from its own repository; read that code, then set RSFT_ALLOW_REMOTE_CODE=1"
        )
    return True
