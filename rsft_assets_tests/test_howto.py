"""Every command of README and of the pages behind it is run by a test, and prints what its page shows.

`rsft plan` runs as printed on the real study, which needs neither GPU nor network. The how-to pages are followed
command by command in an empty folder, on the stand-ins of `paper_hub`: small repositories under the real names, and a
CPU in place of GPUs. What needs 14B models is parsed by the real command, and its selection resolved.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.judges import judge_specs
from rsft_assets_tests.page_commands import (
    DOCS,
    ELSEWHERE,
    FOLLOWED,
    NOT_RUN,
    ON_GPUS,
    README,
    ROOT,
    blocks,
    is_rsft,
    matching,
    pattern_of,
    resolve,
    study_of,
    uncovered,
    written,
)
from rsft_assets_tests.paper_hub import BASE, paper_hub, small

PAGES = {page.name: page.read_text() for page in (README, *sorted(DOCS.glob("*.md"))) if page.exists()}
HOW_TO = (*FOLLOWED, "results.md")
CPU = '[default]\ndevice = "cpu"\nengine = "transformers"\n'
INSTALL = "python3 -m venv *"
NEXT = "@@ next command"
pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is only in a checkout")


def commands(text):
    return [command for block in blocks(text) for command in block.commands]


def test_every_command_is_run_by_a_test():
    assert {name: uncovered(name, text) for name, text in PAGES.items() if uncovered(name, text)} == {}
    all_commands = [command for text in PAGES.values() for command in commands(text)]
    assert len(all_commands) > 60
    for pattern in (*ELSEWHERE, *NOT_RUN, *ON_GPUS):
        assert any(matching(command, [pattern]) for command in all_commands), f"no page has {pattern}"
    assert [test for test in (*ELSEWHERE.values(), *NOT_RUN.values()) if not (ROOT / test).exists()] == []


@pytest.mark.parametrize(
    ("name", "code", "left"),
    [
        ("README.md", "make cake", ["make cake"]),
        ("results.md", "rsft status\ncp a b  # a copy", ["cp a b  # a copy"]),
        ("howto_paper.md", "make cake", []),
    ],
)
def test_a_command_that_nothing_runs_is_found(name, code, left):
    assert uncovered(name, f"Text.\n\n```sh\n{code}\n```\n") == left


@pytest.mark.parametrize("language", ["bash", "console", ""])
def test_commands_in_another_kind_of_block_are_found(language):
    with pytest.raises(AssertionError, match="blocks of `sh`"):
        blocks(f"```sh\nrsft status\n```\n\n```{language}\n$ make cake\n```\n")


@pytest.mark.parametrize("name", PAGES)
def test_commands_can_be_parsed_and_select_something(name, tmp_path):
    study = study_of(PAGES[name], tmp_path)
    for command in filter(is_rsft, commands(PAGES[name])):
        assert resolve(command, study) > 0, command


@pytest.mark.parametrize(
    "command",
    [
        "rsft materialise 'scores/*'",
        "rsft plan 'scores/qwen3-14b/*' --upsteam",
        "rsft plan scores/qwen3-14b/math501",
        "rsft plan scores/qwen3-14b/math500 --run 5e-5_9x256_math-cot-20k",
        "rsft plan scores/qwen3-14b/math500 --step 30",
        "rsft trace scores/qwen3-14b/math500 'nothing|640'",
    ],
)
def test_a_mistyped_command_is_found(command, tmp_path):
    with pytest.raises((SpecError, click.UsageError, KeyError, AssertionError)):
        resolve(command, study_of("", tmp_path))


@pytest.mark.parametrize("name", HOW_TO)
def test_a_how_to_page_is_short_and_has_its_parts(name):
    lines = PAGES[name].splitlines()
    assert 60 <= len(lines) <= 120
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## What you need"
    assert {"## When it stops", "## Where to look"} <= set(headings)


def run(folder, script, environment):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RSFT_", "HF_"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**kept, **environment, "PATH": path, "COLUMNS": "200"}
    done = subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOWED)
def test_plans_print_what_the_page_shows(name, tmp_path):
    """Of the real study, so that no number of a page is made up."""
    settings, sums = [], []
    for block in blocks(PAGES[name]):
        settings += [one for one in block.commands if one.startswith("export ") or written(one)[0]]
        plans = [one for one in block.commands if " plan " in one and "--last" not in one]
        shown = [line for line in block.shown if line.startswith("total:")]
        if shown:
            status, said, problems = run(tmp_path, "\n".join([*settings, *plans]), {"HF_HUB_OFFLINE": "1"})
            assert status == 0, problems
            assert [line for line in said.splitlines() if line.startswith("total:")] == shown
            sums += shown
    assert sums
    for hours, disk in re.findall(r"^\|.*\| ([\d,.]+) \| ([\d.]+ [GT]B) \|$", PAGES[name], re.MULTILINE):
        assert any(f", {hours} GPU-h, " in line and f", {disk} disk" in line for line in sums), (hours, disk)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with paper_hub(tmp_path_factory.mktemp("hub")) as hub:
        base = hub.repositories[("model", BASE)]
        hub.commit("model", "Qwen/Qwen3-0.6B-Base", base.commits[base.head])
        yield hub


def stand_in(hub, name):
    """What is put into a file that the page writes, for this machine."""
    if name == "placement.toml":
        return f"cat > {name} <<'END'\n{CPU}END"
    if name.endswith("study.toml"):
        return f"cat >> {name} <<'END'\n{small(hub)}[override.models.my-model]\nparameters = {hub.parameters}\nEND"
    return f"cat >> {name} <<'END'\n{small(hub)}END"


def follow(hub, folder, page):
    """Type the commands of a page one after the other; (command, what it said) of each."""
    script, typed = ["exec 2>&1"], []
    for command in commands(page):
        if matching(command, (INSTALL, *ON_GPUS)):
            continue
        typed.append(command)
        script += [f"echo '{NEXT}'", command]
        name = written(command)[0]
        if name.endswith(".toml"):
            script.append(stand_in(hub, name))
    status, said, _ = run(folder, "\n".join(script), hub.environment(folder / "cache"))
    outputs = said.split(f"{NEXT}\n")[1:]
    assert status == 0, f"{typed[len(outputs) - 1]}\n{outputs[-1]}"
    return dict(zip(typed, outputs, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOWED)
def test_a_page_is_followed_as_printed(name, hub, tmp_path):
    said = follow(hub, tmp_path, PAGES[name])
    checked = 0
    for block in blocks(PAGES[name]):
        outputs = "\n".join(said.get(command, "") for command in block.commands)
        for line in block.shown if outputs else ():
            if not line.startswith("total:"):
                assert re.search(f"^{pattern_of(line)}$", outputs, re.MULTILINE), f"{line!r} is not in:\n{outputs}"
                checked += 1
    assert checked >= 5
    assert list((tmp_path / ".rsft" / "report").glob("*/paper.html"))


def test_the_judges_file_is_valid(tmp_path, monkeypatch):
    (block,) = re.findall(r"```toml\n(\[harm\].*?)```", PAGES["howto_paper.md"], re.DOTALL)
    (tmp_path / "judges.toml").write_text(block)
    monkeypatch.setenv("RSFT_JUDGES", str(tmp_path / "judges.toml"))
    assert judge_specs()["harm"].key == "OPENAI_API_KEY"


def test_every_page_is_reached_from_the_readme():
    index = PAGES["README.md"].partition("## Documentation")[2]
    assert [name for name in PAGES if name != "README.md" and f"docs/{name}" not in index] == []
