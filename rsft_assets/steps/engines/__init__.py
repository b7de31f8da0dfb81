"""Engines: rendered prompts in, completions out, as they finish.

    with open_engine(placement, model) as engine:
        engine.load(checkpoint_folder)
        prompt = engine.render([{"role": "user", "content": "2+2?"}], sampling)
        for completion in engine.generate(Request(...) for ...):
            ...

Three implementations of one protocol: Transformers (`local.py`, the default on a CPU), vLLM in this process
(`vllm_engine.py`) and an OpenAI-compatible server (`endpoint.py`); `multi_process.py` puts several
processes behind one. Importing this package imports none of them.
"""

from rsft_assets.steps.engines.opening import open_engine, repeatable_engine
from rsft_assets.steps.engines.protocol import Completion, Engine, Request, request_seed

__all__ = ["Completion", "Engine", "Request", "open_engine", "repeatable_engine", "request_seed"]
