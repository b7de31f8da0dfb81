"""A hub on loopback with small repositories under the names of the paper's, and a person in a folder who types.

    with paper_hub(tmp_path) as hub:
        reader = Reader(tmp_path / "first", hub)
        said = reader.types("rsft plan 'scores/qwen3-1.7b/math500'")

The repositories are laid out as their publishers do. `small(hub)` is what a study file says besides, so that the
paper's 1.7B runs are made on a CPU in a minute: item counts, rows, model sizes, and the hash of a small set.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from rsft_assets.specs.lock import PAPER_LOCK, read_lock
from rsft_assets.steps.base_models.tokenizer import build_tokenizer
from rsft_assets_tests.loopback_hub import LoopbackHub
from rsft_assets_tests.steps.checkpoints.tiny import tiny_model
from rsft_assets_tests.steps.data_study import mirror_json_lines, mirror_parquet
from rsft_assets_tests.steps.published_layouts import LAYOUTS

BASE, AUTHORS_RUN = "Qwen/Qwen3-1.7B-Base", "jasonrqh/Qwen3-1.7B_Math-CoT-20k_lr5e-5_ep8_bs256"
COT, NOCOT = "jasonrqh/Math-CoT-20k", "jasonrqh/Math-NoCoT-20k"
MATH500, GATED = "HuggingFaceH4/MATH-500", ("Idavidrein/gpqa", "LLM-Tuning-Safety/HEx-PHI")
ROWS, STEPS, ITEMS = 1_280, (10, 20, 40), 24
"""Five batches an epoch for eight epochs."""


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


@contextmanager
def paper_hub(folder) -> Iterator[LoopbackHub]:
    known = read_lock(PAPER_LOCK)
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
    for name in ("math500", "mmlu_pro"):
        tables[f"override.benchmarks.{name}"]["sampling"] = "{ n = 1, max_tokens = 8 }"
    lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in fields.items()) for name, fields in tables.items()]
    return "\n" + "\n".join(lines)


class Reader:
    """A person in an empty folder who types commands, with `paper.toml` as the study file."""

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
