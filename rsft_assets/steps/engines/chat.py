"""Chat turns to prompt text by the model's own template; no system message is ever added."""

from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.models import Model
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines.protocol import Completion, Request
from rsft_assets.steps.processes.closing import Closing
from rsft_assets.steps.records.rows import without_surrogates
from rsft_assets.steps.records.tokenizers import allow_remote_code, load_tokenizer


def needs_gpu(model: Model | None) -> bool:
    """Whether a GPU that cannot be used is an error; a teacher's size is not known here, so for it it is."""
    return model is None or model.runs_on_gpu


class ModelEngine(Closing):
    """What engines have in common that read a model's own tokenizer."""

    def __init__(self, model: Model | None) -> None:
        self._spec = model
        self._tokenizer: Any = None

    def render(self, turns: list[dict[str, str]], sampling: Sampling) -> str:
        drop_system = self._spec is not None and self._spec.drop_default_system_prompt
        return render_chat(self._tokenizer, turns, thinking=sampling.thinking, drop_system=drop_system)

    def _read_tokenizer(self, folder: Path) -> None:
        self._tokenizer = load_tokenizer(folder, remote_code=allow_remote_code(self._spec))

    def _encode(self, prompt: str) -> list[int]:
        ids: list[int] = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return ids or [self._tokenizer.eos_token_id]

    def _completion(
        self, request: Request, prompt_tokens: int, tokens: list[int], logprob: float | None, *, ended: bool
    ) -> Completion:
        """What was drawn for a request; the last of the tokens is the end token where it `ended` by itself."""
        drawn = tokens[:-1] if ended else tokens
        text = self._tokenizer.decode(drawn, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Completion(
            id=request.id,
            text=without_surrogates(text),
            prompt_tokens=prompt_tokens,
            response_tokens=len(tokens),
            finish_reason="stop" if ended else "length",
            ended_by_eos=ended,
            mean_logprob=logprob / len(tokens) if logprob is not None and tokens else None,
        )


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
