"""A manifest proves itself: of generated edits of every field, each is found, but for those that are listed."""

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.responses import Sampling
from rsft_assets.specs.study import load_study
from rsft_assets.steps.engines.protocol import Completion
from rsft_assets.steps.records.manifest import FILE_NAME, POINTER, InputRecord, manifest_hash, read_manifest
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores.completions import Asked, CompletionSet
from rsft_assets_tests.stand_ins import stand_in

STUDY = load_study()
QUERIES, SHARD = Ref("queries/nano-math"), Ref("responses/nano-math_procedural_n4", "0")
NOT_PROVED = {
    "stats": "facts that a step measured, which the files do not repeat",
    "made_by": "who made it",
    "started_at": "a time",
    "finished_at": "a time",
    "seconds": "a time",
    "schema": "an earlier one would be read",
    "files.bytes": "compared with the files themselves, by `Output.damage`",
    "files.rows": "a count for people: the digest stands for the rows",
    "inputs.output": "where an input is, not what it is: followed and compared by doctor and trace",
}
"""What passes where no pointer has the manifest's hash, as in homes from before and of completions."""
DEEP = "[" * 100_000


def publish(store: Store, ref: Ref) -> Output:
    with store.build(STUDY, ref, seed=7) as build:
        if build.finished is None:
            stand_in(build.folder, ref)
            build.publish(stats={"rows": 3, "value": 0.5, "note": "n"})
    return build.output


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home")


@pytest.fixture
def output(store):
    publish(store, QUERIES)
    return publish(store, SHARD)


@pytest.fixture
def texts(store):
    """A completion set, whose identity is of another kind and which no pointer names."""
    inputs = [InputRecord("checkpoints/m", "r|0", "w", "o"), InputRecord("benchmarks/b", "", "i", "p")]
    found = CompletionSet(store.home, "b", [Asked("one", "q")], Sampling(n=1), inputs)
    found.resume("here", repeatable=False)
    for request in found.missing(lambda turns, sampling: turns[0]["content"], "0"):
        found.add(request, Completion(request.id, "a", 1, 1, "stop", ended_by_eos=True, mean_logprob=None))
    return found.publish({"engine": "e"})


def edits(value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """(path, edited copy) for every place in JSON data: removed, of another type, of another value."""
    for path in places(value):
        *above, last = path
        for change in ("removed", "type", "value"):
            edited = copy.deepcopy(value)
            holder = edited
            for part in above:
                holder = holder[part]
            if change == "removed":
                del holder[last]
            else:
                holder[last] = (another_type if change == "type" else another_value)(holder[last])
            if edited != value:
                yield path, edited


def places(value: Any) -> Iterator[tuple[str | int, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (key,)
        yield from ((key, *rest) for rest in places(one))


def another_type(value: Any) -> Any:
    return [] if isinstance(value, dict) else {} if isinstance(value, list) else [value]


def another_value(value: Any) -> Any:
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    if isinstance(value, (bool, int, float)):
        return value - 1
    return {"x": 1} if value is None else type(value)()


def passing(folder, manifest: dict[str, Any]) -> tuple[set[str], int]:
    """Which fields can be edited without anybody noticing, and how many edits were tried."""
    found, tried = set(), 0
    for path, edited in edits(manifest):
        (folder / FILE_NAME).write_text(json.dumps(edited))
        tried += 1
        try:
            read_manifest(folder)
        except StepError as error:
            assert str(folder / FILE_NAME) in str(error)
        else:
            found.add(".".join(str(part) for part in path[:3] if isinstance(part, str)))
    return {f"{one.partition('.')[0]}" if one.split(".")[0] not in ("files", "inputs") else one for one in found}, tried


def manifest_of(output: Output) -> dict[str, Any]:
    return json.loads((output.folder / FILE_NAME).read_text())


def test_every_edit_is_found_where_the_pointer_has_the_hash(output):
    found, tried = passing(output.folder, manifest_of(output))
    assert found == set()
    assert tried > 150


def forget_hashes(output: Output) -> None:
    pointer = output.folder.parent / POINTER
    pointer.write_text(json.dumps({"output": json.loads(pointer.read_text())["output"]}))


def test_what_passes_without_the_hash_is_known(output):
    forget_hashes(output)
    found, tried = passing(output.folder, manifest_of(output))
    assert found == NOT_PROVED.keys()
    assert tried > 150


def test_a_completion_set_proves_itself_by_the_identity_of_its_own_kind(texts):
    assert Output.at(texts.folder).manifest == texts.manifest
    found, tried = passing(texts.folder, manifest_of(texts))
    # Runs that share their weights share their texts: whose partition it was is no part of what they are.
    assert found <= {*NOT_PROVED, "inputs.partition", "inputs.asset"}
    assert tried > 100


@pytest.mark.parametrize("asset", ["benchmarks/m", "chechpoints/m"])
def test_completions_belong_to_weights_and_items(texts, asset):
    manifest = manifest_of(texts)
    manifest["inputs"][0]["asset"] = asset
    (texts.folder / FILE_NAME).write_text(json.dumps(manifest))
    with pytest.raises(StepError, match="not the hash of its spec and inputs"):
        Output.at(texts.folder)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"fingerprint": "0" * 64}, "is not the folder's name"),
        ({"digest": "0" * 64}, "its digest is not that of its files"),
        ({"inputs": []}, "not the hash of its spec and inputs"),
        ({"asset": "responses/another"}, "which belongs to another folder"),
        ({"partition": "1"}, "which belongs to another folder"),
        ({"asset": None}, "asset is a NoneType"),
        ({"digest": 7}, "digest is a int"),
        ({"stats": []}, "stats is a list"),
        ({"stats": None}, "stats is a NoneType"),
        ({"made_by": None}, "made_by is a NoneType"),
        ({"stats": {"rows": 4}}, "has changed since current.json was written"),
        ({"files": [], "digest": "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"}, "lists no resp"),
    ],
)
def test_a_contradiction_is_named_and_the_output_is_made_again(store, output, edit, words):
    place = output.folder / FILE_NAME
    place.write_text(json.dumps(manifest_of(output) | edit))
    with pytest.raises(StepError, match=words) as raised:
        store.current(SHARD)
    assert str(place) in str(raised.value)
    assert store.kept(store.identity(STUDY, SHARD)) is None
    assert publish(store, SHARD).folder != output.folder
    assert store.require(SHARD).verified()


@pytest.mark.parametrize("name", [FILE_NAME, POINTER])
@pytest.mark.parametrize("content", [DEEP, "null", "[]", '{"output": 7}', '{"seconds": NaN}', b"\xff\xfe"])
def test_what_is_no_record_is_named(store, output, name, content):
    path = output.folder / name if name == FILE_NAME else output.folder.parent / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StepError, match="damaged") as raised:
        store.current(SHARD)
    assert str(path) in str(raised.value)
    publish(store, SHARD)
    assert store.current(SHARD)


@pytest.mark.parametrize("name", [FILE_NAME, POINTER])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_named(store, output, name, kind):
    import os

    path = output.folder / name if name == FILE_NAME else output.folder.parent / name
    path.unlink()
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(StepError, match=f"{path} is not a file; remove it"):
        store.current(SHARD)


def test_a_pointer_that_is_a_folder_stops_a_build_before_its_work(store, output):
    path = output.folder.parent / POINTER
    path.unlink()
    path.mkdir()
    with pytest.raises(StepError, match=f"{path} is a folder; remove it"), store.build(STUDY, SHARD):
        pytest.fail("nothing may be made that cannot be published")


@pytest.mark.parametrize("name", ["../1/0123456789ab", "..", "", ".", "/etc", "0123456789ab/..", "a\0b", "else"])
def test_a_pointer_names_a_folder_beside_it(store, output, name):
    (output.folder.parent / POINTER).write_text(json.dumps({"output": name}))
    with pytest.raises(StepError, match="not the name of an output's folder"):
        store.current(SHARD)


def test_a_pointer_of_before_is_read_and_gets_its_hash_when_the_output_is_kept(store, output):
    forget_hashes(output)
    assert store.current(SHARD) == output
    assert publish(store, SHARD) == output
    pointer = json.loads((output.folder.parent / POINTER).read_text())
    assert pointer == {"output": output.folder.name, "manifests": {output.folder.name: manifest_hash(output.folder)}}


def test_an_output_that_is_no_longer_in_use_stays_covered(store, output):
    with store.build(STUDY, SHARD, force=True) as build:
        stand_in(build.folder, SHARD, "other")
        build.publish()
    assert Output.at(output.folder) == output
    (output.folder / FILE_NAME).write_text(json.dumps(manifest_of(output) | {"stats": {"rows": 4}}))
    with pytest.raises(StepError, match="has changed since"):
        Output.at(output.folder)


def test_an_input_is_the_output_that_it_is_named_as(store, output):
    record = dataclasses.replace(output.manifest.inputs[0], asset="queries/another")
    with pytest.raises(StepError, match="is named as queries/another, but holds queries/nano-math"):
        store.used(record)


@pytest.mark.parametrize("kind", ["dangling", "out of the home", "of its own"])
def test_a_link_is_not_published(store, tmp_path, kind):
    (tmp_path / "secret").write_text("x")
    target = {"dangling": "nothing", "out of the home": str(tmp_path / "secret"), "of its own": "queries.parquet"}
    with pytest.raises(StepError, match=r"extra\.json is a link to"), store.build(STUDY, QUERIES) as build:
        stand_in(build.folder, QUERIES)
        (build.folder / "extra.json").symlink_to(target[kind])
        build.publish()
    assert store.current(QUERIES) is None


@pytest.mark.parametrize("ref", [QUERIES, Ref("base_models/nano-300k")])
def test_an_output_without_the_files_of_its_kind_is_not_published(store, ref):
    with pytest.raises(StepError, match=r"is not published: .* has no"), store.build(STUDY, ref) as build:
        (build.folder / "other.txt").write_text("x")
        build.publish()
    assert store.current(ref) is None
