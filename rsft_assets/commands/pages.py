"""The page server of `rsft dev`: figures, reports, curves and traces of the home, read-only, for Dagster and browsers.

    python -m rsft_assets.commands.pages --host 127.0.0.1 --port 3001

It serves pictures, numbers and pages of outputs below `figures/` and `report/`; below `curves/` the curve of a score's
run, drawn from the scores when it is asked for; below `traces/` what `rsft trace` says of a score. Nothing else.
"""

import argparse
import html
import http.server
import io
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

from rsft_assets.defs.pages import CURVES, PREVIEW, TRACES, address_file, base_url
from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref, parse_ref
from rsft_assets.specs.study import Study
from rsft_assets.steps.figures.catalogue import FIGURES, label_of
from rsft_assets.steps.processes.parent_death import PARENT_SETTING, end_with_parent
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.results.behind import behind

_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
_ROOTS = ("figures", "report")
_PREVIEW_WIDTH = 460
_LOOPBACK = ("127.0.0.1", "localhost")
_EVERY_ADDRESS = "0.0.0.0"
_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'"


class PageHandler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD for the files of one home."""

    server_version = "rsft"

    def __init__(self, *arguments: object, home: Path, host: str) -> None:
        self.home, self.host = home, host
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Send the index or one file."""
        try:
            # A page of another site must not read this server under a name of its own.
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
            if self.host in _LOOPBACK and name not in _LOOPBACK:
                self.send_error(403)
            elif (content := self._content()) is None:
                self.send_error(404)
            else:
                self._send(*content)
        except (OSError, ValueError, RuntimeError, SpecError, StepError):
            # A name too long, a loop of links, a picture that is none, a score that is not declared.
            self.send_error(404)

    do_HEAD = do_GET

    def _content(self) -> tuple[bytes, str] | None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        if path == "/":
            return index(Store(self.home)).encode(), _TYPES[".html"]
        if path.startswith(f"/{CURVES}/"):
            return curve(Store(self.home), path, small=parts.query == PREVIEW).encode(), _TYPES[".svg"]
        if path.startswith(f"/{TRACES}/"):
            return trace_text(Store(self.home), path).encode(), "text/plain; charset=utf-8"
        file = public_file(self.home, path)
        if file is None:
            return None
        if file.suffix == ".html":
            return marked(file.read_bytes(), Store(self.home)), _TYPES[".html"]
        small = parts.query == PREVIEW and file.suffix == ".png"
        return preview(file) if small else file.read_bytes(), _TYPES[file.suffix]

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are not logged."""


def public_file(home: Path, path: str) -> Path | None:
    """The file that a path names, where it may be shown."""
    if "\0" in path:
        return None
    file = (home / path.lstrip("/")).resolve()
    roots = [(home / root).resolve() for root in _ROOTS]
    shown = file.suffix in _TYPES and any(file.is_relative_to(root) for root in roots)
    hidden = any(part.startswith(".") for part in Path(path).parts)
    return file if shown and not hidden and file.is_file() else None


def curve(store: Store, path: str, *, small: bool) -> str:
    """The picture of `/curves/scores/MODEL/BENCHMARK/RUN/STEP.svg`, from the scores as they are now."""
    # Only curves and traces need the study and its tasks.
    from rsft_assets.specs.study import load_study
    from rsft_assets.steps.questions.score_curve import curve_picture

    study = load_study()
    return curve_picture(study, store, _score(study, path, CURVES), scale=1 if small else 2)


def trace_text(store: Store, path: str) -> str:
    """The trace of `/traces/scores/MODEL/BENCHMARK/RUN/STEP.txt`, in which no question or answer stands."""
    from rsft_assets.specs.study import load_study
    from rsft_assets.steps.questions.trace import trace
    from rsft_assets.steps.questions.tracing.node import as_tree

    study = load_study()
    ref = _score(study, path, TRACES)
    return as_tree(trace(study, store, ref.asset, ref.partition)) + "\n"


def _score(study: Study, path: str, first: str) -> Ref:
    """The score that an address names."""
    if not path.startswith(f"/{first}/scores/"):
        raise StepError(f"{path} names no score")
    asset, run, step = path.removeprefix(f"/{first}/").rpartition(".")[0].rsplit("/", 2)
    return parse_ref(study, asset, f"{run}|{step}")


def preview(picture: Path) -> bytes:
    """A picture at the width of the UI's column of metadata; it cannot scale one."""
    with Image.open(picture) as image:
        image.thumbnail((_PREVIEW_WIDTH, 4 * _PREVIEW_WIDTH), Image.Resampling.LANCZOS)
        small = io.BytesIO()
        image.save(small, "PNG")
    return small.getvalue()


def marked(page: bytes, store: Store) -> bytes:
    """A page of the report, with a line on top where the tables are behind now."""
    line = f"<p role='status'><strong>{html.escape(stale)}</strong></p>" if (stale := behind(store)) else ""
    start, heading, rest = page.partition(b"</h1>")
    return start + heading + line.encode() + rest


def index(store: Store) -> str:
    """A page with every current report and figure."""
    sections = []
    for key, title in [("report", "Report"), *((figure.key, figure.title) for figure in FIGURES)]:
        try:
            output = store.current(Ref(key))
        except StepError as error:
            sections.append(f"<h2>{html.escape(title)}</h2><p>{html.escape(str(error))}</p>")
            continue
        if output is None:
            continue
        folder = output.folder.relative_to(store.home).as_posix()
        files = [record.path for record in output.manifest.files if record.path.endswith((".html", ".png"))]
        links = "".join(
            f'<p><a href="/{folder}/{name}">{label_of(name)}</a></p>'
            + (f'<img src="/{folder}/{name}" width="900" alt="{label_of(name)}">' if _is_shown(name) else "")
            for name in map(html.escape, files)
        )
        sections.append(f"<h2>{html.escape(title)}</h2>{links}")
    stale = f"<p><strong>{html.escape(reason)}</strong></p>" if (reason := behind(store)) else ""
    body = stale + ("".join(sections) or "<p>Nothing here yet: rsft report</p>")
    return f"<!doctype html><meta charset=utf-8><title>rsft</title><body style='font-family:sans-serif'>{body}"


def _is_shown(name: str) -> bool:
    """Pages and the pictures of single models are linked only."""
    return name.endswith(".png") and name.count(".") == 1


def serve(home: Path, host: str, port: int) -> None:
    """Serve until the process ends; on the port that links in the UI have, on `port`, or on any, whichever is free."""
    handler = partial(PageHandler, home=home, host=host)
    server = _listening(host, [_port_of_links(home) or port, port, 0], handler)
    shown = "127.0.0.1" if host in _LOOPBACK else socket.getfqdn() if host == _EVERY_ADDRESS else host
    address = f"http://{shown}:{server.server_address[1]}"
    address_file(home).parent.mkdir(parents=True, exist_ok=True)
    address_file(home).write_text(address + "\n", encoding="utf-8")
    print(f"figures and reports: {address}", flush=True)
    server.serve_forever()


def _port_of_links(home: Path) -> int | None:
    try:
        return urlsplit(base_url(home)).port
    except ValueError:
        return None


def _listening(host: str, ports: list[int], handler: Callable[..., PageHandler]) -> http.server.ThreadingHTTPServer:
    problem: Exception | None = None
    for port in ports:
        try:
            return http.server.ThreadingHTTPServer((host, port), handler)
        except (OSError, OverflowError) as error:
            problem = error
    raise StepError(f"figures and reports cannot be served on {host}: {problem}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3001)
    arguments = parser.parse_args()
    if parent := os.environ.get(PARENT_SETTING):
        end_with_parent(int(parent))
    try:
        serve(Store.from_env().home, arguments.host, arguments.port)
    except StepError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
