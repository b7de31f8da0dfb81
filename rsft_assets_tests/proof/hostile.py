"""Hostile answers, programs, settings files, mirrors, endpoints and judges.

The tables and servers are those of the tests beside the code; what is new here are generated variations of them.
"""

import gzip
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.placement import Placement
from rsft_assets.steps.engines.endpoint import EndpointEngine
from rsft_assets.steps.engines.server import Server
from rsft_assets.steps.records.hub import dataset_rows
from rsft_assets.steps.scores.kinds import hex_phi, truthfulqa
from rsft_assets.steps.scores.sandbox.pool import SandboxPool, isolation_problem
from rsft_assets_tests.proof.cases import Bench, Case, Lost, NotTried, Seen
from rsft_assets_tests.proof.hostile_answers import judge_generated
from rsft_assets_tests.proof.pipeline import STUDY
from rsft_assets_tests.specs import test_toml_files
from rsft_assets_tests.steps.data_study import mirror_json_lines, mirror_parquet
from rsft_assets_tests.steps.engines import test_endpoint
from rsft_assets_tests.steps.engines.rude_server import rude_server
from rsft_assets_tests.steps.scores.grading import test_code, test_judges

PROMISE = "Hostile answers, programs, settings, mirrors, endpoints and judges get a verdict or a clear error"
SETTINGS = {
    "RSFT_STUDY": STUDY,
    "RSFT_PLACEMENT": "[default]\nprocesses = 2\nengine = 'vllm'\n[models.small]\nthreads = 1\nendpoint = 'http://x/v1'\n",
    "RSFT_JUDGES": test_toml_files.JUDGE + "key = 'K'\nusd_per_million_tokens = 3.0\n",
}
VALUES = (
    *("0", "-1", "1e400", "nan", "inf", "true", "''", "'\\u0000'", "[]", "{}", "[[]]", "1979-05-27", "9" * 400),
    *("'../..'", "'" + "x" * 4_000 + "'", "{ a = 1 }", "[1, 'a']", "-0.0", "0x7fffffffffffffffffff", "'http://[::1'"),
)
LINES = ("[", "]]", "a.b.c = 1", "[models]", "[[runs]]", "extends = 'paper'", "\ufeff", "\0", "= 3", "[x", '"""')
ROUNDS = 200


def cases(bench: Bench) -> Iterator[Case]:
    """Rounds of every kind, until the time is spent."""
    kinds: dict[str, Callable[[Bench, random.Random], Seen]] = {
        "settings": settings,
        "judges": judges,
        "mirrors": mirrors,
        "endpoints": endpoints,
        "answers": answers,
        "programs": programs,
    }
    for number in range(1 if bench.short else ROUNDS):
        for kind, attack in kinds.items():
            name = f"{kind} {number}"
            yield Case(name, lambda attack=attack, name=name: attack(bench, bench.random(name)), 600.0)


def answers(bench: Bench, numbers: random.Random) -> Seen:
    return judge_generated(numbers, 20 if bench.short else 200)


def programs(bench: Bench, numbers: random.Random) -> Seen:
    """Hostile programs in an order of their own, in one sandbox; an honest one after each is unharmed."""
    if problem := isolation_problem():
        raise NotTried(problem)
    names = numbers.sample(list(test_code.HOSTILE), 4 if bench.short else len(test_code.HOSTILE))
    limits = replace(test_code.LIMITS, seconds=2.5, wall_seconds=8.0)
    with SandboxPool(workers=1, limits=limits) as sandbox:
        for name in names:
            code, expected = test_code.HOSTILE[name]
            found = test_code.run(sandbox, code)
            # The limits are tighter here than where the table is tested.
            if found.status not in expected | {"time", "killed", "memory"}:
                raise Lost(f"a program that {name}: {found}")
            honest = test_code.run(sandbox, "print(int(input()) + 1)", ("41", "42"))
            if honest.status != "passed":
                raise Lost(f"an honest program after one that {name}: {honest}")
    return Seen(f"{len(names)} hostile programs", len(names))


def settings(bench: Bench, numbers: random.Random) -> Seen:
    """Edited files are read, or refused with the setting and the file in the words."""
    count = 40 if bench.short else 300
    path = bench.folder("settings") / "file.toml"
    for _ in range(count):
        name = numbers.choice(list(SETTINGS))
        content = edited(SETTINGS[name], numbers)
        path.write_bytes(content)
        with mock.patch.dict(os.environ, {name: str(path)}):
            try:
                test_toml_files.READERS[name](path)
            except SpecError as error:
                if not str(error).startswith(f"{name}={path}"):
                    raise Lost(f"the message names no file: {error}; {content!r}") from error
            except Exception as error:
                raise Lost(f"{name}: {type(error).__name__}: {error}; {content[:3_000]!r}") from error
    return Seen(f"{count} files", count)


def edited(text: str, numbers: random.Random) -> bytes:
    lines = text.strip().splitlines()
    for _ in range(numbers.randint(1, 3)):
        at = numbers.randrange(len(lines))
        key, sign, _ = lines[at].partition(" = ")
        change = numbers.choice(("value", "value", "value", "gone", "twice", "name", "line"))
        if change == "value" and sign:
            lines[at] = f"{key} = {numbers.choice(VALUES)}"
        elif change == "name":
            lines[at] = lines[at].replace(key, key[:-1] + numbers.choice("x]\"'. "), 1)
        elif change == "line":
            lines.insert(at, numbers.choice(LINES))
        elif change == "twice":
            lines.insert(at, lines[at])
        elif len(lines) > 1:
            del lines[at]
    content = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    if numbers.random() < 0.2:
        content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
    return bytes(content)


def mirrors(bench: Bench, numbers: random.Random) -> Seen:
    """A damaged file of a mirror is named; one whose hash is declared gives no row that was not published."""
    rows = [{"problem": f"{n}+{n}", "answer": str(2 * n)} for n in range(50)]
    count = 8 if bench.short else 80
    with mock.patch.dict(os.environ, {"RSFT_MIRROR": str(bench.home / "mirror")}):
        for _ in range(count):
            path = _mirrored(bench.folder("mirror"), numbers, rows)
            sound = path.read_bytes()
            declared = hashlib.sha256(sound).hexdigest()
            path.write_bytes(_damaged(sound, numbers))
            hub = Hub(repo="owner/name", kind="dataset", split="train", file=path.name, sha256=declared)
            for one in (hub, replace(hub, sha256=None)):
                try:
                    found = list(dataset_rows(one))
                except StepError as error:
                    if path.name not in str(error) and "owner/name" not in str(error):
                        raise Lost(f"the message names neither file nor repository: {error}") from error
                else:
                    if one.sha256 and found != rows:
                        raise Lost(f"{path.name} was read though its hash differs from the declared one")
    return Seen(f"{count} damaged files, each with and without a declared hash", 2 * count)


def _mirrored(mirror: Path, numbers: random.Random, rows: list[dict[str, str]]) -> Path:
    kind = numbers.choice(("a.parquet", "a.jsonl", "a.jsonl.gz"))
    if kind == "a.parquet":
        return mirror_parquet(mirror, "owner/name", kind, rows)
    path = mirror_json_lines(mirror, "owner/name", kind, rows)
    if kind.endswith("gz"):
        path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return path


def _damaged(content: bytes, numbers: random.Random) -> bytes:
    at = numbers.randrange(len(content))
    return numbers.choice(
        (
            content[:at],
            content[:at] + bytes([content[at] ^ 1 << numbers.randrange(8)]) + content[at + 1 :],
            content[:at] + b"\0" * 64 + content[at + 64 :],
            content[at:],
            b"",
            content + content,
            content[:at] + b"[" * 5_000 + content[at:],
        )
    )


def endpoints(bench: Bench, numbers: random.Random) -> Seen:
    """Whatever a server does for a while, every answer is right in the end, and no key is shown."""
    [mark] = [mark for mark in test_endpoint.test_trouble_is_sat_out.pytestmark if mark.name == "parametrize"]
    troubles = [one for entry in mark.args[1] for one in (entry.values[0] if hasattr(entry, "values") else entry)]
    count = 5 if bench.short else 60
    with (
        mock.patch.dict(os.environ, {"RSFT_ENDPOINT_KEY": "sk-very-secret"}),
        rude_server(test_endpoint.answer) as rude,
    ):
        for _ in range(count):
            script = numbers.choices(troubles, k=numbers.randint(1, 3))
            rude.script.clear()
            rude.script.extend(script)
            server = Server(rude.url, patience=test_endpoint.QUICK)
            with EndpointEngine(Placement(), None, server=server) as engine:
                engine.load(Path("served-model"))
                texts = sorted(done.text for done in engine.generate(test_endpoint.requests()))
            if texts != ["to prompt 0", "to prompt 1", "to prompt 2"]:
                raise Lost(f"{script}: {texts}")
    return Seen(f"{count} sequences of up to three troubles", count)


def judges(bench: Bench, numbers: random.Random) -> Seen:
    """Every reply is a grade on its scale, or undecided."""
    said = [
        entry[0]
        for test in (test_judges.test_replies_of_the_harm_judge, test_judges.test_replies_of_a_truth_judge)
        for mark in test.pytestmark
        for entry in mark.args[1]
    ]
    count = 200 if bench.short else 3_000
    for _ in range(count):
        parts = numbers.choices(
            [*said, "#thescore:", "#verdict: yes", "*", "\0", "\ud83d\ude00", "9" * 50, "５", "-"], k=3
        )
        reply = numbers.choice(("", " ", "\n")).join(parts)
        for grader in ("strict", "authors"):
            grades = hex_phi.harm_grades(reply, grader)
            grades += [truthfulqa.grade_of(role, reply, grader) for role in truthfulqa.ROLES]
            # The authors take any whole number, and 0 where there is none.
            harm = {1.0, 2.0, 3.0, 4.0, 5.0, None} if grader == "strict" else range(10**9)
            scales = ({0.0, 1.0, None}, harm, {0.0, 1.0, None}, {0.0, 1.0, None})
            for grade, scale in zip(grades, scales, strict=True):
                if grade.value not in scale or (grade.state == "scored") != (grade.value is not None):
                    raise Lost(f"{grade} of the reply {json.dumps(reply)}")
    return Seen(f"{count} replies", count)
