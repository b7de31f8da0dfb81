"""Publishing the database: readers never in the way, snapshots side by side, kills and newer versions survived."""

import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

import rsft_assets
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import ACCOUNT, BUILD_VERSION, database_path, open_results, read_results
from rsft_assets_tests.finished_study import make

RUN = "tiny-1m_tiny-cot_lr1e-3_ep4_bs16"


@pytest.mark.slow
def test_readers_and_publishing_do_not_meet(study, copied):
    errors, seen, stop = [], [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                with open_results(copied) as db:
                    seen.append(db.execute("SELECT count(*) FROM marts.benchmark_scores").fetchall()[0][0])
            except Exception as error:
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(3):
        build_results(study, copied)
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert len(seen) > 4 and len(set(seen)) == 1


def test_the_database_is_read_only_and_a_stale_wal_is_moved_aside(study, copied):
    place = database_path(copied)
    assert place.stat().st_mode & 0o777 == 0o444
    wal = place.with_name(place.name + ".wal")
    wal.write_bytes(b"left by a killed process")
    build_results(study, copied)
    assert not wal.exists()
    assert list(copied.home.glob(".results.duckdb.wal.stale-*"))
    with open_results(copied) as db:
        assert db.execute("SELECT count(*) FROM marts.coverage").fetchall()[0][0] > 0


@pytest.mark.slow
def test_a_database_that_cannot_be_read_is_built_anew(study, copied):
    place = database_path(copied)
    place.chmod(0o644)
    place.write_bytes(b"not a database")
    with pytest.raises(StepError, match=r"cannot be opened .* build it again"), open_results(copied):
        pass
    results = build_results(study, copied)
    assert results.failures == ()
    assert {table.state for table in results.tables} == {"built"}


@pytest.mark.slow
def test_a_killed_build_leaves_the_published_database_as_it_was(study, copied):
    before = database_path(copied).read_bytes()
    code = (
        "import sys, os\n"
        "from rsft_assets.steps.results import build as b\n"
        "from rsft_assets.steps.results import publishing\n"
        "from rsft_assets.steps.records.store import Store\n"
        "from rsft_assets_tests.finished_study import tiny_study\n"
        "publishing.publish = lambda *a: os._exit(9)\n"
        "b.build_results(tiny_study(), Store(__import__('pathlib').Path(sys.argv[1])), force=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(copied.home)], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert database_path(copied).read_bytes() == before
    assert build_results(study, copied).failures == ()
    assert not (copied.home / ".results.building.duckdb").exists()


@pytest.mark.slow
def test_two_snapshots_can_be_compared_as_the_docs_say(finished, study, copied, monkeypatch, tmp_path):
    make(study, copied, Ref("benchmarks/tiny-dot"), force=True, version=2)
    make(study, copied, Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40"))
    build_results(study, copied)
    page = (Path(rsft_assets.__file__).parent / "docs" / "results.md").read_text()
    [command] = re.findall(r"```sql\n(ATTACH.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(database_path(finished), "before.duckdb")
    Path(".rsft").symlink_to(copied.home)
    *attach, query = [part for part in command.split(";") if part.strip()]
    with duckdb.connect() as db:
        for part in attach:
            db.execute(part)
        rows = db.execute(query).fetchall()
    assert {row[:3] for row in rows} == {(RUN, 40, "tiny-dot")}
    assert {row[3] for row in rows} == {"strict", "authors"}


def test_too_little_memory_is_answered_in_words_and_nothing_is_published(study, copied):
    before = database_path(copied).read_bytes()
    with pytest.raises(StepError, match="published database is as it was"):
        build_results(study, copied, force=True, memory="1MB")
    assert database_path(copied).read_bytes() == before


@pytest.mark.slow
def test_manifests_of_a_newer_version_are_named_and_not_read(study, copied):
    output = copied.require(Ref("scores/tiny-1m/tiny-dot", f"{RUN}|40"))
    manifest = json.loads((output.folder / "manifest.json").read_text())
    (output.folder / "manifest.json").write_text(json.dumps({**manifest, "schema": manifest["schema"] + 1}))
    build_results(study, copied)
    with open_results(copied) as db:
        words = db.execute("SELECT problem FROM marts.problems").fetchall()
    assert len(words) == 1 and "newer version" in words[0][0]


@pytest.mark.parametrize("reader", [open_results, read_results])
def test_results_of_a_newer_version_are_refused_in_words(study, copied, reader):
    written_by_a_newer_version(copied)
    with pytest.raises(StepError, match=r"results\.\w+ was written by a newer version of rsft_assets; update"):
        entered = reader(copied)
        entered.__enter__()


@pytest.mark.slow
def test_results_of_a_newer_version_are_built_again_from_the_files(study, copied, caplog):
    written_by_a_newer_version(copied)
    results = build_results(study, copied)
    assert {table.state for table in results.tables} == {"built"}
    assert "written by a newer version" in caplog.text
    assert read_results(copied).build_id == results.build_id


def written_by_a_newer_version(store):
    place = database_path(store)
    place.chmod(0o644)
    with duckdb.connect(str(place)) as db:
        db.execute("UPDATE build.facts SET value = ? WHERE key = 'version'", [f"{BUILD_VERSION + 1} 9.9.9 abc"])
    account = json.loads((store.home / ACCOUNT).read_text())
    account |= {"version": BUILD_VERSION + 1, "unheard_of": 1}
    (store.home / ACCOUNT).write_text(json.dumps(account))
