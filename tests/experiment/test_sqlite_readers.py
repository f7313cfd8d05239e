"""What reads a study in an SQLite file while a search writes it meets no lock."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from nasfuse.search.storage import open_to_read, sqlite_url
from tests.forked import command_line, forked
from tests.simulated_search import driver, read_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Budget of the search, and the trial before which it waits until every reader has read a few times.
N_TRIALS, GATE = 300, 20


class Reader(threading.Thread):
    """Reads all trials again and again, each time with a new connection, until it has seen the last one end."""

    def __init__(self, read):
        super().__init__(daemon=True)
        self.read = read
        self.seen = []
        self.error = None

    def run(self):
        try:
            while not self.seen or self.seen[-1] < N_TRIALS:
                self.seen.append(self.read())
                time.sleep(0.2)
        except Exception as error:
            self.error = error


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_no_reader_meets_a_lock(tmp_path):
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    url, folder, port = sqlite_url(tmp_path / "study.db"), tmp_path / "run", free_port()
    log = tmp_path / "dashboard.txt"

    def ended_in_storage():
        storage = open_to_read(url)
        study_id = storage.get_study_id_from_name("shared")
        return sum(trial.state.is_finished() for trial in storage.get_all_trials(study_id))

    def ask(path):
        with urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=60) as answer:
            return json.load(answer)

    def ended_on_dashboard():
        while True:
            try:
                studies = ask("studies")["study_summaries"]
                (study_id,) = [one["study_id"] for one in studies if one["study_name"] == "shared"]
                return sum(one["state"] == "Complete" for one in ask(f"studies/{study_id}")["trials"])
            except URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise
                time.sleep(0.1)  # the dashboard starts

    program = Path(sys.executable).with_name("optuna-dashboard")
    with (
        driver(url, folder, n_trials=N_TRIALS, pause=0.02, gates={GATE: "read"}) as search,
        log.open("w") as written,
        contextlib.ExitStack() as stack,
    ):
        read_until(search, "ended: 3")
        watched = stack.enter_context(forked(command_line, "status", folder, "--watch"))
        served = subprocess.Popen(
            [program, url, "--host", "127.0.0.1", "--port", str(port)], stdout=written, stderr=written
        )
        try:
            readers = [Reader(ended_in_storage), Reader(ended_in_storage), Reader(ended_on_dashboard)]
            for reader in readers:
                reader.start()
            while any(len(reader.seen) < 3 and reader.error is None for reader in readers):
                time.sleep(0.1)
            (tmp_path / "read").touch()
            read_until(search, "front:")
            ended, errors = search.wait(timeout=300), search.stderr.read()
            for reader in readers:
                reader.join(timeout=300)
            shown, complaints = watched.communicate(timeout=300)
        finally:
            served.kill()
            served.wait()
    assert ended == 0, errors
    for reader in readers:
        assert reader.error is None
        assert reader.seen == sorted(reader.seen)
        assert len(set(reader.seen)) > 2, "it has read while trials ended"
        assert reader.seen[-1] == N_TRIALS
    assert watched.returncode == 0, complaints
    assert f"{N_TRIALS} complete" in shown
    for text in (complaints, log.read_text(), errors):
        assert "lock" not in text.lower()
