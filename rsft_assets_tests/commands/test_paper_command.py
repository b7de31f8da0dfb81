"""README's paper command as printed, from an empty home and an empty lock, against a hub on loopback.

The study file is README's, followed by what is small here.
"""

import re
from pathlib import Path

import pytest

from rsft_assets.specs.lock import read_lock
from rsft_assets_tests.paper_hub import GATED, NOCOT, Reader, paper_hub, small

README = Path(__file__).parent.parent.parent / "README.md"
RUNS = [f"qwen3-1.7b_{name}-20k_lr5e-5_ep8_bs256" for name in ("math-cot", "math-nocot")]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not README.exists(), reason="the README is only in a checkout"),
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with paper_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


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
    assert re.search(r"done   benchmarks: \d+ made, 2 no access", said) and "done   scores/qwen3-1.7b: 4 made" in said
    assert "benchmarks/gpqa_diamond: no access" in said and "benchmarks/hex_phi: no access" in said
    assert first.gaps(10) == {RUNS[0]: "harness"}, "the authors' own checkpoint"
    (report,) = (first.folder / ".rsft" / "report").glob("*/paper.html")
    assert f'No access: <abbr title="gpqa_diamond">GPQA-Diamond</abbr> ({GATED[0]}@' in report.read_text()

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
