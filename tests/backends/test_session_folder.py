"""The private folder of a Ray session: where it lies, who may enter, and what is left behind."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from nasfuse.backends import session_folder as module
from nasfuse.backends.session_folder import session_folder
from nasfuse.errors import InvalidInputError

ROOT = Path(__file__).parents[2]

#: What Ray puts into the folder, with the longest process id of Linux.
SOCKET = "session_2026-11-28_16-36-30_592108_4194304/sockets/plasma_store"


@pytest.fixture
def place(monkeypatch):
    """Sets the user's folder for temporary files to one whose path has so many characters."""
    made = []

    def set_place(length):
        base = Path(tempfile.mkdtemp(prefix="p", dir="/tmp"))
        made.append(base)
        folder = base / ("x" * (length - len(str(base)) - 1))
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        return folder

    yield set_place
    for base in made:
        for path in sorted(base.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        base.rmdir()


@pytest.mark.parametrize("length", [16, 20, 21, 24, 25, 26, 30, 60, 100])
def test_sockets_fit_for_every_length_of_the_temporary_folder(place, length):
    wanted = place(length)
    with session_folder() as folder:
        assert len(os.fsencode(folder / SOCKET)) <= 107
        assert folder.is_relative_to(wanted) == (length <= 25)
    assert not folder.parent.exists()
    assert list(wanted.iterdir()) == []


def test_bytes_are_counted_not_characters(place, monkeypatch):
    folder = place(16).parent / ("\N{GREEK SMALL LETTER ALPHA}" * 8)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert len(str(folder)) <= 25 < len(os.fsencode(folder))
    with session_folder() as made:
        assert not made.is_relative_to(folder)


def test_only_this_user_can_enter():
    before = os.umask(0)
    try:
        with session_folder() as folder:
            assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
            assert folder.parent.stat().st_uid == os.getuid()
    finally:
        os.umask(before)


def test_no_place_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_places", lambda: [tmp_path / "absent", tmp_path / ("x" * 100)])
    with pytest.raises(InvalidInputError, match=r"a path of at most 25 bytes .* Set TMPDIR to one"), session_folder():
        pass


#: A driver that has started a process, prints where its folder is, and waits.
DRIVER = """
import subprocess, sys, tempfile
tempfile.tempdir = sys.argv[1]
from nasfuse.backends.session_folder import session_folder
with session_folder() as folder:
    subprocess.Popen(["sh", "-c", "sleep 600 & wait"], start_new_session=True)
    print(folder, flush=True)
    sys.stdin.read()
"""


def start_driver(place):
    """Returns a driver, its folder, its janitor, and the processes it has started."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(place)], cwd=ROOT, text=True, **pipes)
    folder = Path(process.stdout.readline().strip())
    (janitor,) = [pid for pid in children(process.pid) if b"janitor" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    (shell,) = set(children(process.pid)) - {janitor}
    wait_until(lambda: children(shell))
    return process, folder, janitor, [shell, *children(shell)]


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "in order"])
def test_whatever_ends_a_driver_its_processes_and_its_folder_are_gone(place, is_killed):
    process, folder, janitor, started = start_driver(place(20))
    assert os.getsid(janitor) != os.getsid(process.pid), "Ctrl-C of a terminal does not reach it"
    if is_killed:
        process.kill()
    process.communicate()
    if not is_killed:
        assert not folder.parent.exists()
    wait_until(lambda: not any(map(is_alive, [janitor, *started])))
    assert not folder.parent.exists()


def test_a_folder_whose_driver_and_janitor_were_killed_is_removed_by_the_next_driver(place):
    process, folder, janitor, started = start_driver(place(20))
    try:
        with session_folder():
            assert folder.is_dir()
    finally:
        for pid in (janitor, process.pid, *started):
            os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert folder.is_dir()
    with session_folder():
        assert not folder.parent.exists()


def test_a_folder_that_ray_processes_of_a_killed_driver_create_again_stays_private_until_it_stays_empty(place):
    root = place(20) / "nf-killed12"
    root.mkdir(mode=0o700)
    (root / "owner").touch()
    logs = root / "r" / "session_1" / "logs"
    for _ in range(2):  # an agent writes its log again after the folder was emptied
        logs.mkdir(parents=True)
        with session_folder():
            assert list(root.iterdir()) == [root / "owner"]
            assert stat.S_IMODE(root.stat().st_mode) == 0o700
    with session_folder():
        assert not root.exists()


def test_a_folder_that_ray_has_created_again_is_removed(place):
    root = place(20) / "nf-again123"
    (root / "r" / "session_1" / "logs").mkdir(parents=True)
    new = root.with_name("nf-begun123")  # a driver that is about to write its owner file
    new.mkdir()
    with session_folder():
        assert not root.exists()
        assert new.exists()
    new.rmdir()
