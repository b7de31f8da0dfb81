"""Addresses of figures, reports, curves and traces on the page server of `rsft dev`, as metadata link to them.

Dagster's UI shows pictures from http addresses only. The server notes its address in the home, so that links written
by any process lead to it, also after a restart.
"""

from pathlib import Path
from urllib.parse import quote

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.records.store import Output

PREVIEW = "preview"
"""The query of a picture's address that asks for a small one."""
CURVES = "curves"
"""First part of the address of a score's curve, which is drawn when it is asked for."""
TRACES = "traces"
"""First part of the address of what `rsft trace` says of a score."""
DEFAULT_URL = "http://127.0.0.1:3001"


def address_file(home: Path) -> Path:
    """Where the server notes its address."""
    return home / "dagster" / "pages_url"


def base_url(home: Path) -> str:
    """The address of the server that runs, ran last, or would be started first."""
    try:
        return address_file(home).read_text(encoding="utf-8").strip() or DEFAULT_URL
    except OSError:
        return DEFAULT_URL


def home_of(output: Output) -> Path:
    """The home that an output lies in."""
    ref = output.manifest.ref
    return output.folder.parents[len([*ref.asset.split("/"), *filter(None, ref.partition.split("|"))])]


def page_url(output: Output, file: str) -> str:
    """The address of one file of an output; it stays valid when a newer output is made."""
    home = home_of(output)
    return f"{base_url(home)}/{quote((output.folder / file).relative_to(home).as_posix())}"


def curve_url(home: Path, ref: Ref) -> str:
    """The address of the curve of a score's run, with its step marked."""
    return f"{base_url(home)}/{CURVES}/{quote(ref.asset)}/{quote(ref.run)}/{ref.step}.svg"


def trace_url(home: Path, ref: Ref) -> str:
    """The address of the trace of a score: what it was made from, down to the training rows."""
    return f"{base_url(home)}/{TRACES}/{quote(ref.asset)}/{quote(ref.run)}/{ref.step}.txt"


def embedded(url: str, text: str) -> str:
    """Markdown: a picture small enough for the UI's table of metadata, with a link to the whole; both are served."""
    return (
        f"[![{text}: shown while `rsft dev` runs]({url}?{PREVIEW})]({url})\n\n[full size]({url}), served by `rsft dev`"
    )
