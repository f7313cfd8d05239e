"""A search on a real Ray cluster of two nodes, one of which dies in the middle."""

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nasfuse.backends.outcome import Measured
from nasfuse.backends.ray_session import ray_constants
from nasfuse.errors import NasfuseError
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.storage import open_storage
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig

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
budget: {trials: 8, repeats: 1}
resources: {workers: 2}
stopping: off
"""

# Nodes live in a process of their own, as they would on other machines; it obeys lines on its standard input.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
node = {"num_cpus": 1, "include_log_monitor": False}
head = {**node, "include_dashboard": False, "no_monitor": True}
cluster = Cluster(initialize_head=True, head_node_args=head)
second = cluster.add_node(**node) if "two" in sys.argv else None
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


class Display:
    """Notes the measurements of every trial, and calls `on_second_node` once both nodes have measured one."""

    def __init__(self, on_second_node=lambda: None):
        self.measured = {}
        self.notes = []
        self.before = None
        self._on_second_node = on_second_node

    def ready(self, dataset, *, workers, progress, seconds): ...

    def phase(self, text): ...

    def note(self, text):
        self.notes.append(text)

    def started(self, assignment): ...

    def ended(self, number, outcome, *, progress, seconds):
        if isinstance(outcome, Measured):
            self.measured[number] = outcome.measurements.record
        if self.before is None and len({record["node"] for record in self.measured.values()}) == 2:
            self.before = dict(self.measured)
            self._on_second_node()


def search(folder, address, *, text=STUDY, display=None):
    (file := folder.with_name("study.yaml")).write_text(text)
    asked = StudyConfig.load(file)
    run_search(asked, RunFolder(folder), display=display or Display(), address=address)
    storage = open_storage(RunFolder(folder).storage_url(asked))
    (stored,) = storage.get_all_studies()
    return {trial.number: trial.user_attrs["record"] for trial in storage.get_all_trials(stored._study_id)}


def test_both_nodes_work_and_the_death_of_one_loses_no_trial(tmp_path):
    with running_cluster("two", cwd=tmp_path, RAY_AUTH_MODE="disabled") as (address, nodes):

        def kill():
            nodes.stdin.write("kill\n")
            nodes.stdin.flush()

        display = Display(kill)
        after = search(tmp_path / "run", address, display=display)
    assert display.before is not None, "the second node never finished a trial"
    assert len(display.before) < 8, "it was not over yet"
    assert sorted(after) == list(range(8))
    assert {number: after[number] for number in display.before} == display.before


def test_a_cluster_with_a_token_and_data_that_only_the_driver_finds(tmp_path, monkeypatch):
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
    monkeypatch.delenv("NASFUSE_DATA", raising=False)
    with running_cluster(cwd=tmp_path / "elsewhere", **authentication) as (address, _):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NASFUSE_DATA", "data")
        monkeypatch.setattr(ray_constants, "NUM_REDIS_GET_RETRIES", 1)
        with pytest.raises(NasfuseError, match=f"no Ray cluster at {address}.*RAY_AUTH_MODE"):
            search(tmp_path / "run", address, text=study)
        for name, value in authentication.items():
            monkeypatch.setenv(name, value)
        (record,) = search(tmp_path / "run", address, text=study).values()
    (recipe,) = (tmp_path / "run" / "trials").glob("*/recipe.yaml")
    assert record["recipe_hash"] == Recipe.load(recipe).hash
