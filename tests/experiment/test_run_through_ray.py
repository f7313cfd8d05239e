"""Searches through Ray itself: their files, what dies and fails, and the same trials for any number of workers."""

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from nasfuse.backends.outcome import Stopped
from nasfuse.backends.ray_session import ray, ray_session
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.macs_check import read_checks
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.search.storage import open_storage
from nasfuse.spec.study import StudyConfig
from tests.forked import forked
from tests.tiny_study import TINY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

N_CORES = 2
N_MADE_UP = 24
RECORD = {"epochs": 2, "epochs_asked": 3}


def study(*, budget, **changes):
    return StudyConfig.parse({**TINY, **changes, "budget": {"repeats": 1, **budget}})


class Display:
    """Remembers the number of workers and how trials ended; a trial that was stopped with its last epoch."""

    def __init__(self):
        self.workers = None
        self.ends = {}

    def ready(self, dataset, *, workers, progress, seconds):
        self.workers = workers

    def phase(self, text): ...

    def note(self, text): ...

    def started(self, assignment): ...

    def ended(self, number, outcome, *, progress, seconds):
        self.ends[number] = outcome.epoch if isinstance(outcome, Stopped) else None


def stored_trials(folder, asked):
    storage = open_storage(folder.storage_url(asked))
    (stored,) = storage.get_all_studies()
    return storage.get_all_trials(stored._study_id)


@pytest.fixture(scope="module")
def ray_is_running():
    """A session of Ray that all searches share: to start one takes longer than they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", partial(ray.init, num_cpus=N_CORES))  # as many trials at a time on any machine
        with ray_session(None):
            yield


@pytest.fixture(autouse=True)
def shared_ray(ray_is_running, monkeypatch):
    """Searches of this module neither start nor stop Ray."""
    monkeypatch.setattr("nasfuse.backends.ray.ray_session", lambda address: contextlib.nullcontext())


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_a_search_and_its_files(folder):
    """Trainings that are stopped leave their curve and nothing else."""
    limit, n_trials, n_epochs = 4000, 14, 9
    space = {
        "fields": {
            "network.streams.*.width": {"choices": [8, 16, 32]},
            "training.lr": {"float": [1e-5, 1e-1], "log": True},
        },
        "fixed": {"network.streams.*.encoder": "mlp", "training.epochs": n_epochs, "training.batch_size": 512},
        "baselines": {"both": {}},
    }
    display = Display()
    asked = study(space=space, budget={"trials": n_trials}, max_macs=limit, resources={"workers": 2})
    progress = run_search(asked, folder, display=display)
    assert display.workers == 2
    assert sorted(display.ends) == list(range(n_trials))
    stopped = {number: epoch for number, epoch in display.ends.items() if epoch is not None}
    found = read_run(folder)
    assert sorted([*stopped, *(candidate.trial for candidate in found.candidates)]) == list(range(n_trials))
    assert progress.states["stopped"] == len(stopped) > 0
    assert progress.states["complete"] == len(found.candidates) > 0
    assert progress.epochs_spent + progress.epochs_saved == n_trials * n_epochs
    assert found.progress.front == progress.front
    assert all(candidate.measured.macs <= limit for candidate in found.candidates)
    for number in range(n_trials):
        place = folder.trial(number)
        network = [] if number in stopped else ["model.pt"]
        assert sorted(path.name for path in place.iterdir()) == ["metrics.jsonl", *network, "recipe.yaml"]
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
        assert len(lines) == stopped.get(number, n_epochs)
    assert {path.name for path in folder.root.iterdir()} >= {"study.yaml", "study.db", "trials", "lock", "macs.json"}
    for member in progress.front:
        judged = evaluate_checkpoint(folder.network(member.trial), split="val", device=torch.device("cpu"))
        assert judged["value"] == member.measured.metric
    assert {one.label: one.check.status for one in read_checks(folder)} == dict.fromkeys(
        [member.label for member in progress.front], "equal"
    )
    assert not (folder.root / ".tune").exists()


def make_table():
    """An objective without training: an epoch takes a few milliseconds, or many, and an error falls with epochs.

    Inside a function, to be pickled whole: workers cannot import the tests.
    """

    class Table:
        def __call__(self, recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            pace, luck = random.Random(str(folder)), random.Random(seed).random()
            width = sum(stream.width for stream in recipe.network.streams.values())
            names = [type(thread).__name__ for thread in threading.enumerate()]
            (folder / "threads").write_text(str(names.count("RunnerThread")))
            (folder / "resume.pt").touch()
            with (folder / "epochs").open("a") as file:
                for epoch in range(1, 10):
                    time.sleep(pace.expovariate(1) / 100)
                    file.write(f"{epoch}\n")
                    file.flush()
                    metric = 1 - 0.2 - 0.3 * luck - 5 / width - (1 - epoch / 9) / 10
                    report(epoch, metric)
            (folder / "resume.pt").unlink()
            point = OperatingPoint(metric, width, 1, 1e-3, 0.0, 1)
            return Measurements((point,), {"epochs": 9, "epochs_asked": 9})

    return Table()


def search_table(root, workers):
    """Runs, or goes on with, a made-up search in `root`; returns the study."""
    space = {
        "fields": {
            "network.route": {"subsets": True},
            "network.streams.*.width": {"choices": [8, 16, 24, 32], "when": {"network.route": {"has": "*"}}},
            "training.lr": {"float": [1e-3, 1e-2], "log": True},
        },
        "fixed": {"network.streams.*.encoder": "mlp", "training.epochs": 9},
        "baselines": {"both": {"network.route": "all"}},
    }
    budget = {"trials": N_MADE_UP, "repeats": 2}
    asked = study(space=space, budget=budget, resources={"workers": workers, "cpus_per_trial": 1})
    run_search(asked, RunFolder(root), display=Display(), objective=make_table())
    return asked


def search_with_own_ray(root, workers):
    """Runs `search_table` with a Ray of as many cores."""
    ray.init = partial(ray.init, num_cpus=workers)
    search_table(root, workers)


def finish(root, workers):
    """Returns all that the study holds at its end but times."""
    asked = search_table(root, workers)
    assert read_run(RunFolder(root)).progress.done == N_MADE_UP
    passing = {"suggestion_s", "record"}
    return [
        (t.number, t.state, t.params, t.values, {k: v for k, v in t.user_attrs.items() if k not in passing})
        for t in stored_trials(RunFolder(root), asked)
    ]


def n_ended(root):
    if not (root / "study.db").is_file():
        return 0
    with sqlite3.connect(f"file:{root / 'study.db'}?mode=ro", uri=True, timeout=30) as connection:
        try:
            found = connection.execute("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')").fetchone()
        except sqlite3.OperationalError:
            return 0
    return int(found[0])


#: Parts of the command lines of Ray's processes.
RAY = (b"ray::ImplicitFunc", b"raylet/raylet", b"gcs_server")


def processes_of(root, names=RAY):
    """Processes of Ray that belong to a driver of the search in `root`, which their environment names."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                of_search = b"NASFUSE_MADE_UP=" + os.fsencode(root) in (entry / "environ").read_bytes().split(b"\0")
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if of_search and any(name in line for name in names):
                found.append(int(entry.name))
    return found


def kill(root, victim, *, n_complete):
    """Starts a search with Ray of its own, and kills one of its processes when `n_complete` trials have ended."""
    places = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))  # short, for Ray's sockets
    environment = {"NASFUSE_MADE_UP": str(root), "TMPDIR": str(places)}
    with forked(search_with_own_ray, root, N_CORES, environment=environment) as process:
        deadline = time.monotonic() + 240
        while n_ended(root) < n_complete:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the search made no progress"
            time.sleep(0.02)
        time.sleep(random.Random(n_complete).expovariate(10))
        (pid,) = [process.pid] if victim == "driver" else processes_of(root, [victim])
        os.kill(pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == (-signal.SIGKILL if victim == "driver" else 1), errors
    if victim != "driver":
        last = errors.strip().splitlines()[-1]
        assert re.search("^Error: Ray's (GCS|raylet) on this machine has died.*run the same command again", last), (
            errors
        )
    deadline = time.monotonic() + 120
    while (left := [*processes_of(root), *places.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == [], "nothing goes on without its driver"
    places.rmdir()


def test_one_worker_several_workers_and_kills_of_the_driver_and_of_ray(tmp_path):
    one = finish(tmp_path / "one", 1)
    assert sum("stopped" in attributes for *_, attributes in one) > 3
    assert finish(tmp_path / "several", N_CORES) == one
    broken = tmp_path / "broken"
    kill(broken, "driver", n_complete=6)
    kill(broken, b"raylet/raylet", n_complete=11)
    kill(broken, b"gcs_server", n_complete=16)
    assert n_ended(broken) < len(one), "it was not over yet"
    assert finish(broken, 2) == one
    for number, *_, attributes in one:
        if "stopped" in attributes:
            ran = (tmp_path / "several" / "trials" / str(number) / "epochs").read_text().split()
            assert len(ran) == attributes["stopped"]["epoch"], "its worker ran no epoch more"
    threads = [file.read_text() for file in tmp_path.glob("*/trials/*/threads")]
    assert len(threads) == 3 * N_MADE_UP
    assert set(threads) == {"1"}, "the thread of a stopped trial has ended when the next one begins"
    assert not list(tmp_path.glob("*/trials/*/resume.pt"))


def make_moody():
    """Returns an objective that is pickled by value: workers cannot import the tests."""

    class Moody:
        def __call__(self, recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
            from nasfuse.domain.operating_point import Measurements, OperatingPoint

            number = int(folder.name)
            if number == 1:
                raise RuntimeError("no\nmood [/today]")
            if number == 2:
                return None
            metric = float("nan") if number == 3 else 0.5
            point = OperatingPoint(metric, 100 + number, 1, 1e-3, 0.0, 1)
            record = {"epochs": 1, "epochs_asked": 1, "what": object() if number == 4 else "ok"}
            return Measurements(() if number == 5 else (point,), record)

    return Moody()


def make_doomed():
    """An objective whose worker dies a little after every trial's first run; inside a function, to be pickled whole."""
    record = dict(RECORD)

    def doomed(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
        import os
        import threading

        if not (folder / "doomed").exists():
            (folder / "doomed").touch()
            delay = int(folder.name) * 0.006
            threading.Timer(delay, os._exit, [1]).start()
        (folder / "model.pt").write_text("weights")
        point = OperatingPoint(metric=0.5, macs=100, params=1, latency_s=1e-3, latency_iqr_s=0.0, peak_bytes=1)
        return Measurements((point,), record)

    return doomed


def make_forgetful():
    """An objective that has lost the inherited weights of even trials; inside a function, to be pickled whole."""
    record = dict(RECORD)

    def forgetful(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
        from nasfuse.errors import InheritanceError

        if weight_sources and int(folder.name) % 2 == 0:
            raise InheritanceError("stream left cannot start\nfrom the weights")
        (folder / "weight_sources").write_text(
            " ".join(f"{stream}:{file.parent.name}" for stream, file in weight_sources.items())
        )
        (folder / "model.pt").write_text("weights")
        point = OperatingPoint(metric=0.5, macs=100, params=1, latency_s=1e-3, latency_iqr_s=0.0, peak_bytes=1)
        return Measurements((point,), record)

    return forgetful


def test_a_trial_whose_inheritance_is_lost_starts_from_scratch(folder):
    asked = study(inherit=True, budget={"trials": 20, "repeats": 2}, sampler="random")
    progress = run_search(asked, folder, display=Display(), objective=make_forgetful())
    assert progress.states["complete"] == 20, progress.reasons
    heirs = [trial for trial in stored_trials(folder, asked) if trial.user_attrs.get("inherited")]
    assert {trial.number % 2 for trial in heirs} == {0, 1}
    for trial in heirs:
        attributes = trial.user_attrs
        lost = attributes.get("from_scratch")
        assert lost == (None if trial.number % 2 else "stream left cannot start from the weights")
        given = {} if lost else attributes["inherited"]
        named = (folder.trial(trial.number) / "weight_sources").read_text()
        assert named == " ".join(f"{stream}:{source}" for stream, source in given.items())


def make_endless():
    """An objective that never ends for odd trials, and marks its training as begun; pickled whole, as it is in here."""
    record = dict(RECORD)

    def endless(recipe, *, seed, division, folder, report, weight_sources, rungs, ends_s):
        import time

        from nasfuse.backends.beginning import begun

        with begun(folder):
            (folder / "resume.pt").write_text("progress")
            time.sleep(600 if int(folder.name) % 2 else 0.2)
            (folder / "resume.pt").unlink()
        point = OperatingPoint(metric=0.5, macs=100, params=1, latency_s=1e-3, latency_iqr_s=0.0, peak_bytes=1)
        return Measurements((point,), record)

    return endless


def test_a_search_whose_trainings_do_not_end_ends_in_time(folder, monkeypatch, capfd):
    monkeypatch.setattr("nasfuse.search.budget._LEAST_GRACE_S", 2.0)
    display, started = Display(), time.monotonic()
    asked = study(budget={"minutes": 0.3})  # enough for two workers to start
    progress = run_search(asked, folder, display=display, objective=make_endless())
    assert time.monotonic() - started < 300
    assert progress.states["complete"] >= 1
    assert progress.states["out_of_time"] in {1, 2}, "of each worker"
    assert progress.states["failed"] == progress.states["running"] == 0
    assert display.ends[1] == 0, "no epoch has ended"
    assert [file.name for file in folder.trial(1).iterdir()] == ["recipe.yaml"]
    assert "Traceback" not in (shown := capfd.readouterr().err), shown


def test_trials_that_fail_in_every_way(folder):
    display = Display()
    moody = make_moody()
    progress = run_search(study(budget={"trials": 8}), folder, display=display, objective=moody)
    assert progress.done == 8
    assert progress.states["complete"] == 3
    assert set(progress.reasons) == {1, 2, 3, 4, 5}
    assert progress.reasons[1] == "RuntimeError: no mood [/today]"
    assert progress.reasons[2].startswith("AttributeError: ")
    assert progress.reasons[3] == "the measurements are not finite: metric is nan"
    assert "not JSON serializable" in progress.reasons[4]
    assert progress.reasons[5] == "it measured no operating point"


def test_workers_that_die_after_their_trial(folder):
    """Whatever Ray is doing with the worker at that moment, resetting it for another trial above all."""
    progress = run_search(study(budget={"trials": 4}), folder, display=Display(), objective=make_doomed())
    assert progress.states["complete"] == progress.done == 4, progress.reasons


def test_a_trial_that_needs_more_than_there_is(folder):
    with pytest.raises(InvalidInputError, match="this machine has not the 9999 cores"):
        run_search(study(budget={"trials": 1}, resources={"cpus_per_trial": 9999}), folder, display=Display())
