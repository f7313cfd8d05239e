"""The files of deploy/ are what Ray, KubeRay and Slurm expect, as far as that can be seen without them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"

# Stands for `ray`: notes its arguments and the token, and listens on the port of a head.
RAY = """
import json, os, socket, sys, time
with open(os.environ["NOTES"], "a") as file:
    token = [os.environ["RAY_AUTH_MODE"], len(os.environ["RAY_AUTH_TOKEN"])]
    file.write(json.dumps(["ray", *sys.argv[1:], *token]) + "\\n")
if "--head" in sys.argv:
    port = int(next(one for one in sys.argv if one.startswith("--port=")).split("=")[1])
    listener = socket.create_server(("127.0.0.1", port))
time.sleep(60)
"""

# Stands for `nasfuse`: notes its arguments, and ends with the exit code of SIGTERM after a moment, as a search does.
NASFUSE = """
import json, os, signal, sys, time
def end(*_):
    time.sleep(0.5)
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
with open(os.environ["NOTES"], "a") as file:
    file.write(json.dumps(["nasfuse", *sys.argv[1:]]) + "\\n")
if "--wait" in sys.argv:
    time.sleep(60)
sys.exit(2)
"""

# Stands for `srun` of one other node.
SRUN = """
import json, os, subprocess, sys
with open(os.environ["NOTES"], "a") as file:
    file.write(json.dumps(["srun", *[one for one in sys.argv[1:] if one.startswith("--") and "=" in one][:3]]) + "\\n")
"""


def load(name):
    return yaml.safe_load((DEPLOY / name).read_text())


def test_the_cluster_file_obeys_the_schema_of_ray():
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    cluster = load("ray-cluster.yaml")
    jsonschema.validate(cluster, schema)
    assert cluster["head_node_type"] in cluster["available_node_types"]
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        assert all("RAY_AUTH_MODE=token" in command for command in commands if "ray start" in command)


def test_the_job_of_kuberay_mounts_what_its_command_names_and_has_a_token_everywhere():
    job = load("kuberay-job.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert set(mounts) <= volumes
            assert all(path in job["spec"]["entrypoint"] for path in mounts.values())
            assert {one["name"] for one in container["env"]} == {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}


@pytest.fixture
def slurm(tmp_path):
    """Starts the script as Slurm does on the first of two nodes; returns the process and its notes so far."""
    (bin_ := tmp_path / "bin").mkdir()
    for name, code in {"ray": RAY, "nasfuse": NASFUSE, "srun": SRUN}.items():
        (bin_ / name).write_text(f"#!{sys.executable}\n{code}")
        (bin_ / name).chmod(0o755)
    (bin_ / "hostname").write_text("#!/bin/sh\necho 127.0.0.1\n")
    (bin_ / "hostname").chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    notes = tmp_path / "notes"
    started = []

    def start(*arguments):
        environment = {
            **os.environ,
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "VENV": str(tmp_path),
            "PORT": str(port),
            "NOTES": str(notes),
            "SLURM_CPUS_PER_TASK": "8",
            "SLURM_JOB_NUM_NODES": "2",
        }
        process = subprocess.Popen([DEPLOY / "slurm.sh", *arguments], env=environment, start_new_session=True)
        started.append(process)
        return process, lambda: [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []

    yield start, port
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def test_the_script_of_slurm_starts_ray_on_all_nodes_with_one_token_and_returns_the_exit_code(slurm):
    start, port = slurm
    process, notes = start("studies/mine.yaml", "-o", "/shared/mine")
    assert process.wait(timeout=30) == 2
    deadline = time.monotonic() + 60  # the script does not wait for the programs that it starts on other nodes
    while "srun" not in (by_program := {note[0]: note[1:] for note in notes()}):
        assert time.monotonic() < deadline, by_program
        time.sleep(0.05)
    head = ["start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=8", "--disable-usage-stats"]
    assert by_program["ray"] == [*head, "--block", "token", 64]
    assert by_program["srun"] == ["--nodes=1", "--ntasks=1", "--exclude=127.0.0.1"]
    assert by_program["nasfuse"] == [
        "search",
        "studies/mine.yaml",
        "-o",
        "/shared/mine",
        "--address",
        f"127.0.0.1:{port}",
    ]


def test_the_signal_of_slurm_reaches_the_search_which_ends_in_order(slurm):
    start, _ = slurm
    process, notes = start("--wait")
    for _ in range(100):
        if any(note[0] == "nasfuse" for note in notes()):
            break
        time.sleep(0.1)
    time.sleep(0.3)  # until the stand-in has its handler
    process.terminate()
    assert process.wait(timeout=30) == 143
