"""A Postgres server on loopback, from the programs that Debian's package `postgresql` installs.

    with PostgresRig() as server:
        use(server.url); server.stop(); server.start()

It refuses to run as root: then all of it belongs to `nobody`, in a folder of its own under /tmp.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import yaml

import rsft_assets

PAGE = Path(rsft_assets.__file__).parent / "docs" / "sharing.md"
PASSWORD = "s3cret-words"
SETTING = "DAGSTER_POSTGRES_URL"
_START_SECONDS = 60.0
_WITH_US = ("setpriv", "--pdeathsig", "QUIT")
"""It ends with the test, even with a killed one."""
_FAST = ("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "log_min_messages=fatal")


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).resolve().parent if named else None


needs_postgres = pytest.mark.skipif(
    programs() is None or importlib.util.find_spec("dagster_postgres") is None,
    reason="needs a server and its client: apt-get install postgresql; pip install -e '.[postgres]'",
)


def settings_of_the_page() -> str:
    """What the page says to add to `dagster.yaml`."""
    block = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert "storage" in yaml.safe_load(block)
    return block


class PostgresRig:
    """The server: a role `rsft` with a password, and a database for each `new_database`."""

    def __init__(self) -> None:
        self._programs = programs()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._user = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._databases = 0

    def __enter__(self) -> "PostgresRig":
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._user:
            for path in (self._folder, secret):
                shutil.chown(path, "nobody")
        words = ("--username=rsft", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync", "--no-locale")
        self._call("initdb", *words, "-E", "UTF8", "-D", str(self._folder / "data"))
        self.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        place = ("-D", str(self._folder / "data"), "-k", str(self._folder), "-h", "127.0.0.1", "-p", str(self.port))
        command = [*_WITH_US, self._programs / "postgres", *place, *_FAST]
        self._server = subprocess.Popen(command, cwd="/", **self._user)
        until = time.monotonic() + _START_SECONDS
        asked = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(asked, check=False).returncode != 0:
            assert self._server.poll() is None and time.monotonic() < until, "the server does not start"
            time.sleep(0.1)

    def stop(self) -> None:
        """At once, without a word to its clients."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait()

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"dagster_{self._databases}"
        secret = {**os.environ, "PGPASSWORD": PASSWORD}
        self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "rsft", name, env=secret)
        return f"postgresql+psycopg2://rsft:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def _call(self, program: str, *words: str, **others: object) -> None:
        command = [self._programs / program, *words]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **self._user, **others)
        assert done.returncode == 0, done.stderr
