"""The command line in this process: what it prints, where, and its exit code."""

import contextlib
import json
import sys
from dataclasses import dataclass

import pytest

from nasfuse.cli import console, main
from nasfuse.experiment import started_ahead as ahead


@dataclass
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def sentence(self):
        """The error message in one line."""
        return " ".join(self.err.split())


@pytest.fixture
def nasfuse(capsys, monkeypatch, tmp_path):
    """Runs `nasfuse ...` in an empty working folder; a search that is refused has not started Ray by then."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ahead, "started_ahead", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("COLUMNS", "200")
    for one in (console.out, console.err):  # made at import, with the width of that moment
        monkeypatch.setattr(one, "width", 200)

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["nasfuse", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as done:
            code = done.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert "\x1b" not in out + err, "output that is no terminal is plain"
        return Ran(code, out, err)

    return run


def _is_of_interest(path):
    """SQLite may tidy up its own files whenever somebody reads them."""
    return path.name != "lock" and not path.name.startswith("study.db")


@pytest.fixture
def refuses(nasfuse, tmp_path):
    """Asserts that a command ends with exit code 2 and a message, and that no file has changed."""

    def files():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and _is_of_interest(path)}

    def check(*arguments):
        before = files()
        ran = nasfuse(*arguments)
        assert ran.code == 2, ran
        assert ran.out == ""
        assert files() == before
        return ran.sentence

    return check


@pytest.fixture
def run_folder(make_run, tmp_path):
    """A run of six trials: three on the front, one failed, one still running."""
    results = [(0.5, 100), (0.4, 200), (0.9, 1000), "ValueError: shape [3, /4]", (0.95, 20_000), None]
    return make_run(tmp_path / "run", results).root
