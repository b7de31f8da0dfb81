"""The `rsft` command as a person types it: exit status, messages, JSON."""

import errno
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from rsft_assets.commands import cli
from rsft_assets.specs.errors import lost_home

DEAD_MOUNT = """
import ctypes, os, sys
place, *command = sys.argv[1:]
server = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
assert ctypes.CDLL(None).mount(b"gone", place.encode(), b"fuse", 0, options.encode()) == 0
os.close(server)
os.execv(command[0], command)
"""
"""A mount whose serving process has ended."""


def rsft(home, *words, **settings):
    environment = {**os.environ, "RSFT_HOME": str(home), **settings}
    environment.pop("DAGSTER_HOME", None)
    command = [sys.executable, "-m", "rsft_assets.commands.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("materialize",), 2, "SELECTION"),
        (("materialize", "scores/nano-1n/*"), 2, "did you mean nano-1m"),
        (("materialize", "checkpoints/nano-1m", "--run", "nano-1m_nano-cto*"), 2, "unknown run"),
        (("materialize", "checkpoints/nano-1m", "--step", "7"), 2, "no selected run keeps step 7"),
        (("trace", "scores/nano-1n/nano-dot"), 2, "nano-1m"),
        (("nothing",), 2, "No such command"),
    ],
)
def test_wrong_usage_is_status_2_with_a_remedy(tmp_path, words, status, said):
    done = rsft(tmp_path, *words)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (status, True, False), done.stderr


def test_a_home_that_cannot_be_written_is_status_1(tmp_path):
    (tmp_path / "file").write_text("")
    done = rsft(tmp_path / "file", "materialize", "queries/nano-math")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_is_a_loop_of_links_is_status_1(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    done = rsft(tmp_path / "loop", "materialize", "queries/nano-math")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs /dev/fuse")
@pytest.mark.parametrize(
    "words",
    [
        ("rsft_assets.commands.cli", "materialize", "queries/nano-math"),
        ("rsft_assets.steps.queries.fetch", "queries/nano-math"),
    ],
)
def test_a_home_whose_mount_is_dead_is_named_with_the_remedy(tmp_path, words):
    command = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", DEAD_MOUNT, str(tmp_path)]
    command += [sys.executable, "-m", *words]
    environment = {**os.environ, "RSFT_HOME": str(tmp_path)}
    environment.pop("DAGSTER_HOME", None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert f"the file system of RSFT_HOME={tmp_path} has failed: mount it again, then run" in done.stderr


def test_only_an_error_of_the_home_is_told_as_a_home_that_has_failed(tmp_path):
    told = f"Input/output error: {tmp_path}/a; the file system of RSFT_HOME={tmp_path} has failed"
    assert lost_home(tmp_path, OSError(errno.EIO, "Input/output error", f"{tmp_path}/a")).startswith(told)
    for other in ("/dev/tty", None):
        assert lost_home(tmp_path, OSError(errno.EIO, "Input/output error", other)) == ""
    assert lost_home(tmp_path, ValueError("no file at all")) == ""


@pytest.mark.parametrize("words", [("materialize", "queries/nano-math"), ("doctor",)])
def test_a_deleted_working_directory_is_named(tmp_path, words):
    gone = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && "
    command = f"unset RSFT_HOME; {gone} {sys.executable} -m rsft_assets.commands.cli {' '.join(words)}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert "rsft: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_no_failure(tmp_path, closed):
    command = f"{sys.executable} -m rsft_assets.commands.cli materialize queries/nano-math {closed}"
    environment = {**os.environ, "RSFT_HOME": str(tmp_path)}
    environment.pop("DAGSTER_HOME", None)
    assert subprocess.run(["bash", "-c", command], env=environment, timeout=300).returncode == 0
    assert len(list(tmp_path.glob("queries/nano-math/*/queries.parquet"))) == 1


def test_a_broken_study_file_is_status_2(tmp_path):
    (tmp_path / "own.toml").write_text("[models.x]\nfamily = 'qwen9'\n")
    done = rsft(tmp_path / "home", "materialize", "queries/nano-math", RSFT_STUDY=str(tmp_path / "own.toml"))
    assert done.returncode == 2
    assert "qwen9" in done.stderr and "qwen3" in done.stderr


@pytest.fixture
def rsft_here(tmp_path, monkeypatch):
    """The command in this process, which has Dagster loaded."""
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))

    def run(*words):
        # A command before this one set it.
        monkeypatch.setenv("DAGSTER_HOME", "")
        return CliRunner().invoke(cli.rsft, words)

    return run


@pytest.mark.slow
def test_make_keep_damage_and_mend(tmp_path, rsft_here):
    made = rsft(tmp_path, "materialize", "queries/nano-math", "--json")
    assert json.loads(made.stdout)["batches"][0]["recorded"] == {"made": 1}, made.stderr
    kept = rsft_here("materialize", "queries/nano-math", "--json")
    assert json.loads(kept.stdout)["batches"][0]["recorded"] == {"kept": 1}

    (file,) = tmp_path.glob("queries/nano-math/*/queries.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    found = rsft_here("doctor", "--content", "--json")
    assert found.exit_code == 1
    assert any(f["state"] == "problem" and "queries.parquet" in f["words"] for f in json.loads(found.stdout))
    (manifest,) = tmp_path.glob("queries/nano-math/*/manifest.json")
    manifest.write_text("{")
    waits = rsft_here("materialize", "responses/nano-*", "--json")
    assert (waits.exit_code, f"{manifest}: damaged" in waits.stderr) == (1, True), waits.stderr
    assert rsft_here("materialize", "queries/nano-math", "--force").exit_code == 0
    assert rsft_here("doctor", "--content").exit_code == 0


@pytest.mark.slow
def test_a_lost_database_is_told_again(tmp_path, rsft_here):
    assert rsft_here("materialize", "queries/nano-math").exit_code == 0
    assert "0 outputs recorded in Dagster, 1 known already" in rsft_here("doctor", "--sync").stdout
    shutil.rmtree(tmp_path / "dagster")
    assert "1 outputs recorded in Dagster, 0 known already" in rsft_here("doctor", "--sync").stdout


@pytest.mark.parametrize("words", [("checkpoints/nano-1m", "{}|40"), ("checkpoints/nano-1m[{}|40]",)])
def test_trace_takes_a_partition_by_dagsters_key(tmp_path, monkeypatch, words):
    monkeypatch.setenv("RSFT_HOME", str(tmp_path))
    short, full = (
        CliRunner().invoke(cli.rsft, ["trace", *(word.format(run) for word in words)])
        for run in ("3e-5s2_8x8_nano-cot", "nano-1m_nano-cot_lr3e-5_ep8_bs8_seed2")
    )
    assert "checkpoints/nano-1m[nano-1m_nano-cot_lr3e-5_ep8_bs8_seed2|40]" in full.output
    assert (short.output, short.exit_code) == (full.output, full.exit_code)


def test_help_is_whole_at_80_columns():
    said = CliRunner().invoke(cli.rsft, ["--help"], terminal_width=80).output
    assert all(name in said for name in cli.rsft.commands)
    assert "..." not in said.replace("[ARGS]...", "")
    assert max(map(len, said.splitlines())) <= 80


def test_version(tmp_path):
    assert CliRunner().invoke(cli.rsft, ["--version"]).output == f"rsft, version {version('rsft_assets')}\n"


def test_stopped_is_status_130(monkeypatch, capsys):
    def stop(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.rsft, "main", stop)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert "run the same command to resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "begun", "offered"),
    [
        (["materialize"], "scores/nano-3", [f"scores/nano-300k{name}/" for name in ("-much", "-plain", "-trace", "")]),
        (["materialize"], "scores/nano-1m/nano-d", ["scores/nano-1m/nano-dot"]),
        (["plan", "checkpoints/nano-1m", "--run"], "3e-5s2_8x8_nano-c", ["3e-5s2_8x8_nano-cot"]),
        (
            ["plan", "checkpoints/nano-300k-plain", "--run"],
            "nano-300k-plain_nano-nocot_lr3e-5_ep8_bs8_s",
            [f"nano-300k-plain_nano-nocot_lr3e-5_ep8_bs8_seed{seed}" for seed in (2, 3)],
        ),
        (["plan", "checkpoints/nano-1m", "--step"], "64", ["640"]),
        (
            ["trace", "scores/nano-1m/nano-dot"],
            "nano-1m_nano-cot_lr3e-5_ep8_bs8|6",
            ["nano-1m_nano-cot_lr3e-5_ep8_bs8|640"],
        ),
    ],
)
def test_completion_offers_names_of_the_study(words, begun, offered):
    completion = ShellComplete(cli.rsft, {}, "rsft", "_RSFT_COMPLETE")
    assert [item.value for item in completion.get_completions(words, begun)] == offered


@pytest.mark.slow
def test_status_says_what_is_done_missing_and_behind(tmp_path, rsft_here):
    rsft_here("materialize", "queries/nano-math")
    said = rsft_here("status", "queries/nano-*", "--json")
    assert json.loads(said.stdout)["cells"] == {"nano queries": {"kept": 1, "missing": 1}}
    shown = rsft_here("status", "queries/nano-*").stdout
    assert "left: 1 parts" in shown and "rsft materialize 'queries/nano-*' --upstream" in shown
    assert "nothing is left to do" in rsft_here("status", "queries/nano-math").stdout
