"""The small study that is attacked: every stage of the nano study's graph at a size that takes a minute, and what its
finished home says.
"""

import contextlib
import fcntl
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import dagster as dg
import duckdb

from rsft_assets.commands import cli
from rsft_assets.specs.study import Study, load_study
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.results.publishing import database_path
from rsft_assets_tests.proof.cases import Bench, Lost

STUDY = """
extends = "nano"
[sources.small-chains]
kind = "math"
instruction = ""
origin = { name = "calculations", seed = 21, count = 160 }
[pools.small-chains_n2]
source = "small-chains"
shards = 2
teacher = { name = "small-teacher", origin = { name = "worked-steps", seed = 22, count = 2 } }
sampling = { n = 2, max_tokens = 160, seed = 22 }
[datasets.small-cot]
recipe = "one-correct"
rows = 64
held_out = 8
pool = "small-chains_n2"
[models.pico]
family = "qwen3"
parameters = 20_000
needs_gpu = false
[models.pico.origin]
layers = 1
hidden = 16
heads = 2
mixture = "nano-skills"
steps = 10
batch_tokens = 512
lr = 1e-3
context = 128
seed = 1
held_out_documents = 16
[schedules.small]
lr = 1e-3
epochs = 1
batch_size = 16
precision = "fp32"
grid = [2]
[[runs]]
model = "pico"
dataset = "small-cot"
schedule = "small"
max_length = 192
"""
BENCHMARKS = {
    "small-facts": ("facts", "ood-reasoning", "math", ("accuracy",)),
    "small-format": ("format", "general", "nano-format", ("accuracy",)),
    "small-refusal": ("refusal", "safety", "nano-refusal", ("accuracy", "compliance", "over_refusal", "neither")),
}
_BENCHMARK = """
[benchmarks.{name}]
title = "{name}"
group = "{group}"
origin = {{ name = "{generator}", seed = 23, count = 24, options = [["part", "test"]] }}
task = "{task}"
items = 24
metrics = {metrics}
sampling = {{ n = 1, temperature = 0.6, top_p = 0.95, max_tokens = 24, seed = 23 }}
"""
ASKED = ("audits/small-*", "scores/pico/small-*", "results/*", "figures/*", "report", "--upstream")
STACK = "Traceback (most recent call last)"
MEASURED = re.compile(r"second|hours|_at$|^host$|command|commit|dirty|^bytes$|^stats$|^made_by$")
"""Columns of tables that differ each time the same thing is made."""


@dataclass(frozen=True)
class Said:
    """How a command ended, and everything it said; status None: a stack."""

    status: int | None
    words: str


def study_file(bench: Bench) -> Path:
    path = bench.home / "study.toml"
    if not path.exists():
        written = "".join(
            _BENCHMARK.format(name=name, generator=generator, group=group, task=task, metrics=list(metrics))
            for name, (generator, group, task, metrics) in BENCHMARKS.items()
        )
        path.write_text(STUDY + written.replace("'", '"'), encoding="utf-8")
    return path


def settings(bench: Bench, home: Path, **others: str) -> dict[str, str]:
    """The environment of a command: this study, that home, and nobody else's settings."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RSFT_", "DAGSTER_"))}
    source = Path(cli.__file__).parents[2]
    named = {"RSFT_HOME": str(home), "RSFT_STUDY": str(study_file(bench)), "PYTHONPATH": str(source)}
    return {**plain, **named, "OMP_NUM_THREADS": "1", **others}


def study_of(bench: Bench) -> Study:
    with mock.patch.dict(os.environ, settings(bench, bench.home), clear=True):
        return load_study()


def command_line(*words: str) -> list[str]:
    return [sys.executable, "-m", "rsft_assets.commands.cli", *words]


def step_line(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"rsft_assets.steps.{module}", *words]


def run(
    bench: Bench, home: Path, command: Sequence[str], *, cwd: Path | None = None, seconds: float = 600.0, **others: str
) -> Said:
    """A command in a process of its own."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=settings(bench, home, **others),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        words = process.communicate(timeout=seconds)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        raise Lost(f"{' '.join(command[2:])}: not done after {seconds:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Said(None if STACK in words else process.returncode, words)


def say(bench: Bench, home: Path, *words: str) -> Said:
    """A command in this process, which costs no start of Python; what it imported stays."""
    said = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, settings(bench, home), clear=True))
        stack.enter_context(mock.patch.object(sys, "argv", ["rsft", *words]))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        try:
            cli.main()
            status: int | None = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except Lost:
            raise
        except Exception:
            status = None
            said.write(traceback.format_exc())
    found = said.getvalue()
    return Said(None if STACK in found else status, found)


def reference(bench: Bench) -> Path:
    """A home where everything was made by one undisturbed command; made once, never changed."""
    home = bench.home / "reference"
    if not home.exists():
        making = bench.folder("making")
        done = run(bench, making, command_line("materialize", *ASKED))
        if done.status != 0:
            raise Lost(f"the undisturbed run failed: {done.words[-2_000:]}")
        making.rename(home)
    return home


def copied(bench: Bench, name: str) -> Path:
    """A copy of the reference."""
    home = bench.home / name
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(reference(bench), home, symlinks=True)
    return home


def digests(home: Path) -> dict[str, str]:
    """The digest of every output in use, of all stages, and of the completions that no pointer names."""
    store = Store(home)
    found = {str(output.manifest.ref): output.digest for output in store.outputs()}
    for folder in store.folders():
        if folder.relative_to(home).parts[0] == "completions":
            found[folder.relative_to(home).as_posix()] = Output.at(folder).digest
    return found


def without_times(found: Mapping[str, str]) -> dict[str, str]:
    """Digests but for the report's, which says times."""
    return {ref: digest for ref, digest in found.items() if ref != "report"}


def tables(home: Path) -> dict[str, tuple[int, int, int]]:
    """Of every results table: rows, different rows, and a sum over all that is not measured.

    Numbers count to nine digits: DuckDB adds in no fixed order, which changes the last ones.
    """
    found = {}
    with open_tables(home) as db:
        names = db.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        for schema, name in names:
            if schema == "build":
                continue  # when and how each table was built
            table = f'"{schema}"."{name}"'
            columns = [one[:2] for one in db.execute(f"DESCRIBE {table}").fetchall() if not MEASURED.search(one[0])]
            picked = ", ".join(
                f"format('{{:.9g}}', \"{column}\")" if kind == "DOUBLE" else f'"{column}"' for column, kind in columns
            )
            found[f"{schema}.{name}"] = db.execute(
                f"SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT * FROM {table})), "
                f"coalesce(sum(hash({picked})::HUGEINT), 0) FROM {table}"
            ).fetchall()[0]
    return found


def problems(home: Path) -> str:
    """What the results themselves say cannot be read."""
    with open_tables(home) as db:
        return str(db.execute("FROM marts.problems").fetchall())


def open_tables(home: Path) -> contextlib.closing[duckdb.DuckDBPyConnection]:
    return contextlib.closing(duckdb.connect(str(database_path(Store(home))), read_only=True))


def held_locks(home: Path) -> list[str]:
    held = []
    for path in home.rglob(".*lock*"):
        with path.open("a+") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(str(path))
    return held


def claimed_slots(home: Path) -> list[str]:
    """Runs that hold a slot of a pool, or wait for one."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        storage = instance.event_log_storage
        pools = [storage.get_concurrency_info(key) for key in storage.get_concurrency_keys()]
        return [f"{step.run_id} in {pool.concurrency_key}" for pool in pools for step in _steps(pool)]


def _steps(pool: object) -> Iterator[object]:
    yield from pool.claimed_slots
    yield from pool.pending_steps


def require_same(what: str, found: Mapping[str, object], expected: Mapping[str, object]) -> None:
    if wrong := differences(found, expected):
        raise Lost(f"{what} {len(wrong)} of {len(expected)} differ: {'; '.join(wrong[:5])}")


def differences(found: Mapping[str, object], expected: Mapping[str, object]) -> list[str]:
    """Words for each key whose value is another, missing or not expected."""
    return [
        f"{key}: {found.get(key)} instead of {expected.get(key)}"
        for key in sorted({*found, *expected})
        if found.get(key) != expected.get(key)
    ]
