"""Stopping through Ray itself: the same trials for any number of workers and across a kill; what stopping leaves."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasfuse.backends.outcome import Outcome, Stopped
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.search import open_storage
from nasfuse.spec.study import StudyConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

N_TRIALS = 24

#: A search whose trainings are made up: an epoch takes a few milliseconds, or many, and an error falls with epochs.
PROGRAM = """
import random, sys, threading, time
from pathlib import Path
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.spec.study import StudyConfig
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run import run_search

class Table:
    def __call__(self, recipe, *, seed, cut, folder, report, donors):
        pace, luck = random.Random(str(folder)), random.Random(seed).random()
        width = sum(stream.width for stream in recipe.network.streams.values())
        names = [type(thread).__name__ for thread in threading.enumerate()]
        (folder / "threads").write_text(str(names.count("RunnerThread")))
        (folder / "resume.pt").touch()
        with (folder / "epochs").open("a") as file:
            for epoch in range(1, 10):
                time.sleep(pace.expovariate(1) / 100)
                file.write(f"{epoch}\\n")
                file.flush()
                metric = 1 - 0.2 - 0.3 * luck - 5 / width - (1 - epoch / 9) / 10
                report(epoch, metric)
        (folder / "resume.pt").unlink()
        point = OperatingPoint(metric, width, 1, 1e-3, 0.0, 1)
        return Measurements((point,), {"epochs": 9, "epochs_asked": 9})

class Silent:
    def ready(self, *_, **__): ...
    def note(self, *_, **__): ...
    def started(self, *_): ...
    def ended(self, *_, **__): ...

folder, workers = Path(sys.argv[1]), int(sys.argv[2])
study = StudyConfig.load(folder / "table.yaml")
study = study.model_copy(update={"resources": study.resources.model_copy(update={"workers": workers})})
run_search(study, RunFolder(folder / "run"), display=Silent(), objective=Table())
"""

STUDY = f"""
name: table
data: {{source: digits}}
space:
  fields:
    network.route: {{subsets: true}}
    network.streams.*.width: {{choices: [8, 16, 24, 32], when: {{network.route: {{has: "*"}}}}}}
    training.lr: {{float: [1e-3, 1e-2], log: true}}
  fixed: {{network.streams.*.encoder: mlp, training.epochs: 9}}
  baselines:
    both: {{network.route: all}}
budget: {{trials: {N_TRIALS}, repeats: 2}}
resources: {{cpus_per_trial: 1}}
"""


def start(folder: Path, workers: int) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    (folder / "table.yaml").write_text(STUDY)
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-c", _WITH_CORES + PROGRAM, str(folder), str(workers)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


#: Lets Ray believe in four cores, so that four trials run at a time on any machine.
_WITH_CORES = """
import functools, ray
ray.init = functools.partial(ray.init, num_cpus=4)
"""


def finish(folder: Path, workers: int) -> list[tuple[object, ...]]:
    """Returns all that the study holds but times."""
    process = start(folder, workers)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    run = read_run(RunFolder(folder / "run"))
    assert run.progress.done == N_TRIALS
    storage = open_storage(run.folder.storage_url(run.study))
    (stored,) = storage.get_all_studies()
    passing = {"suggestion_s", "attempts", "record"}
    return [
        (t.number, t.state, t.params, t.values, {k: v for k, v in t.user_attrs.items() if k not in passing})
        for t in storage.get_all_trials(stored._study_id)
    ]


def n_ended(folder: Path) -> int:
    database = folder / "run" / "study.db"
    if not database.is_file():
        return 0
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        try:
            found = connection.execute("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')").fetchone()
        except sqlite3.OperationalError:
            return 0
    return int(found[0])


def test_one_worker_four_workers_and_a_kill(tmp_path: Path) -> None:
    one = finish(tmp_path / "one", 1)
    assert sum("stopped" in attributes for *_, attributes in one) > 3
    assert finish(tmp_path / "four", 4) == one
    broken = tmp_path / "broken"
    process = start(broken, 4)
    deadline = time.monotonic() + 120
    while n_ended(broken) < 9:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the search made no progress"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert n_ended(broken) < len(one), "it was not over yet"
    assert finish(broken, 2) == one
    for number, *_, attributes in one:
        if "stopped" in attributes:
            ran = (tmp_path / "four" / "run" / "trials" / str(number) / "epochs").read_text().split()
            assert len(ran) == attributes["stopped"]["epoch"], "its worker ran no epoch more"
    threads = [file.read_text() for file in tmp_path.glob("*/run/trials/*/threads")]
    assert len(threads) == 3 * N_TRIALS
    assert set(threads) == {"1"}, "the thread of a stopped trial has ended when the next one begins"
    assert not list(tmp_path.glob("*/run/trials/*/resume.pt"))


class Events:
    """Notes which trials were stopped, and after which epoch."""

    def __init__(self) -> None:
        self.stopped: dict[int, int] = {}

    def ready(self, *_: object, **__: object) -> None: ...
    def note(self, *_: object, **__: object) -> None: ...

    def started(self, _: object) -> None: ...

    def ended(self, number: int, outcome: Outcome, **_: object) -> None:
        if isinstance(outcome, Stopped):
            self.stopped[number] = outcome.epoch


def test_real_trainings_that_are_stopped_leave_their_curve_and_nothing_else(tmp_path: Path) -> None:
    plain = {
        "name": "real",
        "data": {"source": "digits"},
        "space": {
            "fields": {
                "network.streams.*.width": {"choices": [8, 16, 32]},
                "training.lr": {"float": [1e-5, 1e-1], "log": True},
            },
            "fixed": {"network.streams.*.encoder": "mlp", "training.epochs": 9, "training.batch_size": 512},
            "baselines": {"both": {}},
        },
        "budget": {"trials": 14, "repeats": 1},
        "resources": {"workers": 2},
    }
    folder, events = RunFolder(tmp_path / "run"), Events()
    progress = run_search(StudyConfig.parse(plain), folder, display=events)
    assert progress.states["stopped"] == len(events.stopped) > 0
    assert progress.states["stopped"] + progress.states["complete"] == progress.done == 14
    assert progress.epochs_spent + progress.epochs_saved == 14 * 9
    for number, epoch in events.stopped.items():
        place = folder.trial(number)
        assert {path.name for path in place.iterdir()} == {"recipe.yaml", "metrics.jsonl"}
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == list(range(1, epoch + 1))
    found = read_run(folder)
    assert not events.stopped.keys() & {candidate.trial for candidate in found.candidates}
