"""Pieces of a step: what must stay together does, the work is even, and what is published leaves a piece."""

import re
from dataclasses import replace

import pytest

from rsft_assets.defs.launchers import StepCall
from rsft_assets.defs.on_ray import pieces
from rsft_assets.defs.on_ray.pieces import capacity, gpus_of, refs_of, split
from rsft_assets.specs.errors import StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import load_study
from rsft_assets.steps.records.store import Store


@pytest.fixture(scope="module")
def study():
    return load_study()


def call_of(study, tmp_path, asset, partitions, *options):
    words = [word for partition in partitions for word in ("--partition", partition)]
    return StepCall("module", (asset, *words, *options), tmp_path, "label")


def cut(study, tmp_path, call, **fields):
    return split(study, Store(tmp_path), call, **{"slots": 4, "wide": 1, "count": 0, **fields})


def test_all_is_made_once_and_named_by_its_piece(study, tmp_path):
    partitions = [str(number) for number in range(10)]
    pool = next(name for name, pool in study.pools.items() if pool.shards >= 10)
    width = len(study.pools[pool].shard_keys[0])
    call = call_of(study, tmp_path, f"verdicts/{pool}", [one.zfill(width) for one in partitions], "--force")
    made = cut(study, tmp_path, call, count=3)
    assert sorted(ref for piece in made for ref in refs_of(study, piece.call)) == sorted(refs_of(study, call))
    assert [piece.call.label for piece in made] == ["label-1of3", "label-2of3", "label-3of3"]
    assert sorted(len(piece.refs) for piece in made) == [3, 3, 4]
    assert all("--force" in piece.call.arguments for piece in made)


def test_work_of_less_than_five_minutes_is_one_piece(study, tmp_path, monkeypatch):
    shards = study.pools["nano-math_procedural_n4"].shard_keys
    call = call_of(study, tmp_path, "verdicts/nano-math_procedural_n4", shards)
    assert [piece.call for piece in cut(study, tmp_path, call)] == [call]
    monkeypatch.setattr(pieces, "_SECONDS", 10.0)
    assert len(cut(study, tmp_path, call)) == 2


def test_many_small_pieces_are_not_more_than_four_for_each_slot(study, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "_SECONDS", 1e-6)
    pool = next(name for name, pool in study.pools.items() if pool.shards >= 10)
    call = call_of(study, tmp_path, f"verdicts/{pool}", study.pools[pool].shard_keys)
    assert len(cut(study, tmp_path, call, slots=2)) == 8


def test_a_run_is_trained_in_one_piece_and_a_base_model_is_scored_in_one(study, tmp_path):
    runs = [run.name for run in study.runs_of("nano-300k")][:3]
    cells = [f"{run}|{step}" for run in runs for step in study.steps_of(study.runs[run])[:2]]
    training = cut(study, tmp_path, call_of(study, tmp_path, "checkpoints/nano-300k", cells), count=9)
    assert sorted({ref.run for ref in piece.refs} == {piece.refs[0].run} for piece in training) == [True] * 3
    benchmark = next(name for name in study.benchmarks if name.startswith("nano"))
    scoring = cut(study, tmp_path, call_of(study, tmp_path, f"scores/nano-300k/{benchmark}", cells), count=9)
    assert sorted(len(piece.refs) for piece in scoring) == [1, 1, 1, 3]


def test_a_second_try_leaves_out_what_is_published(study, tmp_path):
    shards = study.pools["nano-math_procedural_n4"].shard_keys
    call = call_of(study, tmp_path, "verdicts/nano-math_procedural_n4", shards, "--force")
    [piece] = cut(study, tmp_path, call)
    piece.published.add(Ref("verdicts/nano-math_procedural_n4", shards[0]))
    assert piece.left() == replace(
        call, arguments=("verdicts/nano-math_procedural_n4", "--partition", shards[1], "--force")
    )


@pytest.mark.parametrize(
    ("nodes", "gpus", "cpus", "expected"),
    [
        ([(2, 0), (4, 0)], 0, 0, (2, 3)),
        ([(2, 0), (4, 0)], 0, 4, (4, 1)),
        ([(0, 0), (8, 8), (16, 8)], 2, 0, (2, 8)),
        ([(8, 8)], 8, 0, (8, 1)),
    ],
)
def test_how_many_pieces_the_nodes_can_hold(nodes, gpus, cpus, expected):
    assert capacity(nodes, gpus, cpus) == expected


@pytest.mark.parametrize(
    ("nodes", "gpus", "cpus", "words"),
    [
        ([(8, 8), (8, 8), (4, 0)], 16, 0, "1 core and 16 GPUs on one node, and the cluster has 2 nodes of 8 cores"),
        ([(1, 0)], 0, 2, "a piece needs 2 cores on one node, and the cluster has 1 node of 1 core; lower `ray_cpus`"),
        ([(0, 4)], 1, 0, "1 core and 1 GPU on one node, and the cluster has 1 node of 0 cores and 4 GPUs"),
    ],
)
def test_a_piece_that_no_node_can_hold_is_refused(nodes, gpus, cpus, words):
    with pytest.raises(StepError, match=re.escape(words)):
        capacity(nodes, gpus, cpus)


@pytest.mark.parametrize(
    ("ref", "fields", "gpus"),
    [
        (Ref("checkpoints/qwen3-14b"), {"processes": 8}, 8),
        (Ref("checkpoints/qwen3-1.7b"), {"processes": 2, "runs": 4}, 8),
        (Ref("scores/qwen3-14b/math500"), {"engines": 4, "tensor_parallel": 2}, 8),
        (Ref("scores/qwen3-14b/math500"), {"engine": "endpoint"}, 0),
        (Ref("scores/qwen3-14b/math500"), {"device": "cpu"}, 0),
        (Ref("scores/nano-300k/nano-dot"), {}, 0),
        (Ref("scores/nano-300k/nano-dot"), {"device": "cuda"}, 1),
        (Ref("responses/openr1-math_qwen3-32b_n32"), {"tensor_parallel": 4}, 4),
        (Ref("responses/nano-math_procedural_n4"), {}, 0),
        (Ref("verdicts/openr1-math_qwen3-32b_n32"), {}, 0),
    ],
)
def test_gpus_that_a_piece_reserves(study, ref, fields, gpus):
    assert gpus_of(study, ref, Placement(**fields)) == gpus
