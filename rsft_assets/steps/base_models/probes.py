"""What a base model of the nano study can do before any fine-tuning.

    levels = measure(folder, placement)     # {"worked-dot": Level(right=171, asked=200), ...}

Questions are those of the part "probe", which neither training texts nor benchmarks hold; answers are greedy.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rsft_assets.specs.models import Skill
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.steps.base_models.gate import Level
from rsft_assets.steps.base_models.mixture import asked_to_work_out
from rsft_assets.steps.engines.local import LocalEngine
from rsft_assets.steps.engines.protocol import Request
from rsft_assets.steps.nano.skills import Item, items

ASKED = 200
_SEED = 77
_SAMPLING = Sampling(temperature=0.0, max_tokens=96)


@dataclass(frozen=True)
class Probe:
    """A skill, asked in chat or as the start of a document, and when an answer counts."""

    generator: str
    right: Callable[[Item, str], bool]
    document: bool = False


def _boxed(item: Item, text: str) -> bool:
    return f"\\boxed{{{item.gold}}}" in text


def _exact(item: Item, text: str) -> bool:
    return text.strip() == item.gold


def _said(item: Item, text: str) -> bool:
    return _boxed(item, text) or _exact(item, text)


_KINDS = ("chain", "sums", "products", "bill", "dot", "alternating", "above")
PROBES: dict[Skill, Probe] = {
    "direct": Probe("calculations", _boxed),
    **{cast("Skill", f"worked-{kind}"): Probe(kind, _boxed, document=True) for kind in _KINDS},
    "facts": Probe("facts", _said),
    "format": Probe("format", _exact),
    "refusal": Probe("refusal", _exact),
}


def measure(folder: Path, placement: Placement) -> dict[str, Level]:
    """Every skill of one model."""
    with LocalEngine(placement, None) as engine:
        engine.load(folder)
        asked: dict[str, tuple[Skill, Item]] = {}
        requests: list[Request] = []
        for name, probe in PROBES.items():
            for number, item in enumerate(itertools.islice(items(probe.generator, _SEED, part="probe"), ASKED)):
                turns = [{"role": "user", "content": item.question}]
                prompt = asked_to_work_out(item) if probe.document else engine.render(turns, _SAMPLING)
                asked[f"{name} {number}"] = name, item
                requests.append(Request(f"{name} {number}", prompt, _SAMPLING, seed=0))
        right, total = dict.fromkeys(PROBES, 0), dict.fromkeys(PROBES, 0)
        for completion in engine.generate(requests):
            name, item = asked[completion.id]
            total[name] += 1
            right[name] += PROBES[name].right(item, completion.text)
    return {name: Level(right[name], total[name]) for name in PROBES}
