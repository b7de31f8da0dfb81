"""`rsft dev`: its address is printed, and what Dagster warns its own callers of is not."""

import os
import subprocess
import sys

import pytest

from rsft_assets.commands import webserver
from rsft_assets.defs import launchers
from rsft_assets.specs.errors import StepError

CALL = """
from dagster._cli.dev import dev_command
try:
    dev_command.callback()
except TypeError:
    print("called")
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The commands that this process was to become."""
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    monkeypatch.setattr(webserver, "Child", lambda *_, **__: None)
    commands = []

    def become(program, command, environment):
        commands.append(command)
        raise SystemExit

    monkeypatch.setattr(os, "execve", become)
    return commands


def test_a_cluster_that_does_not_answer_is_named_and_the_ui_starts(started, monkeypatch, capsys):
    def refuse(placement):
        raise StepError("no Ray cluster answers")

    monkeypatch.setitem(launchers.LAUNCHERS, "ray", refuse)
    monkeypatch.setenv("RSFT_PLACEMENT_FIELDS", '{"launcher": "ray"}')
    with pytest.raises(SystemExit):
        webserver.run_webserver("127.0.0.1", 3999)
    assert started and capsys.readouterr().err == "no Ray cluster answers\n"


@pytest.mark.slow
def test_the_address_is_the_first_line_and_no_foreign_warning_follows(started, capsys):
    with pytest.raises(SystemExit):
        webserver.run_webserver("127.0.0.1", 3999)
    assert capsys.readouterr().out.splitlines()[0] == "Dagster's UI: http://127.0.0.1:3999"
    ((python, *options),) = started
    options = options[: options.index("dagster") - 1]
    warned = subprocess.run([sys.executable, "-c", CALL], capture_output=True, text=True)
    assert "superseded" in warned.stderr and warned.stdout == "called\n"
    quiet = subprocess.run([python, *options, "-c", CALL], capture_output=True, text=True)
    assert (quiet.stderr, quiet.stdout) == ("", "called\n")
