"""Storage: SQLite for one writer and many readers; what is damaged or out of reach is said in one sentence."""

import sqlite3

import optuna
import pytest
from sqlalchemy import make_url

from nasfuse.errors import RunFolderError
from nasfuse.search.storage import check_storage, open_storage, sqlite_url, with_password


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "study.db"
    study = optuna.create_study(storage=open_storage(sqlite_url(path)), study_name="x")
    for number in range(30):
        trial = study.ask()
        trial.set_user_attr("note", "a" * 2000)
        study.tell(trial, trial.suggest_float("x", 0, 1) + number)
    return path


def test_the_storage_is_created(tmp_path):
    open_storage(sqlite_url(tmp_path / "a b.db"))
    assert (tmp_path / "a b.db").is_file()


def test_readers_do_not_wait_for_the_writer(database):
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    storage = open_storage(sqlite_url(database))
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert len(optuna.load_study(study_name="x", storage=open_storage(sqlite_url(database))).trials) == 30
    writer.close()


@pytest.mark.parametrize("content", [b"this is no database at all", b"SQLite format 3\0" + b"\xff" * 4096])
def test_no_database(tmp_path, content):
    path = tmp_path / "study.db"
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"cannot open the study's storage sqlite:///.*study\.db: .*; check"):
        open_storage(sqlite_url(path))
    assert path.read_bytes() == content


def test_damaged_in_the_middle(database):
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(database.read_bytes())
    content[len(content) // 4 : len(content) // 4 * 3] = b"\xa5" * (len(content) // 4 * 2)
    database.write_bytes(content)
    with pytest.raises(RunFolderError, match="cannot open the study's storage"):
        open_storage(sqlite_url(database))


def test_cut_off(database):
    content = database.read_bytes()
    database.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunFolderError, match="cannot open the study's storage"):
        open_storage(sqlite_url(database))


@pytest.mark.parametrize("url", ["nothing", "sqlite:////no/such/folder/study.db", "unknown://x", "postgresql://h/x"])
@pytest.mark.parametrize("opens", [open_storage, check_storage])
def test_an_unreachable_server(url, opens):
    with pytest.raises(RunFolderError, match="cannot open the study's storage"):
        opens(url)


def test_a_check_creates_nothing(tmp_path, database):
    check_storage(sqlite_url(tmp_path / "new.db"))
    assert not (tmp_path / "new.db").exists()
    check_storage(sqlite_url(database))
    check_storage(f"sqlite:///file:{tmp_path}/new.db?uri=true")
    (tmp_path / "empty.db").touch()
    check_storage(sqlite_url(tmp_path / "empty.db"))
    (tmp_path / "text.db").write_text("text")
    with pytest.raises(RunFolderError, match="cannot open the study's storage"):
        check_storage(sqlite_url(tmp_path / "text.db"))


def test_a_password_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "s3cret/@:")
    opened = make_url(with_password("postgresql://me:$DB_PASSWORD@h/x"))
    assert (opened.username, opened.password, opened.host) == ("me", "s3cret/@:", "h")
    for url in ("sqlite:////tmp/a b.db", "mysql://h/x", "nothing"):
        assert with_password(url) == url


def test_a_password_that_is_not_set(monkeypatch):
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    with pytest.raises(RunFolderError, match=r"mysql://me:\*\*\*@h/x takes .* DB_PASSWORD, which is not set"):
        open_storage("mysql://me:$DB_PASSWORD@h/x")


def test_passwords_are_not_shown():
    with pytest.raises(RunFolderError) as caught:
        open_storage("unknown://me:secret@h/x")
    assert "unknown://me:***@h/x" in str(caught.value)
    assert "secret" not in str(caught.value)
