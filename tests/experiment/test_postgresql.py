"""Searches on a real PostgreSQL server: several drivers of one study, and a server that restarts in the middle.

`NASFUSE_OUTAGE_S` is the time for which the server is away, in seconds; 0 by default.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from nasfuse.search.storage import open_storage
from tests.simulated_search import driver, read_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

#: Trial from which trainings wait for a file beside the run folder: when it is there, all drivers take part.
GATES = {20: "second", 50: "third"}


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


def numbers(lines, word):
    """Returns the numbers of the trials that began, or ended."""
    return [int(line.split()[1]) for line in lines if line.startswith(f"{word}:")]


def trials_in(server):
    storage = open_storage(server.url)
    (study,) = storage.get_all_studies()
    assert study.study_name == "shared", "no driver has left a trace"
    trials = storage.get_all_trials(study._study_id)
    storage.delete_study(study._study_id)
    return trials


def check_all_there_once(trials, n_trials):
    assert [trial.number for trial in trials] == list(range(n_trials))
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": n_trials}
    assert len({tuple(trial.params.values()) for trial in trials}) == n_trials


def test_two_drivers_share_a_study_and_one_is_killed(server, tmp_path):
    n_trials = 200

    def start():
        return driver(server.url, tmp_path / "run", n_trials=n_trials, pause=0.02, gates=GATES)

    with start() as first, start() as second:
        begin = read_until(second, "began:")
        (tmp_path / "second").touch()
        lines = read_until(first, "ended:", times=15)
        first.kill()
        first.wait()
        lines += [line.strip() for line in first.stdout]
        with start() as third:
            rest = read_until(third, "began:")
            (tmp_path / "third").touch()
            own = [begin + read_until(second, "front:"), rest + read_until(third, "front:")]
            assert (second.wait(timeout=300), third.wait(timeout=300)) == (0, 0)
    fronts = [one[-1] for one in own]
    ended = [number for one in (lines, *own) for number in numbers(one, "ended")]
    assert len(ended) == len(set(ended))
    began = Counter(number for one in (lines, *own) for number in numbers(one, "began"))
    again = [number for number, times in began.items() if times > 1]
    assert max(began.values()) <= 2
    assert set(again) <= set(numbers(lines, "began")), "what the killed driver ran, and nothing else, was run again"
    assert len(again) <= 2
    assert set(began) == set(range(n_trials))
    assert fronts[0] == fronts[1]
    check_all_there_once(trials_in(server), n_trials)


def test_a_driver_with_another_run_folder_is_refused_while_one_runs(server, tmp_path):
    n_trials = 12
    with driver(server.url, tmp_path / "a", n_trials=n_trials, gates={8: "never"}) as first:
        read_until(first, "began: 8")
        with driver(server.url, tmp_path / "b", n_trials=n_trials) as second:
            assert second.wait(timeout=300) == 1
            assert (
                f"another search of shared runs on {socket.gethostname()} (process {first.pid}) with another run folder"
            ) in second.stderr.read()
        first.kill()
        first.wait()
        with driver(server.url, tmp_path / "b", n_trials=n_trials) as second:
            read_until(second, "front:")
            assert second.wait(timeout=300) == 0
    check_all_there_once(trials_in(server), n_trials)


def test_a_search_goes_on_when_its_server_has_been_away(server, tmp_path):
    n_trials = 12
    with driver(server.url, tmp_path / "run", n_trials=n_trials, gates={8: "stopped"}) as process:
        read_until(process, "began: 8")
        server.stop()
        (tmp_path / "stopped").touch()
        read_until(process, "note: the storage does not answer")
        time.sleep(float(os.environ.get("NASFUSE_OUTAGE_S", "0")))
        server.start()
        lines = read_until(process, "front:")
        assert process.wait(timeout=300) == 0
    assert any("the storage answers again" in line for line in lines)
    check_all_there_once(trials_in(server), n_trials)
