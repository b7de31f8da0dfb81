"""Which engine a placement means here."""

import importlib.util
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines.protocol import Engine


def open_engine(placement: Placement, model: Model | None) -> Engine:
    """An engine without weights yet; `load` gives it some. `model` is None for a server's own model.

    With `engines` above 1 it is several, each a process of its own; a server looks after its own.
    """
    kind = engine_kind(placement)
    maker: Any
    if placement.engines > 1 and kind != "endpoint":
        from rsft_assets.steps.engines.multi_process import ManyEngines as maker
    elif kind == "endpoint":
        from rsft_assets.steps.engines.endpoint import EndpointEngine as maker
    elif kind == "vllm":
        from rsft_assets.steps.engines.vllm_engine import VllmEngine as maker
    else:
        from rsft_assets.steps.engines.local import LocalEngine as maker
    engine: Engine = maker(placement, model)
    return engine


def repeatable_engine(placement: Placement) -> str:
    """The fingerprint of an engine that gives a group of requests the same texts each time, whatever is asked beside
    it; empty where the engine is none of these.

    On a GPU the batch depends on the memory that is free; vLLM and servers form their batches as requests arrive.
    """
    if engine_kind(placement) != "transformers" or (placement.device != "cpu" and _has_gpu()):
        return ""
    from rsft_assets.steps.engines.local import describe

    return fingerprint(describe("cpu", placement.threads))


def engine_kind(placement: Placement) -> str:
    """transformers, vllm or endpoint; `auto` is vllm where there is a GPU and vllm, else transformers."""
    if placement.engine == "vllm" and not _has_vllm():
        raise StepError(
            'placement asks for engine "vllm", which is not installed; pip install "rsft_assets[gpu]" or [cpu]'
        )
    if placement.engine != "auto":
        return placement.engine
    return "vllm" if _has_vllm() and placement.device != "cpu" and _has_gpu() else "transformers"


def _has_vllm() -> bool:
    return importlib.util.find_spec("vllm") is not None


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())
