"""Writing the lock file: by several users at once, from a mirror, and what counts as locked."""

import os
import subprocess
import sys

import pytest

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lock import LockedFile, LockedRepository, lock_text, read_lock
from rsft_assets.specs.repositories import Repository
from rsft_assets.steps.records.lock_file import lock, unlocked

PIN = "0123456789abcdef0123456789abcdef01234567"
WRITER = """
import sys
from pathlib import Path
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.repositories import Repository
from rsft_assets.steps.records.lock_file import lock

print("ready", flush=True)
sys.stdin.readline()
assert not lock([Repository("dataset", n, [Hub(repo=n, kind="dataset")]) for n in sys.argv[1:]], lambda _: None)
"""


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("RSFT_LOCK", str(tmp_path / "rsft.lock"))
    return tmp_path / "mirror"


def mirrored(mirror, name):
    (mirror / name).mkdir(parents=True)
    (mirror / name / "a.jsonl").write_text("{}\n")
    return Repository("dataset", name, [Hub(repo=name, kind="dataset")])


@pytest.mark.slow
def test_users_with_homes_of_their_own_lose_no_entry(mirror, tmp_path):
    names = [f"{owner}/{number}" for owner in "abc" for number in range(40)]
    for name in names:
        mirrored(mirror, name)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, *(name for name in names if name.startswith(owner))],
            env={**os.environ, "RSFT_HOME": str(tmp_path / owner)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for owner in "abc"
    ]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 3
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0, 0]
    assert [name for _, name in read_lock(tmp_path / "rsft.lock")] == sorted(names)
    assert [path.name for path in tmp_path.iterdir() if "lock" in path.name] == ["rsft.lock"]


def test_a_file_without_a_hash_is_not_locked(mirror, tmp_path):
    one = Repository("dataset", "a/b", [Hub(repo="a/b", kind="dataset", revision=PIN)])
    for hashes, left in (({"git": "0" * 40}, []), ({}, [one])):
        files = (LockedFile(name="kept", size=1, sha256="1" * 64), LockedFile(name="a.jsonl", size=3, **hashes))
        entry = LockedRepository(kind="dataset", name="a/b", revision=PIN, files=files)
        (tmp_path / "rsft.lock").write_text(lock_text([entry]))
        mirror.mkdir(exist_ok=True)
        assert unlocked([one]) == left


def test_a_mirror_does_not_open_what_the_hub_called_gated(mirror, tmp_path):
    one = mirrored(mirror, "a/b")
    entry = LockedRepository(kind="dataset", name="a/b", revision=PIN, gated=True, licence="mit")
    (tmp_path / "rsft.lock").write_text(lock_text([entry]))
    assert not lock([one], lambda _: None, upgrade=["a/b"])
    (locked,) = read_lock(tmp_path / "rsft.lock").values()
    assert locked.revision.startswith("content-") and (locked.gated, locked.licence) == (True, "mit")
