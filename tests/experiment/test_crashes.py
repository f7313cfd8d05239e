"""One search that is interrupted by every signal, and started again each time with the same command.

What is left by a driver that is killed is in test_run_through_ray.py.
"""

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.forked import Forked, command_line, forked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

N_TRIALS = 7

STUDY = f"""
name: crash
data: {{source: digits}}
space:
  fields:
    network.route: {{subsets: true}}
    network.streams.*.width: {{choices: [8, 16, 24, 32], when: {{network.route: {{has: "*"}}}}}}
    training.lr: {{float: [1e-3, 1e-2], log: true}}
  fixed:
    network.streams.*.encoder: mlp
    training.epochs: 20
    training.patience: 20
  baselines:
    both: {{network.route: all}}
budget: {{trials: {N_TRIALS}}}
stopping: off
"""


def start(folder: Path) -> "contextlib.AbstractContextManager[Forked]":
    study = folder / "crash.yaml"
    study.write_text(STUDY)
    return forked(command_line, "search", study, "-o", folder / "run", "--workers", "2")


def trials(folder: Path) -> dict[int, tuple[str, tuple[float, ...]]]:
    """Trial number to (state, values), read as any other program would."""
    database = folder / "run" / "study.db"
    if not database.is_file():
        return {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        try:
            states = connection.execute("SELECT trial_id, number, state FROM trials").fetchall()
            values = connection.execute("SELECT trial_id, value FROM trial_values ORDER BY objective").fetchall()
        except sqlite3.OperationalError:
            return {}
    return {
        number: (state, tuple(value for owner, value in values if owner == identity))
        for identity, number, state in states
    }


def complete(folder: Path) -> dict[int, tuple[float, ...]]:
    return {number: values for number, (state, values) in trials(folder).items() if state == "COMPLETE"}


def wait_for(folder: Path, n_complete: int, process: Forked) -> None:
    deadline = time.monotonic() + 300
    while len(complete(folder)) < n_complete:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the search made no progress"
        time.sleep(0.05)


def processes_of(folder: Path) -> list[int]:
    """Processes of Ray that belong to searches under `folder`: their environment names its driver's session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"NASFUSE_CRASH_TEST=" + os.fsencode(folder) in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return [pid for pid in found if pid != os.getpid()]


def named(folder: Path, *names: bytes) -> list[int]:
    found = []
    for pid in processes_of(folder):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if any(name in line for name in names):
            found.append(pid)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASFUSE_CRASH_TEST", str(tmp_path))
    return tmp_path


def running(folder: Path) -> list[int]:
    return [number for number, (state, _) in trials(folder).items() if state == "RUNNING"]


def wait_until_gone(folder: Path) -> None:
    """Ray's processes end soon after their driver."""
    names = (b"ray::ImplicitFunc", b"raylet", b"gcs_server")
    deadline = time.monotonic() + 120
    while named(folder, *names) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert named(folder, *names) == [], "nothing goes on without its driver"


def check_orderly_end(folder: Path, number: signal.Signals, *, n_complete: int) -> dict[int, tuple[float, ...]]:
    """Sends a signal to a search when `n_complete` trials are; returns what was complete at its end."""
    with start(folder) as process:
        wait_for(folder, n_complete, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + number, errors
    assert "SIGTERM received" not in errors, "the message of Ray's own handler, with a C++ stack"
    assert "Interrupted; every finished trial is kept in" in errors
    resume = errors.strip().splitlines()[-1].strip()
    assert resume.startswith("python ")
    assert resume.endswith(f"search {folder / 'crash.yaml'} -o {folder / 'run'} --workers 2")
    assert "Traceback" not in errors
    return complete(folder)


def test_a_search_that_is_interrupted_loses_and_doubles_nothing(folder: Path) -> None:
    """Three sessions of one run: ended by SIGINT, by SIGTERM, and by its budget after SIGKILL of a worker."""
    kept = [check_orderly_end(folder, signal.SIGINT, n_complete=1)]
    kept.append(check_orderly_end(folder, signal.SIGTERM, n_complete=len(kept[0]) + 1))
    interrupted = running(folder)

    with start(folder) as process:
        wait_for(folder, len(kept[-1]) + 1, process)
        assert len(complete(folder)) < N_TRIALS, "it was not over yet"
        os.kill(named(folder, b"ray::ImplicitFunc")[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    wait_until_gone(folder)

    found = trials(folder)
    assert {state for state, _ in found.values()} == {"COMPLETE"}
    assert sorted(found) == list(range(N_TRIALS))
    after = complete(folder)
    for before in kept:
        assert {number: after[number] for number in before} == before, "what was complete is not measured again"
    assert all(number in after for number in interrupted)
    assert not (folder / "run" / ".tune").exists()
    assert not list((folder / "run" / "trials").glob("*/resume.pt"))
    networks = list((folder / "run" / "trials").glob("*/model.pt"))
    assert len(networks) == N_TRIALS, "every full training keeps its network"
