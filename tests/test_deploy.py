"""The files of deploy/ hold together: one version of Ray, Python and the factory on all nodes, room for the reference
job's workers, no secrets. The Slurm script runs, with an `srun` that starts everything here.

Limitations: no image is built, and nothing is asked of Kubernetes, SkyPilot or Slurm. The fields are those of
their documentation.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.runtime_env import RuntimeEnv

from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from tests.jobs import write_job, write_personas
from tests.pages import ROOT, environment

DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMAGE = f"REGISTRY/persona-factory:{PROJECT['version']}"
PODS = {"headGroupSpec": "ray-head", "workerGroupSpecs": "ray-worker"}
SRUN = """\
#!/bin/sh
while case $1 in -*) true ;; *) false ;; esac; do shift; done
exec "$@"
"""


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def stages(text: str) -> dict[str, str]:
    """The instructions of a Containerfile by stage, each with those of the stages that it starts from."""
    found: dict[str, str] = {}
    for base, name, rest in re.findall(r"^FROM (\S+) AS (\w+)\n(.*?)(?=^FROM|\Z)", text, re.MULTILINE | re.DOTALL):
        found[name] = found.get(base, f"FROM {base}\n") + rest
    return found


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_the_image_installs_its_extra_and_is_not_roots(extra: str) -> None:
    text = stages((DEPLOY / "Containerfile").read_text(encoding="utf-8"))[extra]
    assert extra in PROJECT["optional-dependencies"]
    installed = re.search(r"pip install .*'\.\[([\w,]+)\]'", text)
    assert installed
    assert installed[1].split(",") == [extra, "cluster"]
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "factory"
    user = re.search(r"useradd --uid (\d+)", text)
    assert user
    assert int(user[1]) > 0
    assert re.findall(r"^ENTRYPOINT (.*)", text, re.MULTILINE) == ['["factory"]']
    assert "factory" in PROJECT["scripts"]


def test_what_the_image_copies_is_there() -> None:
    for line in re.findall(r"^COPY (.*) \S+$", (DEPLOY / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split()), line


def pods(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_the_rayjob_has_the_fields_that_kuberay_requires() -> None:
    job = read("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["metadata"]["name"]
    cluster = job["spec"]["rayClusterSpec"]
    for group in cluster["workerGroupSpecs"]:
        assert group["groupName"]
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for pod in pods(cluster):
        assert all(isinstance(value, str) for value in pod["rayStartParams"].values())
        spec = pod["template"]["spec"]
        assert len(spec["containers"]) == 1
        (container,) = spec["containers"]
        assert container["name"]
        assert container["image"] == IMAGE
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert {mount["name"] for mount in container.get("volumeMounts", ())} == {
            volume["name"] for volume in spec.get("volumes", ())
        }


def test_the_rayjob_runs_a_mounted_job_file_on_the_rays_version_of_the_image_and_asks_for_a_token() -> None:
    spec = read("rayjob.yaml")["spec"]
    cluster = spec["rayClusterSpec"]
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert cluster["authOptions"]["mode"] == "token"
    *command, path = shlex.split(spec["entrypoint"])
    assert command == ["factory", "run"]
    (container,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert [str(Path(path).parent)] == [mount["mountPath"] for mount in container["volumeMounts"]]


@pytest.mark.parametrize("pool", ["writer", "scorers"])
def test_a_pod_has_room_for_a_worker_of_the_reference_job(pool: str) -> None:
    groups = {group["groupName"]: group for group in read("rayjob.yaml")["spec"]["rayClusterSpec"]["workerGroupSpecs"]}
    workers = load_job(ROOT / "jobs" / "persona_dialogues.yaml").workers(pool)
    (container,) = groups[pool]["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    assert float(limits["cpu"]) >= workers.cpus
    assert float(limits["nvidia.com/gpu"]) >= workers.gpus
    assert groups[pool]["maxReplicas"] >= workers.max


def test_the_skypilot_task_runs_a_job_file_on_this_python() -> None:
    task = read("skypilot.yaml")
    assert {"name", "workdir", "resources", "envs", "secrets", "setup", "run"} >= task.keys()
    for script in ("setup", "run"):
        assert subprocess.run(["bash", "-n"], input=task[script], text=True, check=False).returncode == 0
    assert (ROOT / task["workdir"] / task["envs"]["JOB"]).exists()
    assert set(re.findall(r"\$(\w+)", task["run"])) <= task["envs"].keys()
    assert "factory run" in task["run"]
    python = re.search(r"--python (\d\.\d+)", task["setup"])
    base = re.search(r"^FROM \S+python:(\d\.\d+)", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert python
    assert base
    assert python[1] == base[1]


def test_a_runtime_env_takes_job_files_along_and_no_code() -> None:
    content = read("runtime_env.yaml")
    assert RuntimeEnv(**content)["excludes"] == content["excludes"]
    for excluded in content["excludes"]:
        assert excluded.startswith("/")
    assert "/factory" in content["excludes"]
    assert "/jobs" not in content["excludes"]


def test_no_file_holds_a_secret() -> None:
    for path in DEPLOY.iterdir():
        assert not re.search(r"AKIA\w{16}|\bhf_\w{8}|sk-\w{8}|BEGIN .*PRIVATE KEY", path.read_text("utf-8")), path


def test_cluster_yaml_may_start_from_the_image() -> None:
    """The piece of docs/cluster.md that names the image, in the place of the commands that install."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    piece = re.search(r"^```\n(docker:\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert piece
    file = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    for installs in ("setup_commands", "head_setup_commands", "worker_setup_commands", "file_mounts", "rsync_exclude"):
        del file[installs]
    config = prepare_config(file | yaml.safe_load(piece[1]))
    validate_config(config)
    assert config["docker"]["image"] == IMAGE
    assert config["setup_commands"] == []
    with pytest.raises(Exception, match="imag"):
        validate_config(prepare_config(file | {"docker": {"imag": IMAGE}}))


@pytest.mark.timeout(280)
@pytest.mark.parametrize("fails", [False, True], ids=["runs", "fails"])
def test_the_slurm_script_runs_a_job_on_the_rays_that_it_starts(fails: bool, tmp_path: Path) -> None:
    write_personas(tmp_path, 4)
    job = write_job(tmp_path)
    home = tmp_path / "home"
    slurm = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NUM_NODES": "2", "SLURMD_NODENAME": "127.0.0.1"}
    with environment(home, ROOT, SLURM_CPUS_PER_TASK="2", **slurm) as env:
        (home / "bin").mkdir()
        (home / "bin" / "srun").write_text(SRUN)
        (home / "bin" / "srun").chmod(0o755)
        options = ["--set", "makers.converse.turn=4"] if fails else []
        # To a file, since the Ray that the script leaves to Slurm would hold a pipe open.
        with (tmp_path / "log").open("w") as log:
            command = ["bash", DEPLOY / "slurm.sh", job, *options]
            code = subprocess.run(command, env=env, stdout=log, stderr=log, timeout=240, check=False).returncode
    said = (tmp_path / "log").read_text()
    assert (code != 0) == fails, said
    assert ("makers.converse.turn" in said) == fails
    assert len(list(Corpus(str(tmp_path / "corpus")).rows())) == (0 if fails else 4)
