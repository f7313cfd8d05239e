"""A cluster with machines that lack something: they are left out in a sentence, and the others work."""

import json
import subprocess
import sys

import pytest

from tests.network_namespaces import NEEDS, PORT, ROOT, can_make_machines, network

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_make_machines(), reason=NEEDS),
]

#: Torch is built without CUDA. On the one machine that is to work, it says otherwise; trials do not use it.
WITH_CUDA = """
import sys
from importlib.machinery import PathFinder

class Finder:
    def find_spec(name, path, target=None):
        if name != "torch.cuda":
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def with_cuda(module):
            execute(module)
            module.is_available = lambda: True
        spec.loader.exec_module = with_cuda
        return spec

sys.meta_path.insert(0, Finder)
"""

#: A search of 16 trials at a time on quarters of GPUs; all of them wait for each other and for the bad machines.
SEARCH = """
import json, sys, time
from functools import partial
from pathlib import Path

from nasfuse.backends.ray import open_ray
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.study import StudyConfig
from tests.tiny_study import TINY

address, root, n_bad = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

class Display:
    notes = []

    def ready(self, dataset, *, workers, progress, seconds): ...
    def started(self, assignment): ...
    def ended(self, number, outcome, *, progress, seconds): ...
    def phase(self, text): ...

    def note(self, text):
        self.notes.append(text)
        if len({note for note in self.notes if "left out" in note}) == n_bad:  # a node that starts anew is another one
            (root / "asked").touch()

def wait_for_all(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
    import os

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "device").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    while len(list(folder.parent.glob("*/device"))) < 16 or not (root / "asked").exists():
        time.sleep(0.1)
    return Measurements((OperatingPoint(0.5, 100, 1, 1e-3, 0.0, 1),), {"epochs": 2, "epochs_asked": 2})

resources = {"workers": 16, "cpus_per_trial": 1, "gpus_per_trial": 0.25}
study = StudyConfig.parse({**TINY, "budget": {"trials": 16, "repeats": 1}, "sampler": "random", "resources": resources})
progress = run_search(
    study, RunFolder(root), display=Display(), objective=wait_for_all, open_backend=partial(open_ray, address=address)
)
print(json.dumps({"notes": Display.notes, "states": progress.states}))
"""


@pytest.fixture
def modules(tmp_path):
    """Returns a folder with a module of the given name and text."""

    def make(name, text):
        folder = tmp_path / f"modules {name} {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / f"{name}.py").write_text(text)
        return folder

    return make


def test_bad_machines_are_left_out_and_16_trials_run_at_a_time_on_four_gpus(tmp_path, modules):
    """One bad machine is there when the search begins, and the others join while its trials run."""
    (root := tmp_path / "run").mkdir()
    old = modules("nasfuse", "raise ImportError('the machines have an older version of nasfuse')")
    with network() as machines:
        good = machines.add(n_cpus=16, n_gpus=4, modules=[modules("sitecustomize", WITH_CUDA), old])
        bad = {machines.add(n_cpus=1, n_gpus=1): "trials ask for a GPU, and torch finds no CUDA device there"}
        arguments = [f"{good.address}:{PORT}", str(root), "4"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**machines.environment, "PYTHONPATH": str(ROOT)}
        process = good.start([sys.executable, "-c", SEARCH, *arguments], text=True, env=environment, **pipes)
        add = lambda **options: machines.add(n_cpus=1, n_gpus=1, **options)  # noqa: E731
        bad[add(mount=["-t", "tmpfs", "none", root])] = f"it does not see the run folder {root}; put that on a file"
        bad[add(modules=[modules("torch", "__version__ = '1.13.1'")])] = (
            "it has torch 1.13.1, and this search runs with"
        )
        absent = "raise ModuleNotFoundError(\"No module named 'torch'\")"
        bad[add(modules=[modules("torch", absent)])] = (
            "nasfuse cannot be used there: ModuleNotFoundError: No module named"
        )
        shown, errors = process.communicate(timeout=800)
    assert process.returncode == 0, errors
    found = json.loads(shown.splitlines()[-1])
    assert found["states"]["complete"] == 16
    sentences = {note for note in found["notes"] if "left out" in note}
    assert len(sentences) == len(bad)
    for machine, problem in bad.items():
        assert any(note.startswith(f"node {machine.address} is left out: {problem}") for note in sentences), sentences
    devices = sorted(file.read_text() for file in root.glob("trials/*/device"))
    assert devices == sorted("0123" * 4), "every worker sees one device, and four workers see the same one"
