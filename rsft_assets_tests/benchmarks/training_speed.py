"""Useful (unpadded) tokens a second of training: this trainer beside TRL's SFTTrainer, same model, rows and machine.

    python -m rsft_assets_tests.benchmarks.training_speed [--size 135m] [--rounds 3] [--precision bf16-pure]
    python -m rsft_assets_tests.benchmarks.training_speed --device cuda [--seconds 240] [--json FILE]

The first compares in rounds on a CPU, each trainer in a process of its own, packing in both. TRL has no fp32 master
weights, so bf16-pure is its bf16's like. `padded` pads four rows a time as the authors' trainer pads to 20,000: to as
many times the rows' mean length as 20,000 is of the mean that `rsft plan` assumes of their rows.

The second is a table: models of random weights and synthetic rows, one line for each way to place a training, the most
telling first. Each line is printed and written to FILE when it is there; after `--seconds` what is left is left out. It
fails where the trainer's estimate of memory is off. TRL and accelerate must be importable for TRL's part. A step has 17
rows and counts the whole optimizer (`optimizer` in FILE); in steps of 256 rows, its share is a fifteenth of that.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsft_assets_tests.benchmarks.trainers import PADDED_TO, authors_mean
from rsft_assets_tests.benchmarks.training_cases import SIZES
from rsft_assets_tests.benchmarks.training_process import measure

TABLES = {"cpu": ("small",), "cuda": ("1.7b", "14b-4layers")}
ESTIMATED = 0.05
BEFORE, DEFAULT, TRL = "nothing compiled, all recomputed", "default placement", "TRL, one row at a time"


def ways(device: str) -> dict[str, dict[str, Any]]:
    """Fields of the placement by line of the table; a line with + adds one remedy to the line above it."""
    plain = {"compile": "off", "attention": "flash2" if device == "cuda" else "padded", "recompute_share": 1.0}
    compiled = plain | {"compile": "on"}
    attention = compiled | {"attention": "auto"}
    return {
        BEFORE: plain,
        "layers and loss compiled": compiled,
        "+ attention kernel by card": attention,
        "+ half of the layers recomputed": attention | {"recompute_share": 0.5},
        "+ nothing recomputed": attention | {"recompute_share": 0.0},
        DEFAULT: {},
        "default, deterministic": {"deterministic": True},
    }


def table_cases(device: str, sizes: list[str], lines: list[str]) -> list[dict[str, Any]]:
    """What to measure, the most telling first."""
    for_all = {name: fields for name, fields in ways(device).items() if name in lines}
    first = [name for name in (BEFORE, DEFAULT) if name in for_all]
    cases = [(size, name) for size in sizes for name in first]
    if TRL in lines and importlib.util.find_spec("trl"):
        cases.append((sizes[0], TRL))
    cases += [(size, name) for size in sizes for name in for_all if name not in first]
    return [
        {
            "line": name,
            "trainer": "theirs" if name == TRL else "ours",
            "size": size,
            "precision": "bf16",
            "placement": {"device": device, **for_all.get(name, {})},
        }
        for size, name in cases
    ]


def rows_of_table(device: str, found: list[dict[str, Any]]) -> Iterator[str]:
    """The measured lines in Markdown, in the order of `ways`, a heading for each size."""
    order = [*ways(device), TRL]
    for size in dict.fromkeys(one["size"] for one in found):
        lines = sorted((one for one in found if one["size"] == size), key=lambda one: order.index(one["line"]))
        good = [one for one in lines if "failed" not in one]
        about = f", {good[0]['tokens']:,} tokens, {good[0]['device']}, torch {good[0]['torch']}" if good else ""
        gib = "GiB allocated / reserved / estimated"
        yield f"| {size}{about} | tokens/s | MFU | of TRL's speed | {gib} | start and first step |"
        yield "|---|---|---|---|---|---|"
        theirs = next((speed(one) for one in good if one["line"] == TRL), None)
        for one in lines:
            yield f"| {one['line']} | {cells(one, theirs)} |"
        yield ""


def speed(one: dict[str, Any]) -> float:
    return one["tokens"] / one["seconds"]


def cells(one: dict[str, Any], theirs: float | None) -> str:
    if "failed" in one:
        return f"{one['failed']} | | | |"
    share = f"{one['mfu']:.1%}" if one.get("mfu") else ""
    gib = " / ".join(f"{one[name]:.2f}" if one.get(name) else "–" for name in ("allocated", "reserved", "estimated"))
    ratio = f"{speed(one) / theirs:.2f}" if theirs else ""
    return f"{speed(one):,.0f} | {share} | {ratio} | {gib} | {one['first']:.1f} s"


def table(arguments: argparse.Namespace) -> None:
    """Measure the lines, and print and write them as they come."""
    lines = arguments.lines or [*ways(arguments.device), TRL]
    cases = table_cases(arguments.device, arguments.size or list(TABLES[arguments.device]), lines)
    until = time.monotonic() + arguments.seconds
    found: list[dict[str, Any]] = []
    for one in measure(cases, until):
        found.append(one)
        print(f"{one['size']} {one['line']}: {cells(one, None)}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps({"lines": found, "left": len(cases) - len(found)}, indent=1))
    print(f"{len(cases) - len(found)} of {len(cases)} lines left out", end="\n\n")
    print("\n".join(rows_of_table(arguments.device, found)))
    if all("failed" in one for one in found):
        sys.exit("no line was measured")
    if off := [f"{one['size']} {one['line']}" for one in found if one.get("reserved") and is_off(one)]:
        sys.exit(f"the memory estimate is not within {ESTIMATED:.0%} of what was reserved: {', '.join(off)}")


def is_off(one: dict[str, Any]) -> bool:
    return bool(one.get("estimated")) and abs(one["estimated"] / one["reserved"] - 1) > ESTIMATED


def rounds(arguments: argparse.Namespace) -> None:
    """Trainers in turn, several times: the machine's load changes."""
    [size], names = arguments.size or ["1m"], ["ours", *arguments.beside]
    names = [name for name in names if name != "theirs" or importlib.util.find_spec("trl")]
    case = {"size": size, "precision": arguments.precision, "placement": {"device": "cpu"}}
    found: list[dict[str, Any]] = []
    for _ in range(arguments.rounds):
        cases = [case | {"line": name, "trainer": name} for name in names]
        found.append({one["line"]: one for one in measure(cases, None)})
    if failed := [one["failed"] for each in found for one in each.values() if "failed" in one]:
        sys.exit(failed[0])
    print(f"{size}, {arguments.precision}, {arguments.rounds} rounds, one thread each; load {load()}")
    for unit in ("seconds", "cpu"):
        for name in names:
            rates = [one[name]["tokens"] / one[name][unit] for one in found]
            print(f"{name:7s} {spread(rates, ',.0f')} tokens per {unit}")
        for name in names[1:]:
            ratios = [
                one["ours"]["tokens"] / one["ours"][unit] / (one[name]["tokens"] / one[name][unit]) for one in found
            ]
            print(f"ours / {name}: {spread(ratios, '.2f')} per {unit}")
    for name in names:
        print(f"{name:7s} {spread([one[name]['peak'] for one in found], '.2f')} GiB at the most")
    print(f"packing takes {spread([100 * one['ours']['packing'] for one in found], '.2f')} % of a step")
    print(
        f"padding to {PADDED_TO:,} tokens computes {PADDED_TO / authors_mean():.2f} for each useful one of rows of "
        f"{authors_mean():,.0f} (assumed of the authors' rows)"
    )


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def spread(values: list[float], form: str) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", nargs="+", choices=tuple(SIZES))
    parser.add_argument("--precision", choices=("fp32", "bf16", "bf16-pure"), default="fp32", help="of rounds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", nargs="*", choices=["padded", "theirs"], default=["theirs", "padded"])
    parser.add_argument("--lines", nargs="+", help="of the table; all without it")
    parser.add_argument("--seconds", type=float, default=240.0, help="after which the table ends")
    parser.add_argument("--json", type=Path, help="where the table's numbers are written")
    arguments = parser.parse_args()
    synthetic = arguments.device == "cuda" or any(SIZES[size].shape for size in arguments.size or ())
    (table if synthetic else rounds)(arguments)


if __name__ == "__main__":
    main()
