"""Searches on a real PostgreSQL server: one driver after another, and a server that restarts in the middle."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from nasfuse.search import open_storage
from nasfuse.search.lease import lease_name

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

N_TRIALS = 60

# The trials of a driver end at once; it prints the number of each, and the notes of the search.
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
    time.sleep(float(pause))
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

url, folder, n_trials, pause = sys.argv[1:]
study = StudyConfig.of({
    "name": "shared", "storage": url, "data": {"source": "digits"}, "sampler": "random",
    "space": {"fields": {"training.lr": {"float": [1e-4, 1e-1], "log": True}, "network.dropout": {"float": [0, 0.5]}},
              "fixed": {"network.streams.*.encoder": "linear", "training.epochs": 1}},
    "budget": {"trials": int(n_trials), "repeats": 1}, "resources": {"workers": 2}, "stopping": "off",
})
run_search(study, RunFolder(Path(folder)), display=Display(), objective=print, open_backend=open_simulated)
"""


class Server:
    """A PostgreSQL server of our own; root hands it to the user `postgres`, as it refuses to run as root."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._as = []
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "nasfuse", "--no-sync")

    @property
    def url(self):
        return f"postgresql://nasfuse@127.0.0.1:{self.port}/postgres"

    def start(self):
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -F"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "-o", options, "-w", "start")

    def stop(self):
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "stop")

    def _run(self, program, *arguments):
        subprocess.run([*self._as, found(program), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")


def found(program):
    """Returns the path of a program of PostgreSQL; Debian keeps them outside the search path."""
    places = [shutil.which(program), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}")))]
    return next((place for place in places if place), None)


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    if found("initdb") is None or (os.getuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("PostgreSQL is not installed")
    folder = tempfile.mkdtemp(prefix="pg")
    try:
        server = Server(folder)
        server.start()
        yield server
        with contextlib.suppress(subprocess.CalledProcessError):
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def driver(server, folder, *, pause):
    """Yields the process of a search on the server, whose trials take `pause` seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, server.url, str(folder), str(N_TRIALS), str(pause)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_until(process, text):
    """Reads lines up to the first with `text`, and returns all."""
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if text in line:
            return lines
    raise AssertionError(f"no line with {text!r} in {lines}")


def trials_in(server):
    storage = open_storage(server.url)
    studies = {study.study_name: study._study_id for study in storage.get_all_studies()}
    assert lease_name("shared") not in studies, "the lease is given back"
    trials = storage.get_all_trials(studies["shared"])
    storage.delete_study(studies["shared"])
    return trials


def check_all_there_once(trials):
    assert [trial.number for trial in trials] == list(range(N_TRIALS))
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": N_TRIALS}
    assert len({tuple(trial.params.values()) for trial in trials}) == N_TRIALS


def test_a_second_driver_waits_and_takes_over_from_one_that_was_killed(server, tmp_path):
    with driver(server, tmp_path / "a", pause=0.5) as first:
        read_until(first, "ended: 5")
        with driver(server, tmp_path / "b", pause=0) as second:
            read_until(second, f"waiting for another search of shared, on {socket.gethostname()} (process {first.pid})")
            first.kill()
            first.wait()
            lines = read_until(second, f"ended: {N_TRIALS - 1}")
            assert second.wait(timeout=60) == 0
    assert any("taking shared over from a search that has died" in line for line in lines)
    check_all_there_once(trials_in(server))


def test_a_search_goes_on_when_its_server_has_been_away(server, tmp_path):
    with driver(server, tmp_path / "run", pause=0.05) as process:
        read_until(process, "ended: 5")
        server.stop()
        read_until(process, "note: the storage does not answer")
        server.start()
        lines = read_until(process, f"ended: {N_TRIALS - 1}")
        assert process.wait(timeout=60) == 0
    assert any("the storage answers again" in line for line in lines)
    check_all_there_once(trials_in(server))
