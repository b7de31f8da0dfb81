"""The owner's command in both spellings, through the real `dagster asset materialize`."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from rsft_assets.commands.owner_selection import rewritten

MODULE = {"DAGSTER_MODULE_NAME": "rsft_assets.definitions"}


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("scores/qwen3-14b/*", 'key:"scores/qwen3-14b/*"'),
        ("scores/qwen2.5-1.5b/*", 'key:"scores/qwen2.5-1.5b/*"'),
        ("results/*", 'key:"results/*"'),
        ("*", "*"),
        ('key:"scores/qwen3-14b/*"', 'key:"scores/qwen3-14b/*"'),
        ("queries/nano-math*", "queries/nano-math*"),
        ("group:nano_data", "group:nano_data"),
        ("++scores/qwen3-14b/math500", "++scores/qwen3-14b/math500"),
    ],
)
def test_only_the_owners_spelling_is_rewritten(typed, read):
    assert rewritten(typed) == read


def test_selections_that_dagster_knows_mean_what_they_meant():
    from rsft_assets.definitions import defs

    graph = defs.resolve_asset_graph()

    def chosen(text):
        return dg.AssetSelection.from_string(text).resolve(graph)

    assert chosen("scores/qwen3-14b/*") == chosen('key:"scores/qwen3-14b/*"') != set()
    assert len(chosen("*")) == len(graph.get_all_asset_keys())
    assert chosen("queries/nano-math+") > chosen("queries/nano-math")


def dagster(home, *words, **settings):
    environment = {**os.environ, "RSFT_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), **settings}
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dagster", "asset", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home, timeout=300)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store in which the queries of the nano study's pool stand."""
    home = tmp_path_factory.mktemp("owner")
    done = dagster(home, "materialize", "-m", "rsft_assets.definitions", "--select", 'key:"queries/nano-*"')
    assert done.returncode == 0, done.stderr[-3_000:]
    return home


POOL = "responses/nano-math_procedural_n4"


@pytest.mark.slow
def test_dagsters_own_spelling_with_a_partition(home):
    done = dagster(
        home, "materialize", "-m", "rsft_assets.definitions", "--select", f'key:"{POOL}"', "--partition", "0"
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert (home / POOL / "0" / "current.json").exists()


@pytest.mark.slow
def test_a_full_name_is_answered_with_dagsters_key(home):
    select = ("materialize", "-m", "rsft_assets.definitions", "--select", "scores/nano-300k/*")
    full, short = "nano-300k_nano-cot_lr3e-5_ep1_bs1", "3e-5_1x1_nano-cot"
    for option, form in (("--partition", "{0}|640"), ("--partition-range", "{0}|0...{0}|640")):
        done = dagster(home, *select, option, form.format(full))
        assert (done.returncode, repr(form.format(short)) in done.stderr) == (2, True), done.stderr[-3_000:]
    for typo in ("3e-5_1x1_nano-kot|640", f"640|{short}", f"{full}|1000"):
        done = dagster(home, *select, "--partition", typo)
        assert (done.returncode, "unknown partition" in done.stderr, "Traceback" in done.stderr) == (2, True, False)
    done = dagster(home, *select, "--partition", f"{short}|640")
    assert (done.returncode, "rsft materialize checkpoints/nano-300k" in done.stderr) == (1, True), done.stderr[-3_000:]


@pytest.mark.slow
def test_the_literal_spelling_selects_the_same(home):
    listed = dagster(home, "list", "--select", "scores/nano-300k/*", **MODULE).stdout.split()
    other = dagster(
        home, "list", "-m", "rsft_assets.definitions", "--select", 'key:"scores/nano-300k/*"'
    ).stdout.split()
    assert listed == other != []


@pytest.mark.slow
def test_the_literal_spelling_without_partitions_says_what_is_outstanding(home):
    done = dagster(home, "materialize", "--select", "scores/nano-300k/*", **MODULE)
    assert done.returncode == 1
    assert "wait for inputs that do not exist yet" in done.stderr
    assert "rsft materialize checkpoints/nano-300k" in done.stderr


@pytest.mark.slow
def test_without_partitions_all_that_is_outstanding_is_made(home):
    done = dagster(home, "materialize", "--select", POOL, **MODULE)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert all((home / POOL / shard / "current.json").exists() for shard in ("0", "1"))


@pytest.mark.slow
def test_an_unknown_model_gets_the_nearest_names(home):
    done = dagster(home, "materialize", "--select", "scores/qwen3-14/*", **MODULE)
    assert done.returncode == 2
    assert "qwen3-14b" in done.stderr


@pytest.mark.slow
def test_a_model_of_the_paper_is_refused_before_any_work_without_a_gpu(home):
    done = dagster(
        home, "materialize", "--select", "scores/qwen3-14b/*", DAGSTER_MODULE_NAME="rsft_assets.definitions", PATH=""
    )
    assert done.returncode == 1
    assert "28 GiB of GPU memory" in done.stderr
    assert "rsft demo" in done.stderr
