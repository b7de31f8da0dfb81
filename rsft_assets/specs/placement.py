"""Placement: where and how wide a step runs. Never part of identity.

`RSFT_PLACEMENT` names a TOML file: `[default]` for all, `[models.<name>]` over it. Without one, a step
uses what the machine has. `RSFT_PLACEMENT_FIELDS` holds fields of one run over both, as a JSON object.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rsft_assets.specs.endpoints import without_credentials
from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.toml_file import entry, read_toml, rows

PLACEMENT_SETTING = "RSFT_PLACEMENT"
FIELDS_SETTING = "RSFT_PLACEMENT_FIELDS"
"""Set by Dagster's launchpad, for one run."""
_EXAMPLE = '{"engine": "vllm"}'


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How a step is spread over a machine."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    launcher: Literal["local", "ray"] = "local"
    """ray: stages with partitions run in pieces on the nodes of a Ray cluster, all else on this machine."""
    ray_address: str = "auto"
    """Of the cluster's head, host:port; auto: the cluster that this machine is a node of."""
    ray_pieces: int = 0
    """Pieces of one step. 0: each of at least five minutes by the plan's estimate, up to four for each slot."""
    ray_cpus: int = 0
    """Cores that a piece reserves. 0: all of the smallest node, or the share of its GPUs."""
    engine: Literal["auto", "transformers", "vllm", "endpoint"] = "auto"
    endpoint: str = ""
    """Base URL of an OpenAI-compatible server; its key comes from RSFT_ENDPOINT_KEY."""
    tensor_parallel: int = 1
    engines: int = 1
    """Independent engine processes, each with `tensor_parallel` GPUs."""
    kv_cache: Literal["auto", "fp8"] = "auto"
    """Precision of vLLM's keys and values. fp8 holds twice as many and rounds texts otherwise, so that engines are
    recorded with it.
    """
    processes: int = 1
    """Training processes of one run on this machine, one per GPU."""
    runs: int = 0
    """Runs trained at the same time on this machine, each with its own GPUs; on CPUs also checkpoints scored at the
    same time. 0: one, or for models made for CPUs as many as cores and memory allow."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    micro_batch_tokens: int = 16_384
    """Tokens of one packed micro-batch."""
    attention: Literal["auto", "flash4", "flash3", "cudnn", "flash2", "padded"] = "auto"
    """Kernel of packed rows on a GPU; padded is the path of the CPU."""
    deterministic: bool = False
    """A training on GPUs repeats and resumes to the bit, as one on a CPU does."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile of the decoder layers and the loss. auto: on GPUs."""
    recompute_share: float | None = None
    """Share of the layers, 0 to 1, computed again in the backward pass. None: on a GPU as few as memory allows, on a
    CPU none."""
    threads: int = 1
    """CPU threads of each process."""
    workers: int = 2
    """Processes that verify answers or run code."""

    def recorded(self) -> dict[str, Any]:
        """Its fields as manifests keep them; which nodes ran the pieces is said by their host."""
        fields = {name: value for name, value in asdict(self).items() if not name.startswith("ray_")}
        return fields | {"endpoint": without_credentials(self.endpoint)}


def read_placements() -> dict[str, Placement]:
    """The placement of each model that RSFT_PLACEMENT's file names, and under "" of all others."""
    path, fields_of_run = os.environ.get(PLACEMENT_SETTING), _fields_of_run()
    if not path:
        return {"": _entry(fields_of_run, FIELDS_SETTING)}
    where = f"{PLACEMENT_SETTING}={path}"
    data = read_toml(PLACEMENT_SETTING, path, tables=("default", "models"))
    shared = data.get("default", {})
    _entry(shared, f"{where}: default")
    placements = {"": _entry({**shared, **fields_of_run}, FIELDS_SETTING)}
    for name, fields in rows(data, "models", where):
        _entry(fields, f"{where}: models.{name}")
        placements[name] = _entry({**shared, **fields, **fields_of_run}, FIELDS_SETTING)
    return placements


def _fields_of_run() -> dict[str, Any]:
    text = os.environ.get(FIELDS_SETTING) or "{}"
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise SpecError(f"{FIELDS_SETTING}={text}: not JSON ({error}); write an object such as {_EXAMPLE}") from None
    if not isinstance(fields, dict):
        raise SpecError(f"{FIELDS_SETTING}={text}: not an object; write one such as {_EXAMPLE}")
    return fields


def is_host_and_port(address: str) -> bool:
    """Whether this is `host:port`, with a name, an IPv4 address, or an IPv6 address in brackets."""
    parts = re.fullmatch(r"(?:[\w-]+(?:\.[\w-]+)*\.?|\[[0-9a-fA-F:]+\]):(\d{1,5})", address)
    return parts is not None and 0 < int(parts[1]) < 65_536


def _entry(fields: Any, where: str) -> Placement:
    placement: Placement = entry(Placement, fields, where)
    address = placement.ray_address
    if address != "auto" and not is_host_and_port(address):
        raise SpecError(
            f"{where}: field ray_address: {address!r} must be host:port of the cluster's head, such as "
            "'10.0.0.1:6379', or 'auto'; ray:// addresses cannot stream results"
        )
    return placement


def load_placement(model: str = "") -> Placement:
    """The placement for one model."""
    placements = read_placements()
    return placements.get(model, placements[""])
