"""Titles: what people read in place of names, and nothing else."""

from dataclasses import replace

import pytest

from rsft_assets.specs.errors import SpecError
from rsft_assets.specs.fingerprint import fingerprint
from rsft_assets.specs.lineage import Ref, asset_keys, partitions_of, spec_of
from rsft_assets.specs.study import load_study
from rsft_assets.specs.titles import run_title, titles_of, with_runs, with_words

STUDY = load_study()
OWN = """
extends = "nano"
[schedules.slow]
title = "{schedule}"
lr = 1e-6
epochs = 2
batch_size = 16
[datasets.mine]
title = "{dataset}"
recipe = "first-rows"
rows = 160
like = "nano-cot"
[[runs]]
model = "nano-1m"
dataset = "mine"
schedule = "slow"
"""


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("qwen3-14b_math-cot-20k_lr5e-5_ep8_bs256", "Setting 1, Math-CoT-20k"),
        ("qwen3-14b_math-cot-2.5k_lr5e-5_ep8_bs32", "Setting 2, Math-CoT-2.5k"),
        ("qwen3-14b_math-cot-20k_lr5e-5_ep1_bs32", "Setting 3, Math-CoT-20k"),
        ("nano-300k_nano-cot_lr3e-5_ep8_bs8_seed2", "Setting 1, Nano-CoT, seed 2"),
    ],
)
def test_runs_read_as_the_papers_settings(name, title):
    run = STUDY.runs[name]
    assert run_title(titles_of(STUDY, STUDY.member_of["runs", name]), run) == title


def test_no_two_runs_of_a_study_read_alike():
    for member in ("paper", "nano"):
        titles = with_words(STUDY, with_runs(STUDY, titles_of(STUDY, member)))
        assert len(titles) > 20 and len(set(titles.values())) == len(titles)


def test_legends_say_what_a_setting_is():
    words = with_words(STUDY, titles_of(STUDY, "paper"))
    assert words["lr5e-5_ep8_bs256"] == "Setting 1: 8 epochs, batch 256, rate 5e-5"


def test_a_title_is_not_identity():
    plain = replace(
        STUDY,
        datasets={name: replace(entry, title="") for name, entry in STUDY.datasets.items()},
        runs={name: replace(run, schedule=replace(run.schedule, title="")) for name, run in STUDY.runs.items()},
    )
    refs = [Ref(key, partition) for key in asset_keys(STUDY) for partition in partitions_of(STUDY, key)[:50] or ("",)]
    assert len({ref.stage for ref in refs}) == 9
    assert all(fingerprint(spec_of(plain, ref)) == fingerprint(spec_of(STUDY, ref)) for ref in refs)


def own_study(tmp_path, monkeypatch, **titles):
    path = tmp_path / "own.toml"
    path.write_text(OWN.format(**titles))
    monkeypatch.setenv("RSFT_STUDY", str(path))
    return load_study()


def test_a_study_file_gives_titles(tmp_path, monkeypatch):
    study = own_study(tmp_path, monkeypatch, schedule="Slow", dataset="Mine")
    assert run_title(titles_of(study, "nano"), study.runs["nano-1m_mine_lr1e-6_ep2_bs16"]) == "Slow, Mine"


@pytest.mark.parametrize("titles", [{"schedule": "Setting 1", "dataset": ""}, {"schedule": "", "dataset": "Nano-CoT"}])
def test_a_title_that_is_taken_is_refused(titles, tmp_path, monkeypatch):
    with pytest.raises(SpecError, match=r"field title: both are '(Setting 1|Nano-CoT)'; give each its own"):
        own_study(tmp_path, monkeypatch, **titles)


def test_what_has_no_title_keeps_its_name(tmp_path, monkeypatch):
    study = own_study(tmp_path, monkeypatch, schedule="", dataset="")
    titles = with_words(study, titles_of(study, "nano"))
    assert (titles["mine"], titles["lr1e-6_ep2_bs16"]) == ("mine", "2 epochs, batch 16, rate 1e-6")
