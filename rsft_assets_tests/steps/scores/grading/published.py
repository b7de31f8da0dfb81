"""Real published data for tests, where it is there: RSFT_TEST_DATA names the folder."""

import gzip
import json
import os
from pathlib import Path

import pytest


def folder() -> Path:
    return Path(os.environ.get("RSFT_TEST_DATA") or Path(__file__).parents[5] / "shared" / "data")


def rows(name: str) -> list[dict]:
    """All rows of a JSON-lines file; skips the test where the data is absent."""
    path = folder() / name
    if not path.is_file():
        pytest.skip(f"{path} is not here; set RSFT_TEST_DATA to the folder of published data")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.splitlines() if line.strip()]
