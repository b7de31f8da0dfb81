"""Amounts -> costs: hours of GPUs or CPU cores, bytes and judge money, measured where something was measured."""

import json
from pathlib import Path

from rsft_assets.specs import rates
from rsft_assets.specs.cards import peak_of
from rsft_assets.specs.judges import judge_specs
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement, load_placement
from rsft_assets.specs.rates import Rate
from rsft_assets.steps.processes.hardware import gpus
from rsft_assets.steps.questions.planning.measured import Measured, Measurement, on_gpu
from rsft_assets.steps.questions.planning.quantities import Line, Quantity
from rsft_assets.steps.scores.grading.judges import missing_judges

HOUR = 3600.0


def training_time(line: Line, tokens: Quantity, model: Model, measured: Measurement | None) -> None:
    """Time to train on `tokens`."""
    placement = load_placement(model.name)
    gpu = on_gpu(model.runs_on_gpu, placement)
    width = placement.processes * (1 if gpu else placement.threads)
    rate = rates.training_mfu(model.parameters) if gpu else rates.CPU_TRAINING_FLOPS
    _time(line, tokens, gpu, width, measured, rate, _seconds(6 * model.parameters, rate, gpu))


def decoding_time(
    line: Line, tokens: Quantity, parameters: int, needs_gpu: bool, placement: Placement, measured: Measurement | None
) -> None:
    """Time to generate `tokens`."""
    gpu = on_gpu(needs_gpu, placement)
    width = placement.engines * (placement.tensor_parallel if gpu else placement.threads)
    rate = rates.DECODING_MFU if gpu else rates.CPU_DECODING_FLOPS
    seconds = _seconds(2 * parameters, rate, gpu)
    _time(line, tokens, gpu, width, measured, rate, max(seconds, 1 / rates.DECODING_MOST) if gpu else seconds)


def _seconds(flops: float, rate: Rate, gpu: bool) -> float:
    """Of one card or core, a token."""
    return flops / (rate.value * (_card()[1] if gpu else 1))


def _card() -> tuple[str, float]:
    """(name, peak) of this machine's card, or of the one that is reckoned with where it has none that is known."""
    known = [(name, peak) for name, _ in gpus() if (peak := peak_of(name))]
    return known[0] if known else (rates.CARD, peak_of(rates.CARD) or 0.0)


def _time(
    line: Line, tokens: Quantity, gpu: bool, width: int, measured: Measurement | None, rate: Rate, seconds: float
) -> None:
    quantity = "gpu_hours" if gpu else "cpu_hours"
    if measured is not None:
        width = measured.width or width
        line.add(quantity, tokens.times(width / measured.per_second / HOUR), measured.words)
        return
    name, peak = _card()
    source = f"{rate.source}; {name}: {peak / 1e12:,.0f} TFLOP/s by its data sheet" if gpu else rate.source
    line.add(quantity, tokens.times(seconds / HOUR, rate.basis), source)


def light_work(line: Line, measured: Measured, asset: str, rows: Quantity, *, workers: int = 1) -> None:
    """CPU time and disk of work that goes by rows."""
    known = measured.light(asset)
    if known is not None:
        rate, size = known
        line.add("cpu_hours", rows.times(workers / rate.per_second / HOUR), rate.words)
        line.add("disk_bytes", rows.times(size))
        return
    each = rates.PER_ROW[asset.partition("/")[0]]
    line.add("cpu_hours", rows.times(each.seconds / HOUR, "assumed"), rates.PER_ROW_SOURCE)
    line.add("disk_bytes", rows.times(each.bytes, "assumed"))


def judge_money(line: Line, home: Path, benchmark: str, role: str, samples: Quantity) -> None:
    """Tokens that a judge reads and writes, and their price where the user has named one."""
    asked = samples.times(2)  # each grader asks; where both ask the same, the reply is kept
    length = _judgement_length(home, benchmark, role)
    each = length or rates.JUDGEMENT_TOKENS[role]
    tokens = asked.times(each, "measured" if length else "assumed")
    source = "tokens a judgement, measured" if length else rates.JUDGING_SOURCE
    line.add("judge_tokens", tokens, f"judge {role}: {each:,.0f} {source}")
    spec = judge_specs().get(role)
    if spec is None:
        line.say(f"{missing_judges([role])}; until then no judge is asked")
    elif spec.usd_per_million_tokens is None:
        line.say(f"judge {role} is not priced: set usd_per_million_tokens in its table")
    else:
        line.add("judge_usd", tokens.times(spec.usd_per_million_tokens / 1e6))


def _judgement_length(home: Path, benchmark: str, role: str) -> float | None:
    """Mean tokens of the judgements in store."""
    lengths: list[int] = []
    for path in sorted((home / "judgements" / benchmark).glob(f"{role}-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                lengths.append(int(json.loads(line)["tokens"]))
            except (ValueError, KeyError, TypeError):
                continue  # the last line of a killed process
    return sum(lengths) / len(lengths) if sum(lengths) else None
