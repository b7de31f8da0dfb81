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
