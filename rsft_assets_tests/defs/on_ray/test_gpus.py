"""GPUs of a node, which Ray is told of and which a fake nvidia-smi lists."""

import os
import sys

from rsft_assets.specs.study import load_study
from rsft_assets_tests.defs.on_ray.clusters import NEEDS_RAY, RUN, new_rig, said_until, settings

pytestmark = NEEDS_RAY
MACHINES = """
import os
from pathlib import Path
from rsft_assets.defs.on_ray.launcher import RayLauncher
from rsft_assets.specs.placement import load_placement
there = RayLauncher(load_placement()).capabilities(Path(os.environ["RSFT_HOME"]))
print(there.slots, *there.machines, sep="\\n")
"""


def test_a_gpu_that_is_too_small_or_in_use_is_named_before_anything_starts(tmp_path_factory):
    with new_rig(tmp_path_factory.mktemp("rig")) as rig:
        tool, listed = rig.folder / "bin" / "nvidia-smi", rig.folder / "listed"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\ncase "$1" in *used*) cat {listed};; *) cut -d, -f1,3 {listed};; esac\n')
        tool.chmod(0o755)
        rig.add("cards", cores=1, gpus=1, PATH=f"{tool.parent}:{os.environ['PATH']}")
        run = load_study().runs_of("qwen3-1.7b")[0]
        score = [sys.executable, "-c", RUN, "scores/qwen3-1.7b/math500", "--partition", f"{run.name}|0"]
        environment = settings(rig, "cards", RSFT_STUDY="")
        not_of_ray = "Fake H100, 1, 81559, 81559\n"

        listed.write_text(f"Fake H100, 0, 2048, 0\n{not_of_ray}")
        status, said = rig.run(score, **environment)
        assert status == 1 and "the weights of qwen3-1.7b take 3 GiB, and 1 GPUs of node cards have 2 GiB" in said
        listed.write_text(f"Fake H100, 0, 81559, 60000\n{not_of_ray}")
        status, said = rig.run(score, **environment)
        assert status == 1 and "1 GPUs of the Ray cluster are in use, of which Ray has given 0 to tasks:\n" in said
        assert "cards: GPU 0 (Fake H100, 59 of 80 GiB in use)\nEnd the other programs there, or" in said
        listed.write_text(f"Fake H100, 0, 81559, 500\n{not_of_ray}")
        status, said = rig.run([sys.executable, "-c", MACHINES], **environment)
        assert said.split("\n")[0] == "1" and "cards: 1 core and 1 GPU (1 x Fake H100 80 GiB)" in said
        at_work = rig.start(score, **environment)
        said_until(at_work, "started")
        listed.write_text(f"Fake H100, 0, 81559, 60000\n{not_of_ray}")
        waiting = rig.start(score, **environment)
        # That GPU is in use by the first.
        said_until(waiting, "1 piece waits for 1 core and 1 GPU: all such nodes are in use")
        (rig.folder / "cards" / "go on").touch()
        for command in (at_work, waiting):
            command.communicate(timeout=240)
            assert command.returncode == 0
