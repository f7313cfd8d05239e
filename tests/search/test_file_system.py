"""Which file systems machines share, and how SQLite writes there."""

import pytest
from sqlalchemy import text

from nasfuse.search import file_system
from nasfuse.search.file_system import on_shared_file_system
from nasfuse.search.storage import open_storage, sqlite_url

ROOT = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw"


@pytest.fixture
def mount(tmp_path, monkeypatch):
    """Lets the process see the root and one more mount, at a folder of that name whose path is returned."""

    def at(folder: str, *kinds: str):
        escaped = str(tmp_path / folder).replace(" ", r"\040")
        lines = [f"40 22 0:40 / {escaped} rw,nosuid - {kind} server:/runs rw" for kind in kinds]
        file = tmp_path / "mountinfo"
        file.write_text("\n".join([lines[0], ROOT, *lines[1:]]))
        monkeypatch.setattr(file_system, "_MOUNTS", file)
        (tmp_path / folder).mkdir()
        return tmp_path / folder

    return at


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse", "lustre", "9p", "virtiofs"])
def test_file_systems_of_several_machines(mount, kind):
    assert on_shared_file_system(mount("runs", kind) / "study.db")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuseblk"])
def test_file_systems_of_one_machine(mount, kind):
    assert not on_shared_file_system(mount("runs", kind) / "study.db")


def test_only_folders_of_the_mount_are_shared(mount, tmp_path):
    folder = mount("runs", "nfs4")
    assert not on_shared_file_system(tmp_path / "runs of mine" / "study.db")
    assert on_shared_file_system(folder / "a" / "b" / "study.db")


def test_a_folder_with_a_blank(mount):
    assert on_shared_file_system(mount("shared runs", "nfs4") / "study.db")


def test_the_last_mount_at_a_folder_counts(mount):
    assert not on_shared_file_system(mount("runs", "nfs4", "ext4") / "study.db")


def test_a_link_to_a_shared_folder(mount, tmp_path):
    (tmp_path / "link").symlink_to(mount("runs", "nfs4"))
    assert on_shared_file_system(tmp_path / "link" / "study.db")


def test_a_system_without_a_list_of_mounts(tmp_path, monkeypatch):
    monkeypatch.setattr(file_system, "_MOUNTS", tmp_path / "absent")
    assert not on_shared_file_system(tmp_path)


@pytest.mark.parametrize(("kind", "mode"), [("ext4", "wal"), ("nfs4", "delete")])
def test_the_journal_of_sqlite_follows_the_file_system(mount, kind, mode):
    storage = open_storage(sqlite_url(mount("runs", kind) / "study.db"))
    with storage.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == mode


def test_a_study_that_was_moved_to_a_shared_folder_gives_up_its_log(mount, tmp_path):
    open_storage(sqlite_url(tmp_path / "study.db")).engine.dispose()
    (tmp_path / "study.db").rename(mount("runs", "nfs4") / "study.db")
    storage = open_storage(sqlite_url(tmp_path / "runs" / "study.db"))
    with storage.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"
