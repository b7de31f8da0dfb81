"""The declared study: what the paper ran, names that cannot lie, and what a user may add."""

import dataclasses
import os
import subprocess
import sys

import pytest

from rsft_assets.specs import paper
from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.lineage import Ref, asset_keys, inputs_of, parse_ref, partitions_of, spec_of
from rsft_assets.specs.study import _load, load_study
from rsft_assets.specs.training import Schedule, short_float


@pytest.fixture
def study():
    return load_study()


def test_the_papers_study_is_complete(study):
    of_paper = {
        table: [name for name in getattr(study, table) if study.member_of[(table, name)] == "paper"]
        for table in ("models", "datasets", "runs", "benchmarks")
    }
    assert {table: len(names) for table, names in of_paper.items()} == {
        "models": 9,
        "datasets": 7,
        "runs": 44,
        "benchmarks": 10,
    }
    assert "qwen3-14b_math-cot-20k_lr5e-5_ep16_bs256_constlr" in study.runs
    assert "internlm2.5-20b_numinamath-20k_lr5e-5_ep8_bs256" in study.runs


# run, total steps, warm-up steps: protocol section 1.2
@pytest.mark.parametrize(
    ("run", "total", "warmup"),
    [
        ("qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256", 640, 64),
        ("qwen3-14b_math-cot-2.5k_lr5e-5_ep8_bs32", 640, 64),
        ("qwen3-14b_math-cot-20k_lr1e-5_ep1_bs256", 80, 8),
        ("qwen3-14b_math-cot-20k_lr1e-5_ep2_bs256", 160, 16),
        ("qwen3-14b_math-cot-20k_lr5e-5_ep1_bs32", 640, 64),
        ("qwen3-14b_math-cot-20k_lr1e-4_ep16_bs256_constlr", 1280, 128),
    ],
)
def test_steps_of_runs(study, run, total, warmup):
    declared = study.runs[run]
    steps = declared.schedule.total_steps(study.datasets[declared.dataset].rows)
    assert (steps, int(steps * declared.schedule.warmup)) == (total, warmup)
    assert study.steps_of(declared)[0] == 0
    assert study.steps_of(declared)[-1] == total


def test_headline_arms_have_three_seeds_and_one_is_trained_in_pure_bf16_too(study):
    seeds = {}
    for run in study.runs.values():
        if study.member_of["runs", run.name] == "paper" and run.schedule.precision == "bf16":
            seeds.setdefault(f"{run.model}_{run.dataset}_{run.schedule.name}", set()).add(run.seed)
    assert {arm for arm, found in seeds.items() if found == {1, 2, 3}} == {
        f"qwen3-{size}_math-{kind}-20k_lr5e-5_ep8_bs256" for size in ("1.7b", "4b") for kind in ("cot", "nocot")
    }
    pure = study.runs["qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256_bf16-pure"]
    assert pure.short_name == "5e-5p_8x256_math-cot-20k"
    twin = study.runs["qwen3-1.7b_math-cot-20k_lr5e-5_ep8_bs256"]
    assert pure == dataclasses.replace(
        twin,
        schedule=dataclasses.replace(twin.schedule, precision="bf16-pure", title=pure.schedule.title),
        published=None,
    )
    again = [run for run in study.runs.values() if run.seed > 1 and run.published]
    assert again == [], "the authors trained one seed"


def test_the_runs_of_the_first_seed_keep_their_identity(study):
    """As they were before other seeds and pure bf16 were declared: 33 of the authors and 2 of ours."""
    first = [
        spec_of(study, Ref(f"checkpoints/{run.model}", f"{run.name}|640"))
        for name, run in sorted(study.runs.items())
        if study.member_of["runs", name] == "paper" and run.seed == 1 and run.schedule.precision == "bf16"
    ]
    assert len(first) == 35
    assert fingerprint(first) == "cde897d2318ceeb2b93f5e6f65f098895217db0f417c9cf89938665d7ef0b25a"


def test_grid_of_a_long_run(study):
    run = study.runs["qwen3-14b_math-cot-20k_lr5e-5_ep16_bs256"]
    assert study.steps_of(run) == (0, 10, 20, 40, 80, 160, 320, 480, 640, 800, 960, 1120, 1280)


def test_a_grid_in_any_order_is_kept_in_order():
    schedule = Schedule(lr=1e-3, epochs=1, batch_size=1, grid=(20, 5, 5, 0, -3, 90, 40))
    assert schedule.kept_steps(80) == (0, 5, 20, 40, 80)


def test_internlm_departs_where_the_authors_did(study):
    numina = study.runs["internlm2.5-20b_numinamath-20k_lr5e-5_ep8_bs256"]
    assert (numina.max_length, numina.authors_micro_batch) == (10_000, 2)
    others = [run for run in study.runs.values() if run.max_length == 10_000]
    assert others == [numina]


@pytest.mark.parametrize(("value", "words"), [(5e-5, "5e-5"), (1e-4, "1e-4"), (1.5e-4, "1.5e-4"), (0.001, "1e-3")])
def test_rates_in_names(value, words):
    assert short_float(value) == words


@pytest.mark.slow
def test_every_edge_leads_to_a_declared_asset(study):
    keys = set(asset_keys(study))
    for key in keys:
        for partition in partitions_of(study, key) or ("",):
            for upstream in inputs_of(study, Ref(key, partition)):
                assert upstream.asset in keys
                assert (upstream.partition or "") in (partitions_of(study, upstream.asset) or ("",))


def test_scores_stand_on_their_own_models_checkpoints(study):
    for key in asset_keys(study):
        if key.startswith("scores/"):
            partition = partitions_of(study, key)[-1]
            upstream = inputs_of(study, Ref(key, partition))
            assert Ref(f"checkpoints/{key.split('/')[1]}", partition) in upstream


def test_fingerprint_is_the_same_in_every_process(study):
    code = (
        "from rsft_assets.specs.study import load_study\nfrom rsft_assets.specs.fingerprint import fingerprint\n"
        "print(fingerprint(load_study().runs['qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256']))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {fingerprint(study.runs["qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256"]) + "\n"}


CHANGED = {
    "lr": 1e-3,
    "epochs": 3,
    "batch_size": 64,
    "decay": "constant",
    "warmup": 0.2,
    "weight_decay": 0.0,
    "betas": (0.8, 0.9),
    "eps": 1e-6,
    "clip": 2.0,
    "precision": "fp32",
    "loss": "token-mean",
    "order": "shuffled",
    "grid": (1, 2),
    "title": "Another",
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Schedule)])
def test_fingerprint_changes_with_each_field(field):
    assert fingerprint(dataclasses.replace(paper.DEFAULT, **{field: CHANGED[field]})) != fingerprint(paper.DEFAULT)


def test_one_number_however_it_is_spelled():
    assert fingerprint({"epochs": 8}) == fingerprint({"epochs": 8.0})


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), float("inf"), print, {1: "a"}, b"x"])
def test_fingerprint_refuses_what_has_no_stable_form(value):
    with pytest.raises(TypeError, match=r"spec\.thing"):
        fingerprint({"thing": value})


def test_words_and_places_are_not_identity(study):
    ref = Ref("base_models/qwen3-14b")
    assert not {"description", "needs_gpu"} & spec_of(study, ref).keys()
    step0 = {str(spec_of(study, Ref("checkpoints/qwen3-14b", f"{run.name}|0"))) for run in study.runs_of("qwen3-14b")}
    assert len(step0) == 1


@pytest.mark.parametrize(
    ("asset", "partition", "words"),
    [
        ("scores/qwen3-14/math500", "", "qwen3-14b"),
        ("scores/qwen3-14b/math5000", "", "math500"),
        ("checkpoints/qwen3-14b", "qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256|641", "640"),
        ("checkpoint/qwen3-14b", "", "checkpoints/qwen3-14b"),
        ("datasets/math-cot", "", "math-cot-20k"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(study, asset, partition, words):
    with pytest.raises(SpecError, match=words):
        parse_ref(study, asset, partition)


OWN = """
extends = "nano"
[models.my-base]
family = "qwen3"
parameters = 1_000_000
needs_gpu = false
origin = { repo = "me/my-base", revision = "0123456789abcdef0123456789abcdef01234567" }
[schedules.gentle]
lr = 2e-4
epochs = 2
batch_size = 64
[[runs]]
model = "my-base"
dataset = "nano-cot"
schedule = "gentle"
[[runs]]
model = "my-base"
dataset = "nano-nocot"
schedule = "lr1e-4_ep8_bs8"
"""


def own_study(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return _load.__wrapped__(str(path))


def test_a_file_of_ones_own_extends_the_graph(tmp_path):
    study = own_study(tmp_path, OWN)
    assert "my-base_nano-cot_lr2e-4_ep2_bs64" in study.runs
    keys = asset_keys(study)
    assert "checkpoints/my-base" in keys
    assert {key for key in keys if key.startswith("scores/my-base/")} == {
        key.replace("nano-300k", "my-base") for key in keys if key.startswith("scores/nano-300k/")
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('family = "qwen3"', 'family = "qwen4"'), "field family: 'qwen4' is not one of qwen3, qwen2.5"),
        (("parameters = 1_000_000", 'parameters = "1M"'), "field parameters: '1M' must be a whole number"),
        (
            ('revision = "0123456789abcdef0123456789abcdef01234567"', 'revision = "main"'),
            "'main' is not a commit; pin one",
        ),
        (("parameters = 1_000_000", ""), "field parameters is missing"),
        (("batch_size", "batchsize"), "unknown field 'batchsize': did you mean batch_size"),
        (('dataset = "nano-cot"', 'dataset = "nano-cto"'), "did you mean nano-cot"),
        (('schedule = "gentle"', 'schedule = "gentel"'), "did you mean gentle"),
        (("[models.my-base]", "[models.My_Base]"), "field name"),
        (("[models.my-base]", "[models.nano-300k]"), "declared twice"),
        (("lr = 2e-4", "lr = -1.0"), "field lr: -1.0 must be above 0"),
        (("batch_size = 64", "batch_size = 100000"), "field schedule.batch_size"),
        (('extends = "nano"', 'extends = "mini"'), "field extends: 'mini' is not one of paper, nano"),
        (('extends = "nano"', "extends = "), "not valid TOML"),
        (("[models.my-base]", "[model.my-base]"), "unknown table 'model': did you mean models"),
        (("[models.my-base]", "[models.nano_1m]"), "differ only in"),
    ],
)
def test_a_mistake_names_field_value_and_choices(tmp_path, change, words):
    assert change[0] in OWN
    with pytest.raises(SpecError) as caught:
        own_study(tmp_path, OWN.replace(*change, 1))
    assert words in str(caught.value)


def test_a_missing_study_file_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"nowhere\.toml"):
        _load.__wrapped__(str(tmp_path / "nowhere.toml"))
