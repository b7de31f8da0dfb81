"""What the README names must exist: partitions, assets, files, and its own study file."""

import re
from pathlib import Path

import pytest

from rsft_assets.defs.batches import select
from rsft_assets.specs.lineage import partitions_of
from rsft_assets.specs.study import _load, load_study

README = Path(__file__).parent.parent / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is only in a checkout")


def test_partitions_and_runs_exist():
    text = README.read_text()
    study = load_study()
    known = {p for model in study.models for p in partitions_of(study, f"checkpoints/{model}")}
    named = set(re.findall(r"'([\w.-]+_lr[\w.-]+\|\d+)'", text))
    assert len(named) >= 2
    assert named <= known
    runs = set(re.findall(r"--run '?([\w.-]+_lr[\w.-]+)'?", text))
    assert runs and runs <= set(study.runs)


def test_selections_match_something():
    selections = re.findall(r"rsft materialize '?([^\s']+)'?", README.read_text())
    assert len(selections) >= 4
    for selection in selections:
        assert select(load_study(), [selection])


def test_the_study_file_is_valid(tmp_path):
    (block,) = re.findall(r"```toml\n(# my_study.toml.*?)```", README.read_text(), flags=re.DOTALL)
    (tmp_path / "my_study.toml").write_text(block)
    study = _load.__wrapped__(str(tmp_path / "my_study.toml"))
    assert "my-base-1.7b_math-cot-20k_lr2e-5_ep4_bs128" in study.runs


def test_folders_and_tables_exist():
    text = README.read_text()
    for path in re.findall(r"^(rsft_assets/\w+/|dbt_like_sql/)", text, flags=re.MULTILINE):
        assert (README.parent / path).is_dir()
    for schema, table in re.findall(r"FROM (\w+)\.(\w+)", text):
        assert (README.parent / "dbt_like_sql" / schema / f"{table}.sql").exists()
