"""A search on a real Ray cluster of two nodes, one of which dies in the middle."""

import contextlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nasfuse.spec.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]

STUDY = """
name: cluster
data: {source: digits}
space:
  fields:
    network.route: {subsets: true}
    network.streams.*.width: {choices: [8, 16, 24, 32], when: {network.route: {has: "*"}}}
    training.lr: {float: [1e-3, 1e-2], log: true}
  fixed: {network.streams.*.encoder: mlp, training.epochs: 30, training.patience: 30}
budget: {trials: 12, repeats: 1}
stopping: off
"""

# Nodes live in a process of their own, as they would on other machines; it obeys lines on its standard input.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1) if "two" in sys.argv else None
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(second, allow_graceful=False)
cluster.shutdown()
"""


@contextlib.contextmanager
def running_cluster(*arguments, cwd, **environment):
    """Yields the address of a cluster and the process it lives in."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, *arguments],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_memory_monitor_refresh_ms": "0", **environment},
    )
    try:
        address = process.stdout.readline().strip()
        assert address, "the cluster did not start"
        yield address, process
    finally:
        process.stdin.close()
        process.wait(timeout=60)


@pytest.fixture
def cluster(tmp_path):
    with running_cluster("two", cwd=tmp_path, RAY_AUTH_MODE="disabled") as found:
        yield found


def search(folder: Path, address: str, *, study: str = STUDY, **environment: str) -> "subprocess.Popen[str]":
    (folder / "study.yaml").write_text(study)
    command = [sys.executable, str(ROOT / "cli.py"), "search", str(folder / "study.yaml"), "-o", str(folder / "run")]
    return subprocess.Popen(
        [*command, "--address", address, "--workers", "2"],
        cwd=folder,
        text=True,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def records(folder: Path) -> dict[int, dict]:
    """Trial number to record, of the completed trials."""
    database = folder / "run" / "study.db"
    if not database.is_file():
        return {}
    query = (
        "SELECT number, value_json FROM trials JOIN trial_user_attributes USING (trial_id) "
        "WHERE key = 'record' AND state = 'COMPLETE'"
    )
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        try:
            return {number: json.loads(text) for number, text in connection.execute(query)}
        except sqlite3.OperationalError:
            return {}


def test_both_nodes_work_and_the_death_of_one_loses_no_trial(tmp_path, cluster):
    address, nodes = cluster
    process = search(tmp_path, address)
    deadline = time.monotonic() + 180
    while len({record["node"] for record in records(tmp_path).values()}) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the second node never finished a trial"
        time.sleep(0.1)
    before = records(tmp_path)
    nodes.stdin.write("kill\n")
    nodes.stdin.flush()
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    after = records(tmp_path)
    assert sorted(after) == list(range(12))
    assert {number: after[number] for number in before} == before


def test_no_cluster_at_the_address_is_one_sentence(tmp_path):
    process = search(tmp_path, "127.0.0.1:1")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "no Ray cluster at 127.0.0.1:1" in errors
    assert "Traceback" not in errors


def test_a_cluster_with_a_token_and_data_that_only_the_driver_finds(tmp_path):
    """The nodes have another working folder and no `$NASFUSE_DATA`; the file is named relative to both."""
    (token := tmp_path / "token").write_text(secrets.token_hex(32))
    authentication = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data" / "mine.npz", a=rng.normal(size=(60, 3)), y=rng.integers(0, 2, 60))
    study = """
name: mine
data: {source: mine.npz, modalities: {a: vector}}
space:
  fields: {training.lr: {float: [1e-3, 1e-2]}}
  fixed: {network.route: [a], network.streams.*.width: 4, training.epochs: 2}
budget: {trials: 1}
"""
    (tmp_path / "elsewhere").mkdir()
    with running_cluster(cwd=tmp_path / "elsewhere", **authentication) as (address, _):
        without = search(tmp_path, address, study=study, NASFUSE_DATA="data", RAY_NUM_REDIS_GET_RETRIES="1")
        _, errors = without.communicate(timeout=120)
        assert f"no Ray cluster at {address}" in errors
        assert "RAY_AUTH_MODE" in errors
        assert "Traceback" not in errors
        process = search(tmp_path, address, study=study, NASFUSE_DATA="data", **authentication)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    (record,) = records(tmp_path).values()
    (recipe,) = (tmp_path / "run" / "trials").glob("*/recipe.yaml")
    assert record["recipe_hash"] == Recipe.load(recipe).hash
