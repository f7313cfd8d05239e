"""A search is killed in every way, then the same command is given again."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
N_TRIALS = 8

STUDY = """
name: crash
data: {source: digits}
space:
  fields:
    network.route: {subsets: true}
    network.streams.*.width: {choices: [8, 16, 24, 32], when: {network.route: {has: "*"}}}
    training.lr: {float: [1e-3, 1e-2], log: true}
  fixed:
    network.streams.*.encoder: mlp
    training.epochs: 40
    training.patience: 40
  baselines:
    both: {network.route: all}
budget: {trials: 8}
stopping: off
"""


def start(folder: Path) -> "subprocess.Popen[str]":
    study = folder / "crash.yaml"
    study.write_text(STUDY)
    command = [sys.executable, str(ROOT / "cli.py"), "search", str(study), "-o", str(folder / "run"), "--workers", "2"]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


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


def wait_for(folder: Path, n_complete: int, process: "subprocess.Popen[str]") -> None:
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


def finish(folder: Path) -> None:
    process = start(folder)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    found = trials(folder)
    assert {state for state, _ in found.values()} == {"COMPLETE"}
    assert sorted(found) == list(range(N_TRIALS))


def test_kill_of_the_driver_loses_and_doubles_nothing(folder: Path) -> None:
    process = start(folder)
    wait_for(folder, 3, process)
    process.kill()
    process.communicate()
    before = complete(folder)
    interrupted = [number for number, (state, _) in trials(folder).items() if state == "RUNNING"]
    deadline = time.monotonic() + 30
    while named(folder, b"ray::ImplicitFunc", b"raylet", b"gcs_server") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert named(folder, b"ray::ImplicitFunc", b"raylet", b"gcs_server") == [], "nothing goes on without its driver"
    finish(folder)
    after = complete(folder)
    assert {number: after[number] for number in before} == before
    assert all(number in after for number in interrupted)


def test_kill_of_a_worker_costs_no_trial(folder: Path) -> None:
    process = start(folder)
    wait_for(folder, 2, process)
    os.kill(named(folder, b"ray::ImplicitFunc")[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    found = trials(folder)
    assert {state for state, _ in found.values()} == {"COMPLETE"}
    assert sorted(found) == list(range(N_TRIALS))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_orderly_end_prints_the_line_that_resumes(folder: Path, number: signal.Signals) -> None:
    process = start(folder)
    wait_for(folder, 2, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "SIGTERM received" not in errors, "the message of Ray's own handler, with a C++ stack"
    assert "Interrupted; every finished trial is kept in" in errors
    resume = errors.strip().splitlines()[-1].strip()
    assert resume.startswith("python ")
    assert resume.endswith(f"search {folder / 'crash.yaml'} -o {folder / 'run'} --workers 2")
    assert "Traceback" not in errors
    before = complete(folder)
    finish(folder)
    assert {number: values for number, values in complete(folder).items() if number in before} == before


def test_an_unbroken_run_has_the_same_baselines_and_no_leftovers(folder: Path) -> None:
    finish(folder)
    assert not (folder / "run" / ".tune").exists()
    assert not list((folder / "run" / "trials").glob("*/resume.pt"))
    kept = list((folder / "run" / "trials").glob("*/model.pt"))
    assert len(kept) == N_TRIALS, "every full training keeps its network"
