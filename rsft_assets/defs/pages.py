"""Addresses of figures and reports on the page server of `rsft dev`, as metadata link to them.

Dagster's UI shows pictures from http addresses only. The server notes its address in the home, so that links written
by any process lead to it, also after a restart.
"""

from pathlib import Path
from urllib.parse import quote

from rsft_assets.steps.records.store import Output

PREVIEW = "preview"
"""The query of a picture's address that asks for a small one."""
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


def page_url(output: Output, file: str) -> str:
    """The address of one file of an output; it stays valid when a newer output is made."""
    home = output.folder.parents[len(output.manifest.asset.split("/"))]
    return f"{base_url(home)}/{quote((output.folder / file).relative_to(home).as_posix())}"
