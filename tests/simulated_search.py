"""Searches in processes of their own, with the driver and the storage of a real one and trainings that only wait."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

#: The trainings of a driver end after a pause; it prints the number of each as it begins and ends, the notes of the
#: search, and its front.
DRIVER = """
import sys, time
from contextlib import contextmanager
from pathlib import Path
from nasfuse.backends.outcome import Measured
from nasfuse.backends.simulated import SimulatedBackend, SimulatedTraining
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.study import StudyConfig

def training(assignment):
    print("began:", assignment.number, flush=True)
    time.sleep(float(pause))
    while any(assignment.number >= int(at) and not Path(folder, "..", name).exists() for at, name in gates):
        time.sleep(0.05)
    metric = int(assignment.recipe.hash, 16) % 1000 / 1000
    point = OperatingPoint(metric, 1000 + assignment.number, 10, 1e-3, 1e-4, 100)
    return SimulatedTraining((), Measured(Measurements((point,), {"epochs": 1, "epochs_asked": 1})))

@contextmanager
def open_simulated(*_, **__):
    yield SimulatedBackend(training, capacity=2)

class Display:
    def ready(self, *_, **__): ...
    def started(self, _): ...
    def phase(self, text): ...

    def note(self, text): print("note:", text, flush=True)
    def ended(self, number, *_, **__): print("ended:", number, flush=True)

url, folder, n_trials, pause, *gates = sys.argv[1:]
gates = [gate.split("=") for gate in gates]
study = StudyConfig.of({
    "name": "shared", "storage": url, "data": {"source": "digits"}, "sampler": "random",
    "space": {"fields": {"training.lr": {"float": [1e-4, 1e-1], "log": True}, "network.dropout": {"float": [0, 0.5]}},
              "fixed": {"network.streams.*.encoder": "linear", "training.epochs": 1}},
    "budget": {"trials": int(n_trials), "repeats": 1}, "resources": {"workers": 2}, "stopping": "off",
})
found = run_search(study, RunFolder(Path(folder)), display=Display(), objective=print, open_backend=open_simulated)
print("front:", *(one.label for one in found.front), flush=True)
"""


@contextlib.contextmanager
def driver(url, folder, *, n_trials, pause, gates=()):
    """Yields the process of a search with its study at a storage URL, whose trainings take `pause` seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, url, str(folder), str(n_trials), str(pause), *gates],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_until(process, text, *, times=1):
    """Reads lines up to the one with `text` that is the last of so many, and returns all."""
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if sum(text in one for one in lines) == times:
            return lines
    raise AssertionError(f"{times} lines with {text!r} were expected: {lines}; {process.stderr.read()}")
