"""Generation as a program, killed at random: procedure, engine processes, and vLLM with a real tokenizer."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rsft_assets.steps.responses.shard import JOURNAL

pytestmark = pytest.mark.slow
REAL_TOKENIZER = Path(os.environ.get("RSFT_TEST_DATA", "../shared/data")) / "tokenizer_qwen3"
PROCEDURAL = '{ name = "procedural", origin = { name = "worked-steps", seed = 4, count = 1 } }'
STUDY_FILE = """
extends = "nano"
[sources.many]
kind = "math"
instruction = ""
origin = {{ name = "sums", seed = 3, count = {queries} }}
[pools.many]
source = "many"
teacher = {teacher}
sampling = {{ n = {samples}, max_tokens = {tokens}, seed = 5, top_p = 1.0 }}
"""
# Without top-p: on a CPU vLLM sorts the whole vocabulary for it, for each token.


class Steps:
    """Step programs over one home, with a study file of their own."""

    def __init__(self, folder: Path, name: str, study: str, placement: str = "") -> None:
        self.home = folder / name
        (folder / "study.toml").write_text(study)
        (folder / "placement.toml").write_text(placement)
        self.environment = {
            **os.environ,
            "RSFT_HOME": str(self.home),
            "RSFT_STUDY": str(folder / "study.toml"),
            "RSFT_PLACEMENT": str(folder / "placement.toml"),
            "OMP_NUM_THREADS": "1",
        }
        self.log = folder / f"{name}.log"
        assert self.start("queries.fetch", "queries/many").wait() == 0

    def start(self, program="responses.generate", asset="responses/many"):
        command = [sys.executable, "-m", f"rsft_assets.steps.{program}", asset]
        # Not a pipe: whatever a killed step leaves behind would hold it open.
        with self.log.open("w") as log:
            return subprocess.Popen(command, env=self.environment, stderr=log)

    def generate(self, kills, grow):
        """Run until it is done, killed `kills` times, each time after the journal has grown by about `grow` rows."""
        chance = random.Random(1)
        for _ in range(kills):
            process = self.start()
            wanted = self.rows() + chance.randint(1, grow)
            while process.poll() is None and self.rows() < wanted:
                time.sleep(0.005)
            assert process.poll() is None, self.log.read_text()
            self.kill(process)
        assert self.start().wait() == 0, self.log.read_text()
        return self.output()

    def kill(self, process):
        """Only the step itself, as the kernel would; and with it goes everything that it had started."""
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 10
        while (left := _processes_of(self.home)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not left

    def rows(self):
        return sum(path.read_bytes().count(b"\n") for path in self.home.rglob(JOURNAL))

    def output(self):
        (folder,) = {path.parent for path in (self.home / "responses/many/0").glob("*/manifest.json")}
        return json.loads((folder / "manifest.json").read_text()), pq.read_table(
            folder / "responses.parquet"
        ).to_pylist()


def exactly_n_each(rows, queries, samples):
    assert len({row["response_id"] for row in rows}) == len(rows) == queries * samples
    assert set(Counter(row["query_id"] for row in rows).values()) == {samples}


def test_procedure_killed_ends_with_the_same_responses(tmp_path):
    study = STUDY_FILE.format(queries=4_000, teacher=PROCEDURAL, samples=16, tokens=160)
    sound, _ = Steps(tmp_path, "sound", study).generate(kills=0, grow=0)
    killed, rows = Steps(tmp_path, "killed", study).generate(kills=5, grow=8_000)
    exactly_n_each(rows, 4_000, 16)
    assert killed["digest"] == sound["digest"]


@pytest.fixture
def tiny(tmp_path):
    """A teacher of random weights with the nano tokenizer."""
    from rsft_assets.steps.base_models.tokenizer import build_tokenizer

    folder = tmp_path / "tiny"
    return _random_qwen3(folder, build_tokenizer(folder))


def _random_qwen3(folder, tokenizer):
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        **{"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 512},
        **{"tie_word_embeddings": True, "eos_token_id": tokenizer.eos_token_id},
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f'{{ name = "tiny", origin = {{ repo = "{folder}" }} }}'


def test_two_engine_processes_answer_everything_once(tmp_path, tiny):
    study = STUDY_FILE.format(queries=600, teacher=tiny, samples=2, tokens=40)
    steps = Steps(tmp_path, "home", study, '[models.tiny]\ndevice = "cpu"\nengine = "transformers"\nengines = 2\n')
    manifest, rows = steps.generate(kills=1, grow=20)
    exactly_n_each(rows, 600, 2)
    assert manifest["made_by"]["teacher"]["engines"] == 2
    assert all(row["response_tokens"] <= 40 and row["prompt_tokens"] > 5 for row in rows)


def test_a_dead_engine_stops_the_step_and_nothing_is_lost(tmp_path, tiny):
    study = STUDY_FILE.format(queries=400, teacher=tiny, samples=4, tokens=120)
    steps = Steps(tmp_path, "home", study, '[models.tiny]\ndevice = "cpu"\nengine = "transformers"\nengines = 2\n')
    process = steps.start()
    while process.poll() is None and not steps.rows():
        time.sleep(0.05)
    os.kill(_children(process.pid)[-1], signal.SIGKILL)
    assert process.wait() == 1
    assert "died with exit status -9" in steps.log.read_text().splitlines()[-1]
    kept = steps.rows()
    _, rows = steps.generate(kills=0, grow=0)
    exactly_n_each(rows, 400, 4)
    assert kept > 0


def _processes_of(home):
    """Living processes that work for a home, by their environment."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"RSFT_HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
        except OSError:
            continue
    return found


def _children(pid):
    """Engine processes of a step, the youngest last."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and b"spawn_main" in command:
            found.append(int(entry.name))
    return sorted(found)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed")
@pytest.mark.skipif(not REAL_TOKENIZER.is_dir(), reason=f"no tokenizer at RSFT_TEST_DATA: {REAL_TOKENIZER}")
def test_vllm_with_a_real_tokenizer_killed_five_times(tmp_path):
    from transformers import AutoTokenizer

    teacher = _random_qwen3(tmp_path / "tiny", AutoTokenizer.from_pretrained(REAL_TOKENIZER))
    study = STUDY_FILE.format(queries=150, teacher=teacher, samples=8, tokens=24)
    steps = Steps(tmp_path, "home", study, '[models.tiny]\ndevice = "cpu"\nengine = "vllm"\n')
    starting = steps.start()
    while not _children(starting.pid):
        time.sleep(0.02)
    time.sleep(random.Random(2).uniform(0, 5))
    steps.kill(starting)
    assert steps.rows() == 0
    manifest, rows = steps.generate(kills=4, grow=250)
    exactly_n_each(rows, 150, 8)
    assert manifest["made_by"]["teacher"]["engine"] == "vllm"
    assert {row["finish_reason"] for row in rows} <= {"stop", "length"}
