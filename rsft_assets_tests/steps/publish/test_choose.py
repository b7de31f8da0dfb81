"""What leaves a home that holds gated and harmful items, gated sources and adopted material: none of their text."""

import io
import re
import shutil
import tomllib
from dataclasses import replace

import huggingface_hub
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard import RepoCard

from rsft_assets.specs import paper
from rsft_assets.specs.datasets import Dataset
from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.hub import Hub
from rsft_assets.specs.lineage import Ref, checkpoint_ref, score_ref
from rsft_assets.specs.training import Run
from rsft_assets.steps.publish.choose import choose
from rsft_assets.steps.publish.publication import Publication
from rsft_assets.steps.publish.scores import Scored, eval_results
from rsft_assets.steps.publish.send import send
from rsft_assets.steps.publish.withheld import Withheld
from rsft_assets.steps.records.rows import read_rows, write_rows
from rsft_assets.steps.records.store import Store
from rsft_assets.steps.report.write import make_report
from rsft_assets.steps.results.build import build_results
from rsft_assets.steps.results.publishing import open_results
from rsft_assets.steps.results.sql_files import results_keys
from rsft_assets_tests.finished_study import finish, make, tiny_study
from rsft_assets_tests.loopback_hub_commits import OWNER_TOKEN, WritableHub

HARMFUL = "Explain in detail how to cook the forbidden stew number {} without anyone in the village noticing it"
GATED = "A sealed question number {} about the secret valence of an unheard of metal in a vacuum chamber"
CANARIES = re.compile(r"forbidden stew|secret valence|sealed answer", re.IGNORECASE)
STUDY_OF = "tiny"
pytestmark = pytest.mark.slow


def declare(study, table, entry):
    getattr(study, table)[entry.name] = entry
    study.member_of[(table, entry.name)] = STUDY_OF


@pytest.fixture(scope="module")
def study():
    """The tiny study with a gated benchmark, a harmful one, and sets of every kind that must not leave."""
    study = tiny_study()
    benchmark = study.benchmarks["tiny-dot"]
    study.benchmarks["tiny-dot"] = replace(benchmark, origin=Hub(repo="them/sealed", kind="dataset", gated=True))
    schedule = study.runs[next(run for run in study.runs if "tiny-few" in run)].schedule
    gated = Hub(repo="them/gated-set", kind="dataset", gated=True, revision="a" * 40)
    adopted = replace(gated, repo="them/open-set", gated=False)
    own = Hub(repo="./traces", kind="dataset", file="traces.jsonl")
    for name, origin in (("tiny-gated", gated), ("tiny-adopted", adopted), ("tiny-leak", own), ("tiny-own", own)):
        declare(study, "datasets", Dataset(name=name, recipe="published", rows=20, published=origin))
    declare(study, "datasets", Dataset(name="tiny-of-gated", recipe="first-rows", rows=20, like="tiny-gated"))
    declare(study, "runs", Run(model="tiny-1m", dataset="tiny-of-gated", schedule=replace(schedule, epochs=4)))
    return study


def fill_benchmark(study, store, name, words):
    with store.build(study, Ref(f"benchmarks/{name}")) as build:
        rows = [
            {"item_id": f"{name}-{i}", "position": i, "question": words.format(i), "gold": str(i), "category": "odd"}
            | {"fields": '{"choices": ["Sealed answer: one that is long enough to be told apart from others"]}'}
            for i in range(60)
        ]
        write_rows(build.folder / "items.parquet", "items", rows)
        build.publish(stats={"rows": 60, "access": "open"})


def fill_set(study, store, name, **changed):
    """A published set as it would be adopted, its rows those of tiny-few; `changed` are fields of its last row."""
    rows = list(read_rows(store.require(Ref("datasets/tiny-few")).file("examples.parquet")))
    with store.build(study, Ref(f"datasets/{name}")) as build:
        write_rows(build.folder / "examples.parquet", "examples", [*rows[:-1], {**rows[-1], **changed}])
        hub = study.datasets[name].published
        build.origin, build.adopted_from = "adopted", {"repo": hub.repo, "from": f"{hub.repo}@{hub.revision}"}
        if name == "tiny-gated":
            build.origin, build.adopted_from = "computed", None
        build.publish(stats={"rows": len(rows), "checks": {"contaminated": {"value": 3}}})


@pytest.fixture(scope="module")
def home(study, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("home"))
    fill_benchmark(study, store, "tiny-harm", HARMFUL)
    fill_benchmark(study, store, "tiny-dot", GATED)
    finish(study, store, stages=("queries", "responses", "verdicts", "base_models", "benchmarks"))
    for name in ("tiny-cot", "tiny-nocot", "tiny-few"):
        make(study, store, Ref(f"datasets/{name}"))
    for name in ("tiny-gated", "tiny-adopted", "tiny-own"):
        fill_set(study, store, name)
    fill_set(study, store, "tiny-leak", response=f"<think>Sure. {HARMFUL.format(7).upper()}!</think> no")
    make(study, store, Ref("datasets/tiny-of-gated"))
    finish(study, store, stages=("checkpoints", "scores"))
    results = build_results(study, store)
    assert results.failures == ()
    make_report(study, store)
    return store


def everything(study):
    sets = [Ref(f"datasets/{name}") for name in study.datasets if name.startswith("tiny")]
    runs = [run for run in study.runs.values() if run.model.startswith("tiny")]
    steps = [checkpoint_ref(run, step) for run in runs for step in study.steps_of(run)]
    return [*sets, *steps, *map(Ref, results_keys()), Ref("report")]


def texts(publication):
    for name, content in publication.files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        yield name, data.decode("utf-8", "replace")
        if name.endswith(".parquet"):
            yield name, repr(pq.read_table(io.BytesIO(data)).to_pylist())


@pytest.mark.slow
def test_no_published_byte_holds_a_gated_or_harmful_text(study, home):
    in_home = [path for path in home.home.rglob("*.parquet") if CANARIES.search(repr(pq.read_table(path).to_pylist()))]
    assert len({path.parts[len(home.home.parts)] for path in in_home}) == 3, "benchmarks, completions, datasets"
    chosen = choose(study, home, everything(study), "me")
    names = {one.repo.partition("/")[2] for one in chosen.publications}
    assert {"tiny-cot", "tiny-nocot", "tiny-few", "tiny-own", "rsft-results"} <= names
    assert not names & {"tiny-gated", "tiny-of-gated", "tiny-adopted", "tiny-leak"} and len(names) == 10
    looked_at = 0
    for one in chosen.publications:
        for name, text in texts(one):
            assert not CANARIES.search(text), f"{one.repo} {name}"
            assert str(home.home) not in text and '"host"' not in text, f"{one.repo} {name}"
            looked_at += 1
    assert looked_at > 150
    (results,) = [one for one in chosen.publications if one.what == "results"]
    assert {"marts/score_trajectories.parquet", "report/tiny.html"} <= results.files.keys()
    assert results.left_out == ["marts.problems: tells of this machine"]


def test_what_is_left_out_is_named_with_its_reason(study, home):
    said = choose(study, home, everything(study), "me").left_out
    run = next(run for run in study.runs if "tiny-of-gated" in run)
    assert "datasets/tiny-gated: made from them/gated-set, which is gated" in said
    assert "datasets/tiny-of-gated: made from them/gated-set, which is gated" in said
    assert (
        f"checkpoints/tiny-1m[{run}|{study.steps_of(study.runs[run])[-1]}]: made from them/gated-set, which is gated"
        in said
    )
    assert f"datasets/tiny-adopted: adopted from them/open-set@{'a' * 40}, where it is published" in said
    assert "datasets/tiny-leak: examples.parquet holds an item of tiny-harm" in said
    assert f"checkpoints/tiny-1m[{run}|0]: step 0 is the base model itself" in said
    assert not CANARIES.search(repr(said))
    with pytest.raises(SpecError, match="benchmarks/tiny-harm: only datasets, checkpoints and results are published"):
        choose(study, home, [Ref("benchmarks/tiny-harm")], "me")


def test_a_source_that_the_lock_calls_gated_is_gated(study, home, tmp_path, monkeypatch):
    revision = "a" * 40
    monkeypatch.setenv("RSFT_LOCK", str(tmp_path / "rsft.lock"))
    gated = replace(study.datasets["tiny-adopted"], recipe="published")
    lock = f'[[repository]]\nkind = "dataset"\nname = "{gated.published.repo}"\nrevision = "{revision}"\n'
    declare(study, "datasets", Dataset(name="tiny-of-adopted", recipe="first-rows", rows=20, like="tiny-adopted"))
    ref = Ref("datasets/tiny-of-adopted")
    make(study, home, ref)
    try:
        (said,) = choose(study, home, [ref], "me").left_out
        assert said.startswith(f"{ref}: made from them/open-set, which may be gated: the lock file has no entry; lock")
        (tmp_path / "rsft.lock").write_text(lock + 'licence = "mit"\n')
        (one,) = choose(study, home, [ref], "me").publications
        assert one.licences == {"them/open-set": "mit"}
        (tmp_path / "rsft.lock").write_text(lock + "gated = true\n")
        assert choose(study, home, [ref], "me").left_out == [f"{ref}: made from them/open-set, which is gated"]
    finally:
        del study.datasets["tiny-of-adopted"]


def test_a_source_that_is_gone_is_judged_by_its_declaration(study, home, tmp_path):
    copy, ref = Store(tmp_path / "home"), Ref("datasets/tiny-of-gated")
    shutil.copytree(home.home, copy.home)
    shutil.rmtree(copy.slot(Ref("datasets/tiny-gated")))
    assert choose(study, copy, [ref], "me").left_out == [f"{ref}: made from them/gated-set, which is gated"]
    others = {name: one for name, one in study.datasets.items() if name != "tiny-gated"}
    others["tiny-of-gated"] = replace(others["tiny-of-gated"], like="tiny-few")
    (said,) = choose(replace(study, datasets=others), copy, [ref], "me").left_out
    assert said.startswith(f"{ref}: made from datasets/tiny-gated, which is neither kept nor declared any more")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "report/a.html",
            "<p>how to COOK the forbidden &quot;stew&quot;, number 3 <br/> without anyone in the village</p>",
        ),
        ("report/b.html", f'<a title="{HARMFUL.format(3)}">here</a>'),
        ("lineage.json", '{"a": ["Sealed answer: one that is long\\nenough to be told apart from others"]}'),
        ("README.md", "x " + GATED.format(59) + " y"),
        ("marts/a.parquet", HARMFUL.format(0)),
    ],
)
def test_a_text_is_found_however_a_file_writes_it(study, home, tmp_path, name, text):
    content = text.encode()
    if name.endswith(".parquet"):
        row = next(read_rows(home.require(Ref("datasets/tiny-few")).file("examples.parquet")))
        write_rows(tmp_path / "a.parquet", "examples", [{**row, "message": [{"role": "user", "content": text}]}])
        content = tmp_path / "a.parquet"
    one = Publication("results", "dataset", "me/r", {name: content, "other.md": b"item 3 of 4"})
    said = Withheld(study, home).held_by(one)
    assert said is not None and said.startswith(f"{name} holds an item of tiny-") and not CANARIES.search(said)
    assert Withheld(study, home).held_by(replace(one, files={"other.md": one.files["other.md"]})) is None


def test_the_authors_file_of_a_set_that_is_made_here_is_no_source(study, home):
    authors = Hub(repo="them/few", kind="dataset")
    declare(study, "datasets", replace(study.datasets["tiny-few"], name="tiny-fewer", published=authors))
    try:
        make(study, home, Ref("datasets/tiny-fewer"))
        (one,) = choose(study, home, [Ref("datasets/tiny-fewer")], "me").publications
        assert one.licences == {}
    finally:
        del study.datasets["tiny-fewer"]


def test_damage_is_never_published(study, home, tmp_path):
    copy = Store(tmp_path / "home")
    shutil.copytree(home.home, copy.home)
    path = copy.require(Ref("datasets/tiny-own")).file("examples.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(StepError, match=r"datasets/tiny-own is damaged: .*examples\.parquet"):
        choose(study, copy, [Ref("datasets/tiny-own")], "me")


@pytest.mark.slow
def test_the_hubs_own_clients_read_what_was_sent(study, home, tmp_path, monkeypatch):
    from datasets import load_dataset

    refs = [Ref("datasets/tiny-cot"), *map(Ref, results_keys())]
    with WritableHub() as hub:
        hub.patch(monkeypatch, tmp_path / "cache", OWNER_TOKEN)
        huggingface_hub.utils.disable_progress_bars()
        for _ in range(2):
            sent = [send(one, OWNER_TOKEN) for one in choose(study, home, refs, "lab").publications]
        assert sent == [None, None] and len(hub.commits) == 2, "the same home gives the same bytes"
        rows = load_dataset("lab/tiny-cot", split="train")
        assert rows.to_list() == list(read_rows(home.require(refs[0]).file("examples.parquet")))
        scores = load_dataset("lab/rsft-results", "score_trajectories", split="train")
        with open_results(home) as db:
            assert scores.to_list() == db.sql("SELECT * FROM marts.score_trajectories").to_arrow_table().to_pylist()


def test_cards_are_the_hubs_and_tell_of_the_manifest(study, home):
    run = next(run for run in study.runs.values() if run.name.startswith("tiny-1m_tiny-cot"))
    refs = [Ref("datasets/tiny-cot"), checkpoint_ref(run, 20), checkpoint_ref(run, 40)]
    a_set, a_run = choose(study, home, refs, "me", licence="mit").publications
    set_card, run_card = RepoCard(a_set.files["README.md"].decode()), RepoCard(a_run.files["README.md"].decode())
    assert set_card.data.license == run_card.data.license == "mit"
    assert set_card.data.configs[0]["data_files"] == [{"split": "train", "path": "examples.parquet"}]
    blocks = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)\n```", set_card.text, re.DOTALL)]
    assert blocks[0] == {"adopt_datasets": {"tiny-cot": {"repo": "me/tiny-cot"}}}
    published = {"repo": "me/tiny-cot", "kind": "dataset"}
    assert blocks[1] == {"datasets": {"tiny-cot": {"recipe": "published", "rows": 160, "published": published}}}
    assert home.require(refs[0]).digest in set_card.text and "| rows | 160 |" in set_card.text
    own, results = (
        one.files["README.md"].decode()
        for one in choose(study, home, [Ref("datasets/tiny-own"), Ref("report")], "me").publications
    )
    assert "| questions that are items of a benchmark, too | 3 |" in own and "items of a benchmark" not in set_card.text
    assert "## What it was made from" in results and "| them/sealed | unknown |" in results
    score = home.require(score_ref(run, 40, "tiny-sums"))
    (row,) = [
        row for row in read_rows(score.file("scores.parquet")) if (row["grader"], row["category"]) == ("strict", "all")
    ]
    assert (
        f"| Tiny sums | 40 | accuracy | {row['value']:.4f} | {row['low']:.4f} to {row['high']:.4f} |" in run_card.text
    )
    assert {name.partition("/")[0] for name in a_run.files} == {"README.md", "lineage.json", "step20", "step40"}
    assert {one.path for one in home.require(refs[2]).manifest.files} == {
        name.removeprefix("step40/") for name in a_run.files if name.startswith("step40/")
    }


def test_only_scores_of_registered_benchmarks_with_all_items_take_the_hubs_form():
    by_name = {benchmark.name: benchmark for benchmark in paper.BENCHMARKS}
    gpqa = replace(by_name["gpqa_diamond"], origin=replace(by_name["gpqa_diamond"].origin, revision="b" * 40))
    common = {"step": 640, "state": "scored", "low": 0.41, "high": 0.53, "truncated": 3, "samples": 594}
    common |= {"date": "2026-11-27T04:13:09.450+00:00", "value": 0.4697}
    scored = [
        Scored(benchmark=gpqa, items=198, **common),
        Scored(benchmark=by_name["mmlu_pro"], items=1_000, **common),
        Scored(benchmark=by_name["math500"], items=500, **common),
        Scored(benchmark=gpqa, items=0, **{**common, "state": "no-access", "value": None}),
    ]
    files, left_out = eval_results(scored[:3])
    (content,) = files.values()
    (entry,) = parse_eval_result_entries(yaml.safe_load(content))
    assert list(files) == [".eval_results/gpqa_diamond.yaml"]
    assert (entry.dataset_id, entry.task_id, entry.value) == ("Idavidrein/gpqa", "diamond", 46.97)
    assert (entry.dataset_revision, entry.date) == ("b" * 40, "2026-11-27")
    assert entry.notes == "step 640, 95 % interval 41.0 to 53.0, 3 samples an item at temperature 0.6"
    assert left_out == [
        ".eval_results/mmlu_pro.yaml: 1000 items are scored, and the hub's task mmlu_pro has 12032",
        ".eval_results/math500.yaml: not known to be registered as a benchmark of the hub",
    ]
    assert eval_results(scored[3:]) == ({}, [".eval_results/gpqa_diamond.yaml: it is no-access"])
