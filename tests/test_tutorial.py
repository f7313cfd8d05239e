"""The tutorial: its commands run in their order, and print what the page shows.

Every block of the page that starts with `console` is run: lines after `$ ` are commands, the others their output.
Numbers may be others, `...` stands for any text, and lines of the command that the page leaves out are ignored.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import forked, installed_command

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")

_NUMBER = re.compile(r"[+-]?\d[\d.,:]*(?:e[+-]?\d+)?")


def commands_in(page):
    """The commands of a page in their order, each with the lines that it is to print."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip():
                found[-1][1].append(line)
    return found


def pattern_of(line):
    """The regular expression of a line of output."""

    def of_text(text):
        return _NUMBER.pattern.join(re.escape(piece) for piece in _NUMBER.split(text))

    parts = [".*".join(of_text(text) for text in word.split("...")) for word in line.split()]
    return re.compile(r"\s*" + r"\s+".join(parts) + r"\s*")


def missing_lines(expected, printed):
    """The first expected line that does not follow in the output, if there is one, with what was printed."""
    lines = iter(printed.splitlines())
    for line in expected:
        pattern = pattern_of(line)
        if not any(pattern.fullmatch(other) for other in lines):
            return f"{line!r} is not in this place of:\n{printed}"
    return ""


class TestTheComparison:
    def test_numbers_and_gaps(self):
        assert pattern_of("test accuracy 0.95 +- 0.01 (sd of 3 seeds)").fullmatch(
            "  test accuracy 1.0000 +- 0.02 (sd of 2 seeds)"
        )
        assert pattern_of("trial 3: ... MACs").fullmatch("trial 12:4: accuracy 0.9 (validation), 1,000 MACs")
        assert pattern_of("p00000,...").fullmatch("p00007,clock,0.5,1e-05,0.5")
        assert not pattern_of("wrote a.csv").fullmatch("wrote b.csv")

    def test_the_order_of_lines(self):
        assert missing_lines(["a 1", "c ..."], "a 2\nb\nc d e") == ""
        assert missing_lines(["c", "a"], "a\nb\nc").startswith("'a' is not in this place of:\na\nb\nc")

    def test_commands_of_a_page(self):
        page = "x\n```console\n$ one -o a\nfirst\n\n$ two\n```\n```python\n$ no\n```\n"
        assert commands_in(page) == [("one -o a", ["first"]), ("two", [])]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_command_prints_what_the_page_says(tmp_path):
    for script in ("make_products.py", "use_bundle.py"):
        shutil.copy(ROOT / "docs" / script, tmp_path)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
        "MINUTES": "0.05",  # as the page offers
    }
    commands = commands_in(PAGE)
    assert len(commands) > 7
    for command, expected in commands:
        run = run_in_fork if command.startswith("nasfuse ") else run_in_shell
        returncode, printed = run(command, tmp_path, environment)
        assert returncode == 0, f"{command}: {printed}"
        assert not (wrong := missing_lines(expected, printed)), f"{command}: {wrong}"


def run_in_shell(command, folder, environment):
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def run_in_fork(command, folder, environment):
    """Runs a command of nasfuse, with the arguments that a shell gives it, in a process that has imported nasfuse."""
    _, words = run_in_shell(f"printf '%s\\n' {command}", folder, environment)
    with forked(installed_command, *words.splitlines(), cwd=folder, environment=environment, joined=True) as process:
        printed, _ = process.communicate()
    return process.returncode, printed
