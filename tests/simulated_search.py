"""Searches in processes of their own, with the driver and the storage of a real one and trainings that only wait."""

import contextlib
import time
from pathlib import Path

from nasfuse.backends.outcome import Measured
from nasfuse.backends.simulated import SimulatedBackend, SimulatedTraining
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.study import StudyConfig
from tests.forked import forked


class _Display:
    """Prints the number of each trial that ends, and the notes of the search."""

    def ready(self, *_, **__): ...

    def started(self, _): ...

    def phase(self, text): ...

    def note(self, text):
        print("note:", text, flush=True)

    def ended(self, number, *_, **__):
        print("ended:", number, flush=True)


def _search(url, folder, n_trials, pause, gates):
    """Runs a search; prints the number of each trial as it begins and ends, its notes, and its front."""

    def training(assignment):
        print("began:", assignment.number, flush=True)
        time.sleep(pause)
        while any(assignment.number >= at and not Path(folder, "..", name).exists() for at, name in gates.items()):
            time.sleep(0.05)
        metric = int(assignment.recipe.hash, 16) % 1000 / 1000
        point = OperatingPoint(metric, 1000 + assignment.number, 10, 1e-3, 1e-4, 100)
        return SimulatedTraining((), Measured(Measurements((point,), {"epochs": 1, "epochs_asked": 1})))

    @contextlib.contextmanager
    def open_simulated(*_, **__):
        yield SimulatedBackend(training, capacity=2)

    fields = {"training.lr": {"float": [1e-4, 1e-1], "log": True}, "network.dropout": {"float": [0, 0.5]}}
    study = StudyConfig.of(
        {
            "name": "shared",
            "storage": url,
            "data": {"source": "digits"},
            "sampler": "random",
            "space": {"fields": fields, "fixed": {"network.streams.*.encoder": "linear", "training.epochs": 1}},
            "budget": {"trials": n_trials, "repeats": 1},
            "resources": {"workers": 2},
            "stopping": "off",
        }
    )
    run = RunFolder(Path(folder))
    found = run_search(study, run, display=_Display(), objective=print, open_backend=open_simulated)
    print("front:", *(one.label for one in found.front), flush=True)


def driver(url, folder, *, n_trials, pause=0.0, gates=None):
    """Returns a context with the process of a search.

    Args:
        url: URL of the storage of its study, called `shared`.
        folder: Folder of the run.
        n_trials: Budget of the study.
        pause: Seconds that a training takes.
        gates: Number of a trial to the name of a file beside `folder`, without which this and later trainings wait.
    """
    return forked(_search, url, str(folder), n_trials, pause, gates or {})


def read_until(process, text, *, times=1):
    """Reads lines up to the one with `text` that is the last of so many, and returns all."""
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if sum(text in one for one in lines) == times:
            return lines
    raise AssertionError(f"{times} lines with {text!r} were expected: {lines}; {process.stderr.read()}")
