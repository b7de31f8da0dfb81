"""README's paper command as printed, from an empty home and an empty lock, against a hub on loopback.

The hub holds small repositories under their real names, laid out as their publishers do. The study file is README's,
followed by what is small here: item counts, rows, model sizes, and the hash of a small set.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from rsft_assets.specs.lock import PAPER_LOCK, read_lock
from rsft_assets.steps.base_models.tokenizer import build_tokenizer
from rsft_assets_tests.loopback_hub import LoopbackHub
from rsft_assets_tests.steps.checkpoints.tiny import tiny_model
from rsft_assets_tests.steps.data_study import mirror_json_lines, mirror_parquet
from rsft_assets_tests.steps.published_layouts import LAYOUTS

README = Path(__file__).parent.parent.parent / "README.md"
BASE, AUTHORS_RUN = "Qwen/Qwen3-1.7B-Base", "jasonrqh/Qwen3-1.7B_Math-CoT-20k_lr5e-5_ep8_bs256"
COT, NOCOT = "jasonrqh/Math-CoT-20k", "jasonrqh/Math-NoCoT-20k"
MATH500, GATED = "HuggingFaceH4/MATH-500", ("Idavidrein/gpqa", "LLM-Tuning-Safety/HEx-PHI")
RUNS = [f"qwen3-1.7b_{name}-20k_lr5e-5_ep8_bs256" for name in ("math-cot", "math-nocot")]
ROWS, STEPS, ITEMS = 1_280, (10, 20, 40), 24
"""Five batches an epoch for eight epochs."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not README.exists(), reason="the README is only in a checkout"),
]


def model_files(folder, seed):
    tokenizer = build_tokenizer(folder)
    model = tiny_model(seed, len(tokenizer))
    model.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}, sum(p.numel() for p in model.parameters())


def set_rows(response):
    for n in range(ROWS):
        question = f"What is {n} plus 1?"
        message = [{"role": "user", "content": question}]
        text = response.replace("N", str(n + 1))
        yield {
            **{"data_source": "math", "question": question, "answer": str(n + 1), "message": message},
            **{"response": text, "response_length": len(text), "advantage": 1.0},
        }


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder, known = tmp_path_factory.mktemp("hub"), read_lock(PAPER_LOCK)
    with LoopbackHub() as hub:
        for lay_out, _ in LAYOUTS.values():
            lay_out(folder / "sets")
        sums = [{"problem": f"What is ${n} + {n}$?", "answer": str(2 * n)} for n in range(ITEMS)]
        mirror_json_lines(folder / "sets", MATH500, "test.jsonl", sums)
        thought = list(set_rows("<think>\nOne more.\n</think>\n\n\\boxed{N}"))
        mirror_parquet(folder / "sets", COT, "Math-CoT-20k.parquet", thought)
        mirror_parquet(folder / "sets", NOCOT, "data/train-00000-of-00001.parquet", list(set_rows("\\boxed{N}")))
        hub.mirror(folder / "sets")
        for name in GATED:
            hub.repositories[("dataset", name)].gated = True
        base, hub.parameters = model_files(folder / "base", 1)
        hub.commit("model", BASE, {**base, "README.md": b"A base model.\n"}, revision=known[("model", BASE)].revision)
        models = {step: model_files(folder / f"step{step}", 1 + step)[0] for step in STEPS}
        steps = {f"step{step}/{name}": data for step, files in models.items() for name, data in files.items()}
        hub.commit("model", AUTHORS_RUN, steps, revision=known[("model", AUTHORS_RUN)].revision)
        yield hub


def small(hub):
    """What a study file of this hub says besides."""
    cot = hub.repositories[("dataset", COT)]
    sha256 = hashlib.sha256(cot.commits[cot.head]["Math-CoT-20k.parquet"]).hexdigest()
    counts = {**{name: items for name, (_, items) in LAYOUTS.items()}, "math500": ITEMS}
    tables = {
        'adopt_datasets."math-cot-20k"': {"revision": f'"{cot.head}"', "sha256": f'"{sha256}"'},
        'override.models."qwen3-1.7b"': {"parameters": hub.parameters, "needs_gpu": "false"},
        **{f'override.datasets."{name}"': {"rows": ROWS} for name in ("math-cot-20k", "math-nocot-20k")},
        **{f"override.benchmarks.{name}": {"items": items} for name, items in counts.items()},
    }
    tables["override.benchmarks.math500"]["sampling"] = "{ n = 1, max_tokens = 8 }"
    lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in fields.items()) for name, fields in tables.items()]
    return "\n" + "\n".join(lines)


class Reader:
    """A person in an empty folder, who types what README prints."""

    def __init__(self, folder, hub):
        folder.mkdir()
        self.folder, self.hub, self.lock = folder, hub, folder / "rsft.lock"
        (folder / "placement.toml").write_text('[default]\ndevice = "cpu"\nengine = "transformers"\n')

    def types(self, command, status=0):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RSFT_", "HF_"))}
        own = {"RSFT_PLACEMENT": "placement.toml", "RSFT_STUDY": "paper.toml", "COLUMNS": "200"}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**kept, **own, **self.hub.environment(self.folder / "cache"), "PATH": path}
        done = subprocess.run(
            ["bash", "-ec", command], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == status, done.stderr + done.stdout
        return done.stdout + done.stderr

    def identities(self):
        """(asset, partition) -> fingerprint and digest of what is in use, but for what tables and figures are."""
        found = {}
        for pointer in (self.folder / ".rsft").rglob("current.json"):
            made = json.loads(
                (pointer.parent / json.loads(pointer.read_text())["output"] / "manifest.json").read_text()
            )
            if made["inputs"] or made["asset"].split("/")[0] not in ("figures", "report"):
                found[made["asset"], made["partition"]] = made["fingerprint"], made["digest"]
        return found

    def gaps(self, step):
        """Run -> class of its gap on MATH500 at a step."""
        with duckdb.connect(str(self.folder / ".rsft" / "results.duckdb"), read_only=True) as db:
            query = "SELECT run, class FROM marts.reproduction_gap WHERE ours IS NOT NULL AND step = ? ORDER BY run"
            return dict(db.execute(query, [step]).fetchall())


def test_the_paper_command(hub, tmp_path):
    write, command = re.search(r"```sh\n(cat > paper\.toml.*?\nEND\n)(.*?)```", README.read_text(), re.DOTALL).groups()
    (selection,) = re.findall(r"^rsft materialize (.*)$", command, re.MULTILINE)
    first = Reader(tmp_path / "first", hub)
    first.types(write)
    with (first.folder / "paper.toml").open("a") as file:
        file.write(small(hub))

    names = {name for _, name in hub.repositories} - {NOCOT}
    said = first.types(f"rsft plan {selection}")
    assert said.splitlines()[1].startswith("blocked: 10 repositories have no revision: ")
    assert all(f"blocked: {name} is gated: ask for access at {hub.url}/datasets/{name}" in said for name in GATED)
    said = first.types(f"rsft materialize {selection} --frozen", status=1)
    assert said.count("\n") == 1 and all(name in said for name in names), "everything in one message"
    assert not first.lock.exists()

    said = first.types(command)
    locked = read_lock(first.lock)
    assert {name for _, name in locked} == names and all(entry.files for entry in locked.values())
    assert all(f"locked {kind} {name} at {entry.revision}" in said for (kind, name), entry in locked.items())
    assert "done   benchmarks/math500: 1 made" in said and "done   scores/qwen3-1.7b: 4 made" in said
    assert "benchmarks/gpqa_diamond: 1 no access" in said and "benchmarks/hex_phi: 1 no access" in said
    assert first.gaps(10) == {RUNS[0]: "harness"}, "the authors' own checkpoint"
    (report,) = (first.folder / ".rsft" / "report").glob("*/paper.html")
    assert f"No access: gpqa_diamond ({GATED[0]}@" in report.read_text()

    # Another folder with this lock alone; besides, a run that is trained here on the authors' own set.
    second = Reader(tmp_path / "second", hub)
    study = (first.folder / "paper.toml").read_text().replace('"qwen3-1.7b_*"', f'"{RUNS[0]}"')
    (second.folder / "paper.toml").write_text(study)
    second.lock.write_text(first.lock.read_text())
    both = selection.replace("report", "results") + f" --run {RUNS[1]} --step 10"
    said = second.types(f"rsft materialize {both} --frozen", status=1)
    assert f"frozen: 1 repository has no revision: {NOCOT}; resolve: rsft lock" in said
    second.types("rsft lock datasets/math-nocot-20k")
    second.types(f"rsft materialize {both} --frozen")
    here, there = first.identities(), second.identities()
    shared = here.keys() & there.keys()
    assert {asset.split("/")[0] for asset, _ in shared} == {
        *("benchmarks", "datasets", "base_models", "checkpoints", "scores")
    }
    assert {key: here[key] for key in shared} == {key: there[key] for key in shared}
    assert second.gaps(10) == {RUNS[0]: "harness", RUNS[1]: "training or precision"}
