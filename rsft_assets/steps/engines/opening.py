"""Which engine a placement means here."""

import importlib.util
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines.protocol import Engine
from rsft_assets.steps.processes.torch_device import torch_device


def open_engine(placement: Placement, model: Model | None) -> Engine:
    """An engine without weights yet; `load` gives it some. `model` is None for a server's own model.

    With `engines` above 1 it is several, each a process of its own; a server looks after its own.
    """
    kind = engine_kind(placement)
    if placement.kv_cache != "auto" and kind != "vllm":
        raise StepError(
            f"placement says kv_cache = {placement.kv_cache!r}, which only the engine vllm has, and the engine is "
            f'{kind}; set engine = "vllm", or leave kv_cache out'
        )
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
    if engine_kind(placement) != "transformers" or torch_device(placement) == "cuda":
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
    return "vllm" if _has_vllm() and torch_device(placement) == "cuda" else "transformers"


def _has_vllm() -> bool:
    return importlib.util.find_spec("vllm") is not None
