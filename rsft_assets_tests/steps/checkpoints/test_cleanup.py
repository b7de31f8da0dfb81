"""What may be deleted, and what never is: states of trainings, leftovers, weights made anew."""

import json
import os
import shutil

import pytest

from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.questions.cleanup import delete, survey
from rsft_assets.steps.records.locks import exclusive
from rsft_assets.steps.records.manifest import read_manifest
from rsft_assets_tests.stand_ins import stand_in
from rsft_assets_tests.steps.checkpoints.test_train import checkpoint, resume_folder, train_to, weights_digest
from rsft_assets_tests.steps.checkpoints.tiny import tiny_study


def found(study, store):
    """{place: (may go, why)}"""
    return {str(item.path.relative_to(store.home)): (item.safe, item.why) for item in survey(study, store)}


@pytest.mark.slow
def test_a_home_in_order_has_nothing_to_delete(store, study):
    train_to(study, store, 9)
    assert found(study, store) == {}


@pytest.mark.slow
def test_the_state_of_an_unfinished_training_is_kept(store, study):
    train_to(study, store, 4)
    items = found(study, store)
    [state] = [place for place in items if place.endswith("state-4")]
    assert items[state] == (False, f"{checkpoint(study, 6)} is not made yet: training resumes from here")
    assert not any(safe for safe, _ in items.values())
    assert delete(survey(study, store)) == []
    assert train_to(study, store, 6)[0].stats["step"] == 6


@pytest.mark.slow
def test_what_a_finished_training_left_behind_may_go(store, study):
    train_to(study, store, 4)
    folder = resume_folder(store, study)
    shutil.copytree(folder, store.home / "copy")
    train_to(study, store, 9)
    shutil.copytree(store.home / "copy", folder, dirs_exist_ok=True)
    (folder / "process-1.log").write_text("kept")
    items = survey(study, store)
    assert {item.why for item in items} == {"its training is done"} and all(item.bytes for item in items)
    assert len(delete(items)) == len(items) == 2
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "process-1.log"]
    for step in (2, 4, 6, 9):
        store.require(checkpoint(study, step)).verified()


def test_what_a_process_holds_is_left(store, study):
    train_to(study, store, 9)
    folder = resume_folder(store, study)
    (folder / "state-8").mkdir()
    items = survey(study, store)
    assert [item.safe for item in items] == [True]
    with exclusive(folder / ".lock", "x"):
        assert found(study, store).popitem()[1] == (False, "in use by a process")
        assert delete(items) == []
    assert delete(items) == items


def test_a_run_that_nobody_declares_keeps_its_state(store, study):
    train_to(study, store, 4)
    study.runs.clear()
    assert {why for _, why in found(study, store).values()} == {
        "no study declares this run now; it could still be resumed from this state"
    }


def test_half_written_and_unfinished_work(store, study):
    train_to(study, store, 4)
    (resume_folder(store, study) / ".writing-5").mkdir()
    slot = store.slot(checkpoint(study, 4))
    made = read_manifest(next(path.parent for path in slot.glob("*/manifest.json")))
    (slot / f".building-{made.fingerprint[:12]}").mkdir()
    (slot / ".building-0123456789ab").mkdir()
    words = {place.rpartition("/")[2]: found for place, found in found(study, store).items()}
    assert words[".writing-5"] == (True, "half written by a killed process")
    assert words[f".building-{made.fingerprint[:12]}"] == (True, "its output is published")
    assert words[".building-0123456789ab"] == (False, "unfinished: materialize resumes from here")


@pytest.mark.slow
def test_what_a_kill_left_beside_published_outputs(store, study):
    [made] = train_to(study, store, 9)
    receipt = made.folder / ".checked.json"
    receipt.write_text("{}")
    left = [made.folder / ".texts.jsonl", made.folder / ".manifest.json.712", made.folder.parent / ".current.json.712"]
    for path in left:
        path.write_text("{}")
    young = {str(path.relative_to(store.home)): (False, "may be in use: written just now") for path in left}
    assert found(study, store) == young
    for path in (*left, receipt):
        os.utime(path, (0, 0))
    with exclusive(made.folder.parent / ".lock", "x"):
        assert {why for _, why in found(study, store).values()} == {"in use by a process"}
    assert sorted(item.path for item in delete(survey(study, store))) == sorted(left)
    assert receipt.is_file()
    assert found(study, store) == {}


def test_what_a_killed_check_of_a_clusters_nodes_left(store, study):
    left = store.home / ".ray-0123456789ab-node.writing"
    store.home.mkdir(exist_ok=True)
    left.touch()
    assert found(study, store) == {left.name: (False, "may be in use: written just now")}
    os.utime(left, (0, 0))
    assert [item.path for item in delete(survey(study, store))] == [left] and not left.exists()


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_weights_made_anew_go_unless_a_manifest_names_them(store, study, named):
    train_to(study, store, 9)
    [old] = train_to(study, store, 9)
    [new] = train_to(study, store, 9, force=True)
    assert old.folder != new.folder and weights_digest(old) == weights_digest(new)
    if named:
        with store.build(study, Ref("queries/source"), force=True) as build:
            stand_in(build.folder, Ref("queries/source"), "x")
            output = build.publish(stats={"made_from": old.folder.relative_to(store.home).as_posix()})
    items = [item for item in survey(study, store) if item.path == old.folder]
    assert [item.safe for item in items] == [not named]
    if named:
        assert f"{output.manifest.ref} and 0 more were made from it" in items[0].why
    delete(survey(study, store))
    assert old.folder.exists() == named
    store.require(checkpoint(study, 9)).verified()


@pytest.mark.slow
def test_what_the_study_declares_stays_after_another_was_made_in_its_place(store, study):
    [declared] = train_to(study, store, 9)
    other = tiny_study(max_length=63)
    train_to(other, store, 9)
    place = str(declared.folder.relative_to(store.home))
    assert found(other, store)[place] == (True, "replaced since, and no output was made from it")
    assert found(study, store)[place] == (False, "the study declares it now: materialize uses it again")
    delete(survey(study, store))
    assert train_to(study, store, 9) == [declared]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["a file of the current output", "an input"])
def test_what_may_be_declared_is_never_safe_to_delete(store, study, lost):
    [declared] = train_to(study, store, 9)
    other = tiny_study(max_length=63)
    [current] = train_to(other, store, 9)
    if lost == "an input":
        (store.slot(Ref(f"datasets/{study.runs_of(declared.manifest.ref.name)[0].dataset}")) / "current.json").unlink()
        why = "whether the study declares it cannot be known: "
    else:
        (current.folder / "model.safetensors").unlink()
        why = "the study declares it now: materialize uses it again"
    safe, said = found(study, store)[str(declared.folder.relative_to(store.home))]
    assert not safe and said.startswith(why)


def test_the_command_lists_first_and_deletes_only_when_told(store, study, monkeypatch):
    from click.testing import CliRunner

    from rsft_assets.commands.cli import rsft

    train_to(study, store, 9)
    left = resume_folder(store, study) / "state-8"
    left.mkdir()
    (left / "part").write_bytes(b"x" * 2**20)
    monkeypatch.setattr("rsft_assets.commands.doctor.load_study", lambda: study)
    run = CliRunner().invoke
    listed = run(rsft, ["doctor", "--disk"])
    assert "may go" in listed.output and "1.0 MiB can be deleted: rsft doctor --disk --delete" in listed.output
    assert left.exists()
    assert json.loads(run(rsft, ["doctor", "--disk", "--json"]).output)[0]["bytes"] == 2**20
    assert run(rsft, ["doctor", "--delete"]).exit_code == 2
    assert "1.0 MiB freed" in run(rsft, ["doctor", "--disk", "--delete"]).output
    assert not left.exists()
    assert "nothing to delete" in run(rsft, ["doctor", "--disk"]).output
