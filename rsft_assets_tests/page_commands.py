"""Commands in the shell blocks of README and the pages behind it, what is shown after them, how each is tested.

    for block in blocks(page): block.commands, block.shown

`uncovered(name, text)` lists the commands that no test runs. `test_howto.py` types each command of the pages in
`FOLLOWED`; on other pages, and where GPUs are needed, it parses each `rsft` command and resolves its selection.
"""

import fnmatch
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import rsft_assets
from rsft_assets.commands.cli import rsft
from rsft_assets.specs.lineage import asset_keys, partitions_of
from rsft_assets.specs.study import Study, _load
from rsft_assets.steps.questions.planning.selection import Selection, cells, select

DOCS = Path(rsft_assets.__file__).parent / "docs"
ROOT = DOCS.parent.parent
README = ROOT / "README.md"
LANGUAGES = {"sh", "text", "toml", "yaml", "sql", "python", "mermaid"}
FOLLOWED = ("howto_paper.md", "howto_one_gpu.md", "own_study.md")
ON_GPUS = ("rsft materialize 'scores/qwen3-14b/*'*", "rsft materialize 'scores/qwen*'*")
"""Models of 14B have no stand-in: parsed, resolved, and planned by the command before them on the page."""
ELSEWHERE = {
    "python3 -m venv .venv && .venv/bin/pip install *": ".ci/run",
    "python3 -m venv .venv && . .venv/bin/activate && pip install -e *": "rsft_assets_tests/test_packaging.py",
    "pip install -e '.[[]ray]'": "rsft_assets_tests/test_packaging.py",
    "pip install -e '.[[]postgres]'": "rsft_assets_tests/test_packaging.py",
    "export DAGSTER_POSTGRES_URL=*": "rsft_assets_tests/runs/test_postgres.py",
    "ray start *": "rsft_assets_tests/defs/on_ray/test_cluster.py",
    "sbatch *": "rsft_assets_tests/test_deploy.py",
    "dagster asset materialize *": "rsft_assets_tests/commands/test_owner_command.py",
    "export DAGSTER_MODULE_NAME=*": "rsft_assets_tests/commands/test_owner_command.py",
    "cat > paper.toml <<'END'*": "rsft_assets_tests/commands/test_paper_command.py",
    "export RSFT_STUDY=$PWD/paper.toml": "rsft_assets_tests/commands/test_paper_command.py",
}
"""Commands -> the test that runs them, where none of this module does."""
NOT_RUN = {
    "docker *": "rsft_assets_tests/test_deploy.py",
    "head=$(kubectl *": "rsft_assets_tests/test_deploy.py",
    "kubectl *": "rsft_assets_tests/test_deploy.py",
}
"""Commands that need a container engine or a cluster -> the test that reads them and the files they name."""
SETTINGS = ("cat > placement.toml <<'END'*", "export RSFT_*")
"""Of a page that is not followed: the placement is read by `test_deploy.py`."""


@dataclass(frozen=True)
class Block:
    """A shell block: its commands as typed, and the lines of the `text` block that follows it."""

    commands: tuple[str, ...]
    shown: tuple[str, ...]


def blocks(text: str) -> list[Block]:
    """The shell blocks of a page."""
    languages = re.findall(r"^```([^\n]*)\n.*?^```\n", text, re.DOTALL | re.MULTILINE)
    assert set(languages) <= LANGUAGES, f"commands stand in blocks of `sh`, not of {set(languages) - LANGUAGES}"
    found = re.findall(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", text, re.DOTALL | re.MULTILINE)
    return [Block(tuple(_commands(code)), tuple(shown.splitlines())) for code, shown in found]


def _commands(code: str) -> list[str]:
    """Lines, those of one command joined; a here-document belongs to its command."""
    found: list[str] = []
    ends, goes_on = "", False
    for line in code.splitlines():
        if ends or goes_on:
            found[-1] += f"\n{line}"
        elif line.strip() and not line.startswith("#"):
            found.append(line)
        if ends:
            ends = "" if line == ends else ends
        elif here := re.search(r"<<'(\w+)'", line):
            ends = here[1]
        goes_on = not ends and line.endswith("\\")
    return found


def written(command: str) -> tuple[str, str]:
    """(file, text) of a here-document; ("", "") of another command."""
    found = re.search(r"cat > (\S+) <<'(\w+)'\n(.*)\n\2$", command, re.DOTALL)
    return (found[1], found[3] + "\n") if found else ("", "")


def is_rsft(command: str) -> bool:
    return bool(re.match(r"(\w+=\S* )?rsft ", command))


def matching(command: str, patterns: Iterable[str]) -> list[str]:
    """The patterns that a command matches."""
    return [pattern for pattern in patterns if fnmatch.fnmatchcase(command, pattern)]


def uncovered(name: str, text: str) -> list[str]:
    """Commands of a page that no test runs."""
    commands = [command for block in blocks(text) for command in block.commands]
    known = {**ELSEWHERE, **NOT_RUN} | dict.fromkeys(SETTINGS if name == "deploy.md" else ())
    return [one for one in commands if not (name in FOLLOWED or is_rsft(one) or matching(one, known))]


def study_of(text: str, folder: Path) -> Study:
    """The study of a page: that of the first study file it writes and sets, or the package's own."""
    files = dict(written(command) for block in blocks(text) for command in block.commands)
    named = re.search(r"RSFT_STUDY=\$PWD/(\S+)", text)
    if named is None or named[1] not in files:
        return _load.__wrapped__(None)
    (folder / named[1]).write_text(files[named[1]])
    return _load.__wrapped__(str(folder / named[1]))


def resolve(command: str, study: Study) -> int:
    """How many cells an `rsft` command means, once the command's own parser has read it; else its error."""
    name, *words = shlex.split(command.partition("rsft ")[2].replace("\\\n", " "), comments=True)
    asked = rsft.commands[name].make_context(name, words).params
    if name == "trace":
        assert asked["what"] in asset_keys(study), command
        assert asked["partition"] in ("", *partitions_of(study, asked["what"])), command
        return 1
    fields = {"globs": (), **{key: asked[key] for key in ("globs", "runs", "steps", "partitions") if key in asked}}
    if not fields["globs"]:
        return 1
    if not any(fields.get(key) for key in ("runs", "steps", "partitions")):
        return len(select(study, fields["globs"]))
    return len(cells(study, Selection(**fields)))


def pattern_of(line: str) -> str:
    """A line that a page shows, as an expression: `…` stands for anything, and numbers may be others."""
    parts = re.split(r"(…|\d[\d,.]*)", line)
    wild = {"…": ".*"}
    return "".join(wild.get(part, r"\d[\d,.]*" if part[:1].isdigit() else re.escape(part)) for part in parts)
