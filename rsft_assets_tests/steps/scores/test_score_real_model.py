"""SmolLM2-135M on real MATH500 and IFEval items: mirror, lock, base model, checkpoint, vLLM, stored texts, scores.

Needs the weights, which a small package carries, and real items; `pytest -s` prints the scores.
"""

import importlib.util
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref, checkpoint_ref, score_ref
from rsft_assets.specs.models import Model
from rsft_assets.specs.placement import Placement
from rsft_assets.specs.study import combine, load_study
from rsft_assets.steps.base_models.make import make_base_model
from rsft_assets.steps.benchmarks.lock import lock_benchmark
from rsft_assets.steps.checkpoints.train import train
from rsft_assets.steps.records.manifest import read_manifest
from rsft_assets.steps.records.store import Output, Store
from rsft_assets.steps.scores import scoring as scoring_module
from rsft_assets.steps.scores.completions import read_completions
from rsft_assets.steps.scores.score import score
from rsft_assets_tests.steps.engines.smollm2 import INSTALLED, WHY_NOT, make_smollm2
from rsft_assets_tests.steps.scores.grading.published import folder
from rsft_assets_tests.steps.small_chain import small_study

ITEMS, TOKENS = 24, 200
REAL = {
    "math500": ("math500/test.jsonl", "HuggingFaceH4/MATH-500/test.jsonl"),
    "ifeval": ("ifeval/input_data.jsonl", "google/IFEval/ifeval_input_data.jsonl"),
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not INSTALLED, reason=WHY_NOT),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm_eval is not installed"),
    pytest.mark.skipif(
        not all((folder() / source).is_file() for source, _ in REAL.values()), reason="RSFT_TEST_DATA has no items"
    ),
]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The first real items of both benchmarks, and the model as one of one's own."""
    for source, place in REAL.values():
        path = tmp_path / "mirror" / place
        path.parent.mkdir(parents=True)
        path.write_text("".join((folder() / source).open(encoding="utf-8").readlines()[:ITEMS]), encoding="utf-8")
    monkeypatch.setenv("RSFT_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "placement.toml").write_text('[default]\nengine = "vllm"\ndevice = "cpu"\n')
    monkeypatch.setenv("RSFT_PLACEMENT", str(tmp_path / "placement.toml"))
    model = Model(
        name="smollm2-135m",
        family="other",
        parameters=135_000_000,
        origin=Hub(repo=str(make_smollm2(tmp_path / "smollm2"))),
        needs_gpu=False,
    )
    paper = load_study().benchmarks
    benchmarks = [
        replace(paper[name], items=ITEMS, sampling=replace(paper[name].sampling, n=1, max_tokens=TOKENS))
        for name in REAL
    ]
    usual = small_study(*benchmarks)
    tables = {name: list(getattr(usual, name).values()) for name in ("sources", "pools", "datasets", "benchmarks")}
    run = replace(next(iter(usual.runs.values())), model=model.name)
    return combine([("nano", {**tables, "models": [model], "runs": [run]})])


def test_a_real_model_on_real_items(tmp_path, study, monkeypatch):
    store, [run] = Store(tmp_path / "home"), study.runs.values()
    monkeypatch.setenv("RSFT_HOME", str(store.home))
    for name in REAL:
        lock_benchmark(study, store, Ref(f"benchmarks/{name}"))
    make_base_model(study, store, Ref(f"base_models/{run.model}"))
    train(study, store, [checkpoint_ref(run, 0)], placement=Placement(device="cpu"))
    refs = [score_ref(run, 0, name) for name in REAL]
    outputs = score(study, store, refs)
    for output in outputs:
        stats = output.stats
        assert (stats["state"], stats["items"], stats["not_run"]) == ("scored", ITEMS, 0)
        place = store.home / stats["completions"]["folder"]
        texts = [row["text"] for row in read_completions(Output(place, read_manifest(place)))]
        assert len(texts) == ITEMS
        assert sum(len(text) > 20 for text in texts) > ITEMS / 2
        graders = {row["grader"] for row in pq.read_table(output.file("scores.parquet")).to_pylist()}
        assert graders == {"strict", "authors"}
        print(
            f"{output.manifest.ref.benchmark}: {stats['metric']} {stats['value']:.3f} [{stats['low']:.3f}, "
            f"{stats['high']:.3f}], {stats['truncated']} of {ITEMS} cut off, {stats['mean_tokens']:.0f} tokens each"
        )
    values = {output.manifest.ref.benchmark: output.stats["value"] for output in outputs}
    # It is no good at either, but it follows some instructions.
    assert values["ifeval"] > 0.1
    monkeypatch.setattr(scoring_module, "open_engine", lambda *_: pytest.fail("texts are there already"))
    again = score(study, store, refs, force=True)
    assert {output.manifest.ref.benchmark: output.stats["value"] for output in again} == values
