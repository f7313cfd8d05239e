"""The program as a whole: help of every verb, versions, usage errors, errors of the operating system."""

import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer.main

from nasfuse import __version__
from nasfuse import cli as cli_package
from nasfuse.cli import console
from nasfuse.cli.app import app
from nasfuse.cli.console import command_line, new_console, print_json
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
    "latency",
    "train",
    "evaluate",
    "predict",
    "data",
    "doctor",
]


COMMANDS = [
    path
    for name, verb in typer.main.get_command(app).commands.items()
    for path in ([(name, sub) for sub in verb.commands] if hasattr(verb, "commands") else [(name,)])
]
HEAVY = {"torch", "ray", "optuna", "sklearn", "numpy", "pandas", "plotly", "matplotlib", "yaml"}


def options_of(path):
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    return [option for parameter in command.params for option in parameter.opts]


def test_messages_may_name_every_verb():
    assert set(console._VERBS) == set(VERBS)


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
    """Its time is a benchmark; here: nothing heavy is imported for the help of any verb, nor for completion."""
    code = (
        "import os, sys\n"
        "from nasfuse.cli import main\n"
        f"for verb in [[], *({[[*path] for path in COMMANDS]})]:\n"
        "    sys.argv = ['nasfuse', *verb, '--help']\n"
        "    try: main()\n"
        "    except SystemExit as done: assert not done.code, verb\n"
        "os.environ |= {'_NASFUSE_COMPLETE': 'complete_bash', 'COMP_WORDS': 'nasfuse export --pi', 'COMP_CWORD': '2'}\n"
        "sys.argv = ['nasfuse']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print({HEAVY} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
    assert done.stdout.count("Usage: nasfuse") == len(COMMANDS) + 1


@pytest.mark.parametrize(("command", "name"), [(["cli.py"], "python cli.py"), (["-m", "nasfuse"], "python -m nasfuse")])
def test_every_way_to_start_it(command, name):
    done = subprocess.run([sys.executable, *command, "export"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"Usage: {name} export [OPTIONS] " in done.stderr


def test_version(nasfuse):
    assert nasfuse("--version").out == f"nasfuse {__version__}\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("nasfuse ex", ["export"]),
        ("nasfuse export --pi", ["--pick"]),
        ("nasfuse export run --pick ", ["best", "knee", "cheapest"]),
        ("nasfuse data c", ["check"]),
    ],
)
def test_completion_in_bash(nasfuse, monkeypatch, words, found):
    """The protocol that the script of `nasfuse --show-completion` speaks."""
    monkeypatch.setenv("_NASFUSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert nasfuse().out.split() == found


def test_the_script_of_completion(nasfuse, monkeypatch):
    monkeypatch.setenv("_NASFUSE_COMPLETE", "source_bash")
    out = nasfuse().out
    assert "_NASFUSE_COMPLETE=complete_bash" in out
    assert "complete -o default -F _nasfuse_completion nasfuse" in out


def test_every_verb_with_results_prints_json():
    without = {path for path in COMMANDS if "--json" not in options_of(path)}
    assert without == {("init",), ("report",)}, "they write a file"


def test_json_has_no_numbers_that_it_cannot_hold(capsys):
    print_json({"a": [float("nan"), 1.5, (2, float("inf"))], "b": None})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5, [2, None]], "b": None}


@pytest.mark.parametrize(("value", "is_red"), [("", True), ("1", False)])
def test_no_color(monkeypatch, value, is_red):
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setenv("TERM", "xterm")
    screen = new_console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(console, "err", screen)
    console.explain("it broke")
    assert ("31m" in screen.file.getvalue()) == is_red
    assert "it broke" in screen.file.getvalue()


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("use `nasfuse predict` here", "use `python cli.py predict` here"),
        ("nasfuse is not one; install nasfuse again", "nasfuse is not one; install nasfuse again"),
        ("column a of t.csv, row 3: it is empty", "column a of t.csv, row 3: it is empty (rows are counted from 0)"),
        ("3 rows, counted from 0: row 1", "3 rows, counted from 0: row 1"),
    ],
)
def test_messages_of_the_library(monkeypatch, message, shown):
    monkeypatch.setattr("sys.argv", ["cli.py"])
    assert console.for_people(message) == shown


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
        def raise_it(prog_name):
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
    def warns(prog_name):
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
