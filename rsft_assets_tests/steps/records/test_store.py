"""The store: published whole or not at all, damage found by name, one maker at a time."""

import json
import os
import signal
import subprocess
import sys
import time
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records import checked
from rsft_assets.steps.records.identity import changed_fields
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.stand_ins import stand_in

QUERIES = Ref("queries/nano-math")
SHARD = Ref("responses/nano-math_procedural_n4", "0")
STUDY = load_study()


def publish(store, ref=QUERIES, values=(1, 2, 3), force=False):
    with store.build(STUDY, ref, force=force, seed=7) as build:
        if build.finished is None:
            pq.write_table(pa.table({"value": list(values)}), build.folder / f"{ref.stage}.parquet")
            build.publish(stats={"rows": len(values)})
    return build.output


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


def test_an_output_carries_its_record(store):
    output = publish(store)
    manifest = store.current(QUERIES).manifest
    assert manifest.stats == {"rows": 3}
    assert manifest.files[0].rows == 3
    assert manifest.made_by["seed"] == 7
    assert {"command", "versions", "host", "commit", "code"} <= manifest.made_by.keys()
    assert output.verified().digest == manifest.digest


def test_what_a_killed_step_would_go_on_from_is_not_kept(store):
    with store.build(STUDY, QUERIES) as build:
        (build.folder / ".journal.jsonl").write_text("{}")
        (build.folder / ".parts").mkdir()
        (build.folder / ".parts" / "1").write_text("x")
        stand_in(build.folder, QUERIES)
        build.publish()
    assert {path.name for path in build.finished.folder.iterdir()} == {"queries.parquet", "manifest.json"}
    assert build.finished.verified()


def test_a_build_that_published_nothing_has_no_output(store):
    with store.build(STUDY, QUERIES) as build:
        pass
    with pytest.raises(StepError, match="queries/nano-math: its step ended without publishing anything"):
        _ = build.output
    assert publish(store) == store.current(QUERIES)


def test_a_finished_output_is_kept_and_forced_anew(store):
    first = publish(store)
    assert publish(store, values=(9,)).folder == first.folder
    forced = publish(store, values=(9,), force=True)
    assert forced.folder != first.folder
    assert store.current(QUERIES).digest == forced.digest
    assert first.verified(), "what stands on the old output can still be traced"


def test_inputs_are_named_with_their_digests(store):
    source = publish(store)
    output = publish(store, SHARD)
    (record,) = output.manifest.inputs
    assert (record.asset, record.digest) == (QUERIES.asset, source.digest)


def test_a_changed_input_makes_a_new_output_beside_the_old(store, caplog):
    publish(store)
    old = publish(store, SHARD)
    publish(store, values=(4, 5), force=True)
    new = publish(store, SHARD)
    assert new.folder != old.folder
    assert "input queries/nano-math" in caplog.text
    assert changed_fields(old.manifest, store.identity(STUDY, SHARD)) == ["input queries/nano-math"]


def test_a_missing_input_is_answered_with_the_command(store):
    with pytest.raises(StepError, match="rsft materialize queries/nano-math"):
        publish(store, SHARD)


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "queries.parquet").unlink(), "queries.parquet is missing"),
        (lambda folder: os.truncate(folder / "queries.parquet", 10), "queries.parquet has 10 bytes"),
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text('{"schema": 1,'), "damaged manifest"),
        (lambda folder: (folder.parent / "current.json").write_text("{"), "damaged pointer"),
        (lambda folder: (folder / "manifest.json").write_text('{"schema": 99}'), "newer version"),
    ],
)
def test_damage_is_named_and_never_used(store, harm, words):
    output = publish(store)
    harm(output.folder)
    with pytest.raises(StepError, match=words):
        store.current(QUERIES)
    with pytest.raises(StepError, match=words), store.build(STUDY, SHARD):
        pass
    assert publish(store).verified(), "materializing again mends it"
    assert store.current(QUERIES)


def test_a_flipped_byte_is_found_on_use(store):
    output = publish(store)
    flip_a_byte(output.folder / "queries.parquet")
    with (
        pytest.raises(StepError, match=r"queries\.parquet"),
        store.build(STUDY, SHARD) as build,
    ):
        build.input(QUERIES.asset)


@pytest.fixture
def reads(monkeypatch):
    """Files that were read whole, by name."""
    seen = []
    original = checked.file_digest
    monkeypatch.setattr(checked, "file_digest", lambda path: (seen.append(path.name), original(path))[1])
    return seen


def aged():
    """The same files, written a while ago as far as the memo can see."""
    return mock.patch.object(checked.time, "time", lambda: time.time_ns() / 1e9 + 60)


def test_an_unchanged_file_is_read_once(store, reads):
    output = publish(store)
    with aged():
        assert output.verified() and output.verified()
        assert reads == ["queries.parquet"]
        assert output.damage(content=True) is None
    assert reads == ["queries.parquet"] * 2, "who asks for every byte gets every byte"


def test_a_file_that_was_just_written_is_not_trusted(store, reads):
    output = publish(store)
    assert output.verified() and output.verified()
    assert reads == ["queries.parquet"] * 2


@pytest.mark.parametrize("harm", ["same size, time put back", "another file in its place", "memo of another state"])
def test_what_was_right_is_read_again_where_it_changed(store, harm):
    output = publish(store)
    path = output.folder / "queries.parquet"
    with aged():
        assert output.verified()
        before, content = path.stat(), bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        if harm == "another file in its place":
            path.unlink()
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        if harm == "memo of another state":
            memo = output.folder / checked.FILE_NAME
            memo.write_text(memo.read_text().replace(output.manifest.files[0].digest, "0" * 64))
        with pytest.raises(StepError, match=r"queries\.parquet"):
            output.verified()


def test_what_is_not_in_the_manifest_is_not_used(store):
    output = publish(store)
    (output.folder / "extra.parquet").write_bytes(b"")
    with pytest.raises(StepError, match=r"extra\.parquet"):
        output.file("extra.parquet")


def test_a_step_that_fails_publishes_nothing_and_keeps_its_work(store):
    with pytest.raises(RuntimeError), store.build(STUDY, QUERIES) as build:
        (build.folder / "part-0").write_text("half")
        raise RuntimeError("boom")
    assert store.current(QUERIES) is None
    with store.build(STUDY, QUERIES) as again:
        assert (again.folder / "part-0").read_text() == "half"


MAKER = """
import sys, time
from pathlib import Path
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.stand_ins import stand_in
with Store(Path(sys.argv[1])).build(load_study(), Ref("queries/nano-math")) as build:
    print("kept" if build.finished else "made", flush=True)
    if build.finished is None:
        time.sleep(float(sys.argv[2]))
        stand_in(build.folder, Ref("queries/nano-math"))
        build.publish()
"""


def maker(store, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(store.home), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_makers_of_one_output_make_it_once(store):
    makers = [maker(store, 0.5) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in makers)
    assert said == ["kept", "made"]


@pytest.mark.slow
def test_the_one_who_waits_says_for_whom(store, caplog):
    process = maker(store, 3)
    assert process.stdout.readline() == "made\n"
    publish(store)
    process.communicate(timeout=60)
    assert f"is locked by process {process.pid}" in caplog.text


def test_a_killed_maker_leaves_no_output_and_no_lock(store):
    process = maker(store, 60)
    assert process.stdout.readline() == "made\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert store.current(QUERIES) is None
    assert publish(store).verified()


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StepError, match=r"RSFT_HOME=.*cannot be written"),
        Store(tmp_path / "file").build(STUDY, QUERIES),
    ):
        pass


def test_going_back_to_an_earlier_spec_costs_nothing(store):
    publish(store)
    first = publish(store, SHARD)
    publish(store, values=(4, 5), force=True)
    publish(store, SHARD)
    publish(store, values=(1, 2, 3), force=True)
    assert publish(store, SHARD, values=(0,)).folder == first.folder


def test_manifests_are_plain_json(store):
    manifest = json.loads((publish(store).folder / "manifest.json").read_text())
    assert manifest["asset"] == "queries/nano-math"
    assert "environ" not in json.dumps(manifest)
