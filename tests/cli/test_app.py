"""The program as a whole: help of every verb, versions, usage errors, errors of the operating system."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from nasfuse import __version__
from nasfuse import cli as cli_package
from nasfuse.cli.app import app
from nasfuse.cli.console import command_line
from nasfuse.errors import DataWarning, NasfuseError, NonFiniteError

ROOT = Path(__file__).parents[2]
VERBS = [
    "init",
    "search",
    "status",
    "pareto",
    "compare",
    "report",
    "export",
    "train",
    "evaluate",
    "predict",
    "data",
    "doctor",
]


def test_the_verbs():
    groups = [group.name for group in app.registered_groups]
    assert sorted([command.callback.__name__ for command in app.registered_commands] + groups) == sorted(VERBS)


@pytest.mark.parametrize("verb", [[], *[[verb] for verb in VERBS], ["data", "list"], ["data", "check"]])
def test_help(nasfuse, verb):
    ran = nasfuse(*verb, "--help")
    assert ran.code == 0
    assert "Usage: " in ran.out
    assert "--help" in ran.out


def test_help_is_light():
    """Its time is a benchmark; here: nothing heavy is imported for it."""
    code = (
        "import sys; sys.argv = ['nasfuse', 'search', '--help']\n"
        "from nasfuse.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'ray', 'optuna', 'sklearn', 'numpy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"


@pytest.mark.parametrize("command", [["cli.py"], ["-m", "nasfuse"]])
def test_every_way_to_start_it(command):
    done = subprocess.run([sys.executable, *command, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, f"nasfuse {__version__}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["serach"],
        ["search"],
        ["search", "digits", "--trials", "0"],
        ["search", "digits", "--trials", "many"],
        ["search", "digits", "--seed", "-1"],
        ["search", "digits", "--max-macs", "0"],
        ["search", "digits", "--minutes", "0"],
        ["search", "digits", "--unknown"],
        ["export", "run"],
        ["export", "run", "-o", "x", "--pick", "worst"],
        ["evaluate", "model.pt", "--split", "train"],
        ["train", "r.yaml", "--seeds", "0"],
        ["data", "delete"],
    ],
)
def test_usage_errors(refuses, arguments):
    assert "Usage: " in refuses(*arguments)


@pytest.fixture
def failing(monkeypatch):
    def fail(error):
        def raise_it():
            raise error

        monkeypatch.setattr("nasfuse.cli.app.app", raise_it)

    return fail


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (NasfuseError("so [bold]not[/bold] [/x] \\[y]"), 2, "error: so [bold]not[/bold] [/x] \\[y]"),
        (NonFiniteError("the loss is nan"), 1, "error: the loss is nan"),
        (PermissionError(13, "Permission denied", "runs/x"), 2, "error: runs/x: Permission denied"),
        (OSError(28, "No space left on device", "runs/x"), 1, "error: runs/x: No space left on device"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_sentences(nasfuse, failing, error, code, message):
    failing(error)
    ran = nasfuse("status", "x")
    assert (ran.code, ran.sentence) == (code, message)


def test_each_warning_about_data_is_printed_once(nasfuse, monkeypatch):
    def warns():
        for text in ("a photo is missing", "a photo is missing", "a text is missing"):
            with warnings.catch_warnings():  # as pandas does while it reads data
                warnings.simplefilter("ignore", FutureWarning)
            warnings.warn(text, DataWarning, stacklevel=1)

    monkeypatch.setattr("nasfuse.cli.app.app", warns)
    for _ in range(2):  # in each command
        assert nasfuse("status", "x").err == "warning: a photo is missing\nwarning: a text is missing\n"


def test_internal_errors_keep_their_traceback(nasfuse, failing):
    failing(OSError("nothing to do with a file"))
    with pytest.raises(OSError, match="nothing to do with a file"):
        nasfuse("status", "x")
    assert cli_package.main is not None


@pytest.mark.parametrize(
    ("called", "shown"),
    [
        ("/usr/bin/nasfuse", "nasfuse train 'my recipe.yaml'"),
        ("cli.py", "python cli.py train 'my recipe.yaml'"),
        ("/site/nasfuse/__main__.py", "python -m nasfuse train 'my recipe.yaml'"),
    ],
)
def test_suggested_commands_call_the_program_as_it_was_called(monkeypatch, called, shown):
    monkeypatch.setattr("sys.argv", [called])
    assert command_line("train", Path("my recipe.yaml")) == shown
