"""`rsft plan` as a person reads it, and a kept plan beside what it took."""

import json

import pytest

from rsft_assets.commands import plan as planning
from rsft_assets.commands.plan import keep_plan, run_last, run_plan_command
from rsft_assets.specs.errors import SpecError, StepError
from rsft_assets.specs.lineage import Ref
from rsft_assets.steps.questions.planning.plan import make_plan
from rsft_assets.steps.questions.planning.selection import Selection, _check
from rsft_assets.steps.records.store import Store
from rsft_assets_tests.finished_study import finish, tiny_study

ALL = ["queries/tiny-*", "responses/tiny-*", "datasets/tiny-*", "checkpoints/tiny-1m", "scores/tiny-1m/*"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("rsft_assets.steps.processes.hardware.gpus", lambda: ())
    for name in ("RSFT_PLACEMENT", "RSFT_JUDGES", "RSFT_STUDY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_plan_of_a_14b_model_needs_no_gpu(home, capsys):
    assert run_plan_command(Selection(("scores/qwen3-14b/*",), upstream=True)) == 0
    said = capsys.readouterr().out
    for words in ("responses/openr1-math_qwen3-32b_n32", "8.45 B a", "GPU-h", "total", "assumed", "H200"):
        assert words in said
    assert said.count("no judge: none is configured for harm") == 1
    whole, *lines = said.splitlines()
    assert whole.startswith("total: 1,") and "GPU-h, " in whole and "tokens generated" in whole
    first, *others = [line for line in lines if line.startswith("blocked: ")]
    assert lines[0] == first and " repositories have no revision: " in first
    assert first.endswith("; resolve: rsft lock 'scores/qwen3-14b/*'")
    assert any('hex_phi will be "not run": no judge for harm' in line for line in others)
    assert any("HEx-PHI is gated: ask for access at https://" in line for line in others)
    assert any("qwen3-32b needs a GPU and" in line for line in others)
    assert not list(home.iterdir()), "a plan writes nothing"


def test_json_says_of_every_figure_what_it_stands_on(home, capsys):
    run_plan_command(Selection(("checkpoints/qwen3-14b",), steps=(10,)), as_json=True)
    said = json.loads(capsys.readouterr().out)
    figures = [value for entry in (*said["batches"], said["total"]) for value in entry.values() if type(value) is dict]
    based = [figure["basis"] for figure in figures if "basis" in figure]
    assert len(based) >= 6 and set(based) <= {"measured", "reference", "assumed"}
    total = said["total"]["trained_tokens"]["value"]
    assert total == pytest.approx(sum(batch["trained_tokens"]["value"] for batch in said["batches"]), rel=1e-5)


def test_what_waits_is_not_counted_and_said(home, capsys):
    run_plan_command(Selection(("scores/qwen3-14b/math500",)))
    said = capsys.readouterr().out
    assert "nothing can run yet" in said and "--upstream" in said


def test_wrong_usage_is_answered_with_the_nearest(home):
    with pytest.raises(SpecError, match="qwen3-14b"):
        run_plan_command(Selection(("scores/qwen3-14/*",)))


def test_no_plan_yet(home):
    with pytest.raises(StepError, match="rsft materialize"):
        run_last(as_json=False)


@pytest.mark.slow
def test_estimate_beside_actual(home, monkeypatch, capsys):
    study, store = tiny_study(), Store(home)
    monkeypatch.setattr(planning, "load_study", lambda: study)
    assert keep_plan(make_plan(study, store, Selection(tuple(ALL), upstream=True)), ALL).startswith("estimated: ")
    finish(study, store)
    assert run_last(as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    for batch in said["batches"]:
        made, expected = batch["actual"]["partitions"], batch["estimate"]["partitions"]
        assert made == (0 if batch["estimate"]["title"].startswith("audits/") else expected)
    assert said["actual"]["disk_bytes"]["basis"] == "measured"
    assert said["estimate"]["trained_tokens"]["value"] > 0
    run_last(as_json=False)
    assert "→" in capsys.readouterr().out


def test_nothing_to_do_keeps_no_plan(home):
    store = Store(home)
    study = tiny_study()
    finish(study, store, stages=("queries",))
    assert keep_plan(make_plan(study, store, Selection(("queries/tiny-sums",))), ["queries/tiny-sums"]) == ""
    assert not (home / "plans").exists()


def test_an_engine_that_is_not_installed_is_said_first(home, monkeypatch, capsys):
    (home / "placement.toml").write_text('[default]\nengine = "vllm"\ndevice = "cpu"\n')
    monkeypatch.setenv("RSFT_PLACEMENT", str(home / "placement.toml"))
    monkeypatch.setattr("rsft_assets.steps.engines.opening._has_vllm", lambda: False)
    asked = Selection(("scores/nano-300k/nano-dot",), steps=(0,))
    assert run_plan_command(asked) == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[1]
        .startswith('blocked: placement asks for engine "vllm", which is not installed; pip')
    )
    monkeypatch.setattr("rsft_assets.steps.engines.opening._has_vllm", lambda: True)
    assert run_plan_command(asked) == 0
    assert "blocked" not in capsys.readouterr().out


def test_a_plan_fits_80_columns(home, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    run_plan_command(Selection(("checkpoints/qwen3-14b", "scores/qwen3-14b/*"), upstream=True))
    _, _, said = capsys.readouterr().out.partition("batch")
    table = said.partition("m measured")[0].splitlines()[2:]
    rows = [line for line in table if line.strip()]
    assert len(rows) > 15 and max(map(len, rows)) <= 80
    assert "…" not in said.partition("at most")[0]
    names = [line.split("  ")[-1].split() for line in rows]
    assert ["responses/openr1-math_qwen3-32b_n32"] in [[name[-1]] for name in names if name]


@pytest.mark.slow
def test_the_last_plan_names_its_batches_in_80_columns(home, monkeypatch, capsys):
    study, store = tiny_study(), Store(home)
    monkeypatch.setattr(planning, "load_study", lambda: study)
    monkeypatch.setenv("COLUMNS", "80")
    keep_plan(make_plan(study, store, Selection(tuple(ALL), upstream=True)), ALL)
    finish(study, store)
    capsys.readouterr()
    run_last(as_json=False)
    said = capsys.readouterr().out
    assert "\ntook:      " in said
    for name in ("queries/tiny-sums", "scores/tiny-1m", "checkpoints/tiny-1m"):
        assert any(name in line and "…" not in line for line in said.splitlines()), name


def test_an_answer_to_all_cells_takes_no_time_that_grows_with_their_square(home):
    study, hashed = tiny_study(), 0

    class Counted(Ref):
        def __hash__(self):
            nonlocal hashed
            hashed += 1
            return super().__hash__()

    refs = [
        Counted(f"scores/tiny-1m/{b.name}", f"{run.name}|{step}")
        for b in study.benchmarks_of("tiny-1m")
        for run in study.runs_of("tiny-1m")
        for step in study.steps_of(run)
    ]
    _check(study, refs, Selection(("*",)))
    assert 0 < hashed <= 4 * len(refs)
