"""The private folder of a Ray session: where it lies, who may enter, and what is left behind."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
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


def test_the_folder_of_a_killed_driver_is_removed_and_that_of_a_living_one_is_not(place):
    code = (
        "import sys, tempfile\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "from nasfuse.backends.session_folder import session_folder\n"
        "with session_folder() as folder:\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(place(20))], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    folder = Path(other.stdout.readline().strip())
    try:
        with session_folder():
            assert folder.is_dir()
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
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
