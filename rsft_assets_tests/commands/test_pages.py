"""The page server: what it shows of a home, what it keeps to itself, and that its address survives a restart."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from PIL import Image

from rsft_assets.commands import pages
from rsft_assets.commands.pages import public_file
from rsft_assets.defs.pages import CURVES, PREVIEW, TRACES, address_file, base_url, page_url
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.identity import Identity
from rsft_assets.steps.records.manifest import InputRecord
from rsft_assets.steps.records.store import Store

_FILE = io.BytesIO()
Image.new("RGB", (2_000, 1_000)).save(_FILE, "PNG")
PICTURE = _FILE.getvalue()
HIDDEN = (
    "/queries/secret/queries.json",
    "/results.duckdb",
    "/figures/../queries/secret/queries.json",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/figures",
)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "a home")
    for ref, files in (
        (
            Ref("figures/overview"),
            {
                "nano.png": PICTURE,
                "nano.small.png": PICTURE,
                "nano.svg": b"<svg/>",
                "nano.csv": b"step,value\n",
                "receipt.json": b"{}",
            },
        ),
        (Ref("report"), {"nano.html": b"<h1>Report</h1>", "receipt.json": b"{}"}),
    ):
        identity = Identity(ref, {}, (InputRecord("results", "", "digest", "results.duckdb"),))
        with store.building(ref, lambda identity=identity: identity) as build:
            for name, content in files.items():
                (build.folder / name).write_bytes(content)
            build.publish({})
    (store.home / "queries" / "secret").mkdir(parents=True)
    (store.home / "queries" / "secret" / "queries.json").write_text("{}")
    return store


class Served:
    """A server process on a home."""

    def __init__(self, store):
        command = [sys.executable, "-m", "rsft_assets.commands.pages", "--port", "0"]
        environment = {**os.environ, "RSFT_HOME": str(store.home)}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def get(self, path, **headers):
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_figures_and_reports_are_shown_and_nothing_else(store):
    figure, report = store.current(Ref("figures/overview")), store.current(Ref("report"))
    with Served(store) as served:
        path = page_url(figure, "nano.png").removeprefix(served.url)
        status, body, headers = served.get(path)
        assert (status, body, headers["Content-Type"]) == (200, PICTURE, "image/png")
        small = Image.open(io.BytesIO(served.get(f"{path}?{PREVIEW}")[1]))
        assert small.size == (460, 230)
        assert served.get(page_url(report, "nano.html").removeprefix(served.url))[1] == b"<h1>Report</h1>"
        status, body, _ = served.get("/")
        assert status == 200 and f'<img src="{path}"'.encode() in body
        assert path.replace("nano", "nano.small").encode() + b'">nano study, small</a></p>' in body
        assert body.count(b"<img") == 1
        assert {hidden: served.get(hidden)[0] for hidden in HIDDEN} == dict.fromkeys(HIDDEN, 404)
        for host in ("evil.example", "127.0.0.1.evil.example", ""):
            assert served.get(path, Host=host)[0] == 403
        assert served.get(path, Host="localhost:3001")[0] == 200


def test_a_curve_is_drawn_when_it_is_asked_for(store):
    run = "nano-300k_nano-cot_lr3e-5_ep8_bs8"
    with Served(store) as served:
        path = f"/{CURVES}/scores/nano-300k/nano-dot/{run}/40.svg"
        status, body, headers = served.get(path)
        assert (status, headers["Content-Type"]) == (200, "image/svg+xml")
        assert b"Nano dot product" in body and b"no score yet" in body
        for wrong in (f"/{CURVES}/", path.replace("40.", "41."), f"/{CURVES}/checkpoints/nano-300k/{run}/40.svg"):
            assert served.get(wrong)[0] == 404
        assert served.get(path, Host="evil.example")[0] == 403


def test_a_trace_says_what_is_missing(store):
    with Served(store) as served:
        path = f"/{TRACES}/scores/nano-300k/nano-dot/nano-300k_nano-cot_lr3e-5_ep8_bs8/40.txt"
        status, body, headers = served.get(path)
        assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert b"not made yet" in body and b"rsft materialize" in body
        assert served.get(f"/{TRACES}/../queries/nano-math/a/1.txt")[0] == 404
        assert served.get(path, Host="evil.example")[0] == 403


def test_what_leads_out_of_the_shown_folders_is_no_file(store, tmp_path):
    folder = store.current(Ref("figures/overview")).folder
    (tmp_path / "private.json").write_text(json.dumps({"token": "secret"}))
    (folder / "link.json").symlink_to(tmp_path / "private.json")
    (folder / ".hidden.json").write_text("{}")
    shown = folder.relative_to(store.home).as_posix()
    assert public_file(store.home, f"/{shown}/nano.csv") == folder / "nano.csv"
    for name in ("link.json", ".hidden.json", "gone.png", "nano.csv\0.png", "../../../queries/secret/queries.json"):
        assert public_file(store.home, f"/{shown}/{name}") is None


def test_what_cannot_be_read_is_not_there(store):
    folder = store.current(Ref("figures/overview")).folder
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "loop.png").symlink_to("loop.png")
    shown = folder.relative_to(store.home).as_posix()
    with Served(store) as served:
        for path in (f"/{shown}/broken.png?{PREVIEW}", f"/{shown}/loop.png", f"/{shown}/{'x' * 5_000}.png"):
            assert served.get(path)[0] == 404
        assert served.get("/", Host="[")[0] == 404


def test_an_address_that_is_none_is_replaced(store):
    address_file(store.home).parent.mkdir()
    address_file(store.home).write_text("http://127.0.0.1:none")
    with Served(store) as served:
        assert base_url(store.home) == served.url and served.get("/")[0] == 200


def test_links_survive_a_restart_and_a_port_that_is_taken(store):
    with Served(store) as first:
        assert base_url(store.home) == first.url
        # A second server of the same home finds the port taken; links lead to the one that started last.
        with Served(store) as second:
            assert second.url != first.url
            assert base_url(store.home) == second.url
    with Served(store) as again:
        assert again.url == second.url


def test_links_that_were_written_before_the_first_start_are_served(store, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setattr("rsft_assets.defs.pages.DEFAULT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    tried = []
    monkeypatch.setattr(pages, "_listening", lambda host, ports, handler: tried.extend(ports) or sys.exit())
    with pytest.raises(SystemExit):
        pages.serve(store.home, "127.0.0.1", 4001)
    assert tried == [urlsplit(base_url(store.home)).port, 4001, 0]


def test_it_ends_with_the_process_that_started_it(store):
    """`rsft dev` starts it and then becomes `dagster dev`."""
    program = (
        "import os, sys\nfrom rsft_assets.steps.processes.child import Child\n"
        "Child([sys.executable, '-m', 'rsft_assets.commands.pages', '--port', '0'])\n"
        "os.execv('/bin/sleep', ['sleep', '600'])"
    )
    environment = {**os.environ, "RSFT_HOME": str(store.home)}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.DEVNULL)
    assert within_a_minute(address_file(store.home).exists)
    host = base_url(store.home).removeprefix("http://")
    assert within_a_minute(lambda: listens(host))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert within_a_minute(lambda: not listens(host))


def within_a_minute(holds):
    until = time.monotonic() + 60
    while not (answer := holds()) and time.monotonic() < until:
        time.sleep(0.05)
    return answer


def listens(host):
    try:
        http.client.HTTPConnection(host).connect()
    except ConnectionRefusedError:
        return False
    return True
