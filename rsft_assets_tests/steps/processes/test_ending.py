"""A process that ends without taking its libraries apart loses nothing of what it still had to do."""

import subprocess
import sys

import pytest

BODY = """
import atexit, ctypes, sys, threading, time
from rsft_assets.steps.processes.ending import end_now, leave
class Late:
    def __del__(self): print("taken apart")
late = Late()
threading.Thread(target=lambda: (time.sleep(0.2), print("a thread"))).start()
atexit.register(print, "registered")
ctypes.CDLL(None).printf(b"from C\\n")
"""


@pytest.mark.parametrize(("end", "status"), [("leave(3)", 3), ("atexit._clear(); atexit.register(end_now, 0)", 0)])
def test_streams_are_written_out_and_nothing_is_taken_apart(end, status):
    ended = subprocess.run([sys.executable, "-c", BODY + end], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (status, "")
    said = {"a thread", "from C"} | ({"registered"} if status else set())
    assert set(ended.stdout.split("\n")) == said | {""}


def test_a_closed_stream_does_not_matter():
    closed = "import os, sys; os.close(1); sys.stdout = None;" + BODY.replace("print(", "str(") + "leave(3)"
    ended = subprocess.run([sys.executable, "-c", closed], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (3, "")
