"""A step that is told to stop finishes what it began, and its exit status says so, whatever a library made of it."""

import signal
import subprocess
import sys
import textwrap

import pytest

from rsft_assets.steps.processes.program import TRY_AGAIN

CLEANS_UP = """
    try:
        print("at work", flush=True)
        time.sleep(600)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("saved", flush=True)
"""
LOSES_IT = """
    try:
        print("at work", flush=True)
        time.sleep(600)
    except BaseException:
        raise RuntimeError("Query interrupted") from None
"""
FAILS_BY_ITSELF = """
    print("at work", flush=True)
    raise StepError("no such row")
"""


def test_requests_do_not_fill_the_log():
    body = "import logging; from rsft_assets.steps.processes.program import log_to_stderr; log_to_stderr()"
    body += "; logging.getLogger('httpx').info('GET a page'); logging.getLogger('step').info('at work')"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    assert done.stderr.endswith("INFO at work\n") and "GET a page" not in done.stderr


@pytest.mark.parametrize(
    ("body", "stop", "status", "words"),
    [
        (CLEANS_UP, True, TRY_AGAIN, "saved"),
        (CLEANS_UP, True, TRY_AGAIN, "stopped by SIGTERM; finished work is kept"),
        (LOSES_IT, True, TRY_AGAIN, "stopped by SIGTERM; finished work is kept"),
        (FAILS_BY_ITSELF, False, 1, "no such row"),
    ],
)
def test_the_exit_status_says_how_a_step_ended(body, stop, status, words):
    program = f"""
import argparse, os, signal, time
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes.program import run_step

def main(arguments):
{textwrap.indent(textwrap.dedent(body), "    ")}
run_step(main, argparse.ArgumentParser())
"""
    step = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert step.stdout.readline() == "at work\n"
    if stop:
        step.send_signal(signal.SIGTERM)
    said, logged = step.communicate(timeout=60)
    assert step.returncode == status, logged
    assert words in said + logged
