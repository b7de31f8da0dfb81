"""`rsft dev`: its address is printed, and what Dagster warns its own callers of is not."""

import os
import subprocess
import sys

import pytest

from rsft_assets.commands import webserver

CALL = """
from dagster._cli.dev import dev_command
try:
    dev_command.callback()
except TypeError:
    print("called")
"""


@pytest.mark.slow
def test_the_address_is_the_first_line_and_no_foreign_warning_follows(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    monkeypatch.setattr(webserver, "Child", lambda *_, **__: None)
    started = []

    def become(program, command, environment):
        started.append(command)
        raise SystemExit

    monkeypatch.setattr(os, "execve", become)
    with pytest.raises(SystemExit):
        webserver.run_webserver("127.0.0.1", 3999)
    assert capsys.readouterr().out.splitlines()[0] == "Dagster's UI: http://127.0.0.1:3999"
    ((python, *options),) = started
    options = options[: options.index("dagster") - 1]
    warned = subprocess.run([sys.executable, "-c", CALL], capture_output=True, text=True)
    assert "superseded" in warned.stderr and warned.stdout == "called\n"
    quiet = subprocess.run([python, *options, "-c", CALL], capture_output=True, text=True)
    assert (quiet.stderr, quiet.stdout) == ("", "called\n")
