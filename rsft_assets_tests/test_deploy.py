"""Files of `rsft_assets/deploy`: locks hold what pyproject.toml asks for, what is named exists, Slurm's script runs.

Images and Kubernetes need what CI lacks; their files are read. Slurm's commands are stood in for, Ray is real.
"""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rsft_assets.specs.placement import read_placements
from rsft_assets_tests.page_commands import DOCS, ROOT, blocks, matching, written

DEPLOY = DOCS.parent / "deploy"
PAGE = (DOCS / "deploy.md").read_text()
COMMANDS = [command for block in blocks(PAGE) for command in block.commands]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, IMAGE = DECLARED["project"], DECLARED["dependency-groups"]["image"]
EXTRAS = {"cpu": ("ifeval", "postgres", "ray", "test"), "gpu": ("gpu", "ifeval", "postgres", "ray", "test")}
SECONDS_TO_SAVE = 300
"""Between the signal to stop and the end."""
pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="the Dockerfile is for a checkout")


def locked(target: str) -> dict[str, set[str]]:
    """The versions of each package in a lock, by its name; several where they differ by Python."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (DEPLOY / f"{target}.lock").read_text(), re.MULTILINE):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions


@pytest.mark.parametrize("target", EXTRAS)
def test_a_lock_has_what_pyproject_asks_for(target):
    versions = locked(target)
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *IMAGE, *(line for extra in EXTRAS[target] for line in extras[extra])]
    left_out = {"torch"} if target == "cpu" else set()
    wrong = []
    for requirement in map(Requirement, asked):
        found = versions.get(canonicalize_name(requirement.name), set())
        if requirement.name not in left_out and not (found and all(map(requirement.specifier.contains, found))):
            wrong.append(f"{requirement}: {found}")
    assert wrong == [], f"the first lines of {target}.lock say how it is made"
    assert left_out.isdisjoint(versions)


@pytest.mark.parametrize("target", EXTRAS)
def test_a_lock_has_a_hash_of_every_package_and_names_no_place(target):
    text = (DEPLOY / f"{target}.lock").read_text()
    packages = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(packages) == sum(map(len, locked(target).values())) > 100
    assert [package for package in packages if "--hash=sha256:" not in package] == []
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)


def test_the_dockerfile_installs_the_extras_of_its_locks():
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
    assert stages.keys() == {"base", "cpu", "gpu"}
    for target, extras in EXTRAS.items():
        assert f"COPY rsft_assets/deploy/{target}.lock" in stages[target]
        assert f"--require-hashes -r /tmp/{target}.lock" in stages[target]
        assert f"-e '.[{','.join(extras)}]'" in stages[target]
        assert f"--extra {' --extra '.join(extras)} " in (DEPLOY / f"{target}.lock").read_text()


def test_docker_commands_and_the_devcontainer_name_what_is_there():
    builds = [shlex.split(command) for command in COMMANDS if command.startswith("docker build")]
    tags = {}
    for words in builds:
        options = dict(zip(words[2:-1:2], words[3:-1:2], strict=True))
        assert (ROOT / options["--file"]).samefile(DEPLOY / "Dockerfile") and words[-1] == "."
        tags[options["--tag"]] = options["--target"]
    assert tags == {"rsft:cpu": "cpu", "rsft:gpu": "gpu"}
    runs = [command for command in COMMANDS if command.startswith("docker run")]
    assert len(runs) == 2 and all(re.search(r" rsft:(c|g)pu rsft (demo|materialize)", run) for run in runs)
    folder = ROOT / ".devcontainer"
    lines = (folder / "devcontainer.json").read_text().splitlines()
    container = json.loads("\n".join(line for line in lines if not line.strip().startswith("//")))
    assert (folder / container["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert (folder / container["build"]["context"]).samefile(ROOT) and container["build"]["target"] == "cpu"


def test_the_manifest_is_of_this_ray_and_shares_one_volume():
    claim, cluster = yaml.safe_load_all((DEPLOY / "raycluster.yaml").read_text())
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert PROJECT["optional-dependencies"]["ray"] == [f"ray=={cluster['spec']['rayVersion']}"]
    head, (workers,) = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]
    for group in (head, workers):
        pod = group["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == SECONDS_TO_SAVE
        (container,) = pod["containers"]
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert container["volumeMounts"] == [{"name": pod["volumes"][0]["name"], "mountPath": "/work"}]
        assert container["image"].endswith("rsft:gpu")
    assert head["rayStartParams"]["num-cpus"] == "0"
    probe = workers["template"]["spec"]["containers"][0]["livenessProbe"]["tcpSocket"]
    assert workers["rayStartParams"]["node-manager-port"] == str(probe["port"])
    secret = head["template"]["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"]
    assert any(command.startswith(f"kubectl create secret generic {secret} ") for command in COMMANDS)
    (applied,) = [command.split()[-1] for command in COMMANDS if command.startswith("kubectl apply")]
    assert (ROOT / applied).samefile(DEPLOY / "raycluster.yaml")
    asked = [command for command in COMMANDS if matching(command, ["*kubectl get*"])]
    assert len(asked) == 1 and f"ray.io/cluster={cluster['metadata']['name']}" in asked[0]


def test_slurm_grants_the_time_that_the_page_promises():
    asked = f"#SBATCH --signal=TERM@{SECONDS_TO_SAVE}"
    assert asked in (DEPLOY / "rsft.sbatch").read_text()
    assert f"`{asked}` in `rsft.sbatch`" in PAGE


def test_placements_of_the_page_are_valid(tmp_path, monkeypatch):
    texts = [text for name, text in map(written, COMMANDS) if name == "placement.toml"]
    found = []
    for text in texts:
        (tmp_path / "placement.toml").write_text(text)
        monkeypatch.setenv("RSFT_PLACEMENT", str(tmp_path / "placement.toml"))
        found.append(read_placements())
    workstation, slurm = found
    assert {place.runs * place.processes for place in workstation.values()} == {workstation[""].engines} == {4}
    assert slurm[""].launcher == "ray" and slurm[""].ray_address == "auto"


def slurm(folder, **programs):
    """Programs that stand in for Slurm's; the environment of a job with them."""
    (folder / "bin").mkdir()
    for name, script in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2"}


def submitted(folder, *words, before=(), **environment):
    """What the script does as a job."""
    script = ["bash", str(DEPLOY / "rsft.sbatch"), *words]
    return subprocess.run(
        [*before, *script],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_job_starts_ray_on_its_nodes_and_the_command_on_the_first(tmp_path):
    said = 'while [ "$1" != sh ]; do echo "$1"; shift; done\nexec "$@"'
    settings = slurm(tmp_path, scontrol="printf 'n1\\nn2\\n'", srun=said, rsft='echo rsft "$@"; exit $STATUS')
    (command,) = [command for command in COMMANDS if command.startswith("sbatch")]
    words = shlex.split(command)
    words = words[words.index("rsft.sbatch") + 1 :]
    for status in (0, 3):
        done = submitted(tmp_path, *words, **settings, STATUS=str(status))
        assert done.returncode == status, done.stderr
        asked = done.stdout.splitlines()
        ray = ["ray", "symmetric-run", "--address=n1:6379", "--min-nodes=2", "--", shlex.join(words).replace("'", "")]
        assert asked[asked.index("ray") :] == ray
    assert not list(tmp_path.glob("*.began"))
    nothing = submitted(tmp_path, **settings)
    assert nothing.returncode == 2 and "write sbatch [OPTIONS] rsft.sbatch COMMAND" in nothing.stderr
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\n")
    silent = submitted(tmp_path, *words, **settings)
    assert silent.returncode == 1 and "Ray did not start; slurm-7.0.out says why" in silent.stderr


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install -e '.[ray]'")
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs util-linux")
@pytest.mark.parametrize("status", [0, 7])
def test_the_command_of_a_job_finds_the_cluster_and_its_status_is_the_jobs(status, tmp_path):
    settings = slurm(tmp_path, scontrol="echo 127.0.0.1", srun='shift 2\nexec "$@"')
    settings |= {"SLURM_JOB_NUM_NODES": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    # A network of its own, and processes: `ray stop` ends every Ray that it sees.
    alone = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--map-root-user"]
    alone += ["sh", "-c", 'ip link set lo up && exec "$@"', "job"]
    code = f"import ray, sys; ray.init('auto'); print('nodes:', len(ray.nodes())); sys.exit({status})"
    # The paths of Ray's sockets must be short.
    with tempfile.TemporaryDirectory() as short:
        done = submitted(tmp_path, sys.executable, "-c", code, before=alone, **settings, RAY_TMPDIR=short)
    assert done.returncode == status and "nodes: 1" in done.stdout, done.stdout + done.stderr
