"""A search on machines of their own: one dies in the middle, and one joins late."""

import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.datasets import load_digits

from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.storage import open_storage
from nasfuse.spec.study import StudyConfig
from tests.network_namespaces import NEEDS, PORT, ROOT, can_make_machines, network

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_make_machines(), reason=NEEDS),
]

N_TRIALS, N_FOLDS = 7, 5

#: Within a minute on a quiet machine.
LONGEST_NS = 300 * 10**9

#: Cross-validations of networks that are not stacked, as these keep every fold that is finished.
STUDY = f"""
name: machines
data: {{source: mine.npz, modalities: {{left: vector, right: vector}}, validation: {{folds: {N_FOLDS}}}}}
space:
  fields:
    network.streams.*.width: {{choices: [8, 16, 24, 32]}}
    training.lr: {{float: [1e-3, 1e-2], log: true}}
  fixed: {{network.streams.*.encoder: maxout, training.epochs: 40, training.patience: 40}}
budget: {{trials: {N_TRIALS}, repeats: 1}}
resources: {{workers: 2}}
stopping: off
"""


def wait_until(condition, process, *, what):
    """Waits for `condition` while `process` lives, for minutes on a busy machine."""
    deadline = time.monotonic() + 300
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def finished_folds(folder):
    """Trial number to the time at which its finished folds were written, by fold."""
    found = {}
    for file in (folder / "trials").glob("*/fold*/model.pt"):
        found.setdefault(int(file.parts[-3]), {})[file.parts[-2]] = file.stat().st_mtime_ns
    return found


def write_data(folder, *, permuted):
    """Returns a file with the digits, or with the digits under the labels of others."""
    images, labels = load_digits(return_X_y=True)
    if permuted:
        labels = np.random.default_rng(0).permutation(labels)
    folder.mkdir(exist_ok=True)
    np.savez(folder / "mine.npz", left=images[:, ::2], right=images[:, 1::2], y=labels)
    return folder / "mine.npz"


def stored_attributes(folder):
    """Trial number to what the study holds of it."""
    asked = StudyConfig.load(folder / "study.yaml")
    storage = open_storage(RunFolder(folder).storage_url(asked))
    (stored,) = storage.get_all_studies()
    return {trial.number: trial.user_attrs for trial in storage.get_all_trials(stored._study_id)}


def test_trials_of_a_machine_that_dies_go_on_from_their_checkpoints_on_one_that_has_joined(tmp_path):
    """The machine that joins has other data at the same path."""
    data, other = write_data(tmp_path, permuted=False), write_data(tmp_path / "other", permuted=True)
    (study := tmp_path / "study.yaml").write_text(STUDY)
    folder = tmp_path / "run"
    with network() as machines:
        head, second = machines.add(n_cpus=1), machines.add(n_cpus=1)
        command = [sys.executable, str(ROOT / "cli.py"), "search", str(study), "-o", str(folder)]
        process = head.start(
            [*command, "--address", f"{head.address}:{PORT}"],
            cwd=tmp_path,
            env=machines.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: list(folder.glob("trials/*/recipe.yaml")), process, what="no trial has begun")
        third = machines.add(n_cpus=1, mount=["--bind", other, data])

        def both_are_under_way():
            """Returns the finished folds of two trials, one of which the second machine runs; the third was asked."""
            found = {number: folds for number, folds in finished_folds(folder).items() if len(folds) < N_FOLDS}
            in_the_middle = len(found) == 2 and all(len(folds) < N_FOLDS - 1 for folds in found.values())
            is_second = second.has_process("ray::ImplicitFunc.train") and third.has_process("ray::")
            return found if in_the_middle and is_second else None

        before = wait_until(both_are_under_way, process, what="two machines never ran trials at a time")
        killed_ns = time.time_ns()
        second.kill()
        shown, _ = process.communicate(timeout=600)
    assert process.returncode == 0, shown
    after, found = finished_folds(folder), stored_attributes(folder)
    assert sorted(found) == list(range(N_TRIALS)) == sorted(after)
    for number, folds in before.items():
        assert {fold: after[number][fold] for fold in folds} == folds, "a finished fold is not trained again"
    (moved,) = [number for number, attributes in found.items() if attributes.get("saved_epochs")]
    assert min(written for written in after[moved].values() if written > killed_ns) < killed_ns + LONGEST_NS
    nodes = {number: attributes["record"]["node"] for number, attributes in found.items()}
    later = {node for number, node in nodes.items() if number in before or number > max(before)}
    assert len(later) == 2, "the first machine and the third"
    assert len({attributes["record"]["data_fingerprint"] for attributes in found.values()}) == 1
    assert "left out" not in shown
