"""Every field that decides a result is part of an identity."""

import dataclasses
import types
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest

from rsft_assets.specs.benchmarks import GRADER_VERSIONS
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.lineage import Ref, asset_keys, checkpoint_ref, partitions_of, spec_of
from rsft_assets.specs.study import load_study

STUDY = load_study()
MODEL = STUDY.models["nano-300k"]
RUN = STUDY.runs_of("nano-300k")[0]
POOL = STUDY.pools["openr1-math_qwen3-32b_n32"]
BENCHMARK = STUDY.benchmarks["nano-math-test"]


def other(hint, value):
    """Another value of the same annotation."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return next(choice for choice in inner if choice != value)
    if origin in (Union, types.UnionType):
        return other(next(member for member in inner if member is not type(None)), value)
    if origin is tuple:
        return tuple(other(kind, one) for kind, one in zip(inner, value, strict=False) if kind is not ...)
    if hint is bool:
        return not value
    return {str: lambda: value + "x", int: lambda: value + 1, float: lambda: value / 2 + 0.125}[hint]()


def with_entry(table, name, entry):
    return dataclasses.replace(STUDY, **{table: {**getattr(STUDY, table), name: entry}})


def of_pretraining(spec):
    model = dataclasses.replace(MODEL, origin=spec)
    return fingerprint(spec_of(with_entry("models", MODEL.name, model), Ref(f"base_models/{MODEL.name}")))


def of_schedule(schedule):
    run = dataclasses.replace(RUN, schedule=schedule)
    return fingerprint(spec_of(with_entry("runs", run.name, run), checkpoint_ref(run, 5)))


def of_pool(sampling):
    pool = dataclasses.replace(POOL, sampling=sampling)
    ref = Ref(f"responses/{POOL.name}", POOL.shard_keys[0])
    return fingerprint(spec_of(with_entry("pools", POOL.name, pool), ref))


def of_score(sampling):
    benchmark = dataclasses.replace(BENCHMARK, sampling=sampling)
    asset = f"scores/{MODEL.name}/{BENCHMARK.name}"
    ref = Ref(asset, partitions_of(STUDY, asset)[0])
    return fingerprint(spec_of(with_entry("benchmarks", BENCHMARK.name, benchmark), ref))


def test_what_is_assumed_of_a_pool_is_not_identity():
    ref = Ref(f"responses/{POOL.name}", POOL.shard_keys[0])
    assumed = with_entry("pools", POOL.name, dataclasses.replace(POOL, acceptance=0.5))
    assert spec_of(assumed, ref) == spec_of(STUDY, ref)
    assert fingerprint(spec_of(STUDY, ref)) == "3f0bc83d091ff087ca5e7e4063b285933e2cc5095805fd704eb589a6d59cd343"


KINDS = {
    "pretraining": (of_pretraining, MODEL.origin),
    "schedule": (of_schedule, RUN.schedule),
    "pool": (of_pool, POOL.sampling),
    "score": (of_score, BENCHMARK.sampling),
}
# What is asked of a base, which steps are kept, and what people read, change no weights.
NOT_IDENTITY = {("pretraining", "gate"), ("schedule", "grid"), ("schedule", "title")}
CASES = [(kind, field.name) for kind, (_, spec) in KINDS.items() for field in dataclasses.fields(spec)]


@pytest.mark.parametrize(("kind", "field"), CASES)
def test_each_field_is_identity(kind, field):
    identity, spec = KINDS[kind]
    changed = other(get_type_hints(type(spec))[field], getattr(spec, field))
    assert changed != getattr(spec, field)
    same = identity(dataclasses.replace(spec, **{field: changed})) == identity(spec)
    assert same == ((kind, field) in NOT_IDENTITY)


def test_the_nano_bases_are_made_as_before_their_settings_were_fields():
    spec = MODEL.origin
    assert (spec.warmup, spec.weight_decay, spec.betas, spec.eps, spec.clip) == (0.05, 0.1, (0.9, 0.95), 1e-8, 1.0)
    assert (spec.precision, spec.decay, spec.held_out_documents, spec.held_out_seed) == ("fp32", "cosine", 512, 1000004)
    assert (spec.key_value_heads, spec.head_dim, spec.feed_forward_ratio, spec.positions) == (2, 22, 3, 1024)
    assert (spec.rope_theta, spec.norm_eps, spec.init_std) == (10_000.0, 1e-6, 0.8 * 88**-0.5)


def _all_specs():
    refs = (Ref(key, (partitions_of(STUDY, key) or ("",))[0]) for key in asset_keys(STUDY))
    return {ref: fingerprint(spec_of(STUDY, ref)) for ref in refs}


def test_a_version_of_a_grader_is_identity_of_its_scores_alone(monkeypatch):
    before = _all_specs()
    monkeypatch.setitem(GRADER_VERSIONS, "mmlu_pro", 2)
    changed = {ref.asset.rpartition("/")[2] for ref, spec in _all_specs().items() if spec != before[ref]}
    assert changed == {"mmlu_pro"}


def test_a_stop_token_is_identity_of_the_scores_of_its_family_alone():
    alpacaeval = STUDY.benchmarks["alpacaeval"]
    assert alpacaeval.stops_of("internlm2.5") == (92_542,)
    without = with_entry("benchmarks", "alpacaeval", dataclasses.replace(alpacaeval, extra_stops=()))
    for model, changes in (("internlm2.5-20b", True), ("qwen3-1.7b", False)):
        ref = Ref(f"scores/{model}/alpacaeval", partitions_of(STUDY, f"scores/{model}/alpacaeval")[0])
        assert (spec_of(STUDY, ref) != spec_of(without, ref)) is changes
    assert spec_of(STUDY, Ref("benchmarks/alpacaeval")) == spec_of(without, Ref("benchmarks/alpacaeval"))
