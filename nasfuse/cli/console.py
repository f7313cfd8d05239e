"""Output of the command line: results to standard output, everything else to standard error.

Text is printed literally: the consoles do not interpret markup, because paths, names and messages may contain brackets.
Styles are given as arguments (`style=`) or with `rich.text.Text.assemble`.
"""

import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def new_console(**options: Any) -> Console:
    """Returns a console that prints text literally; `options` are those of `rich.console.Console`."""
    return Console(highlight=False, markup=False, emoji=False, **options)


out = new_console()
err = new_console(stderr=True)

#: Seconds between two lines of progress if the output is not a terminal.
LINE_EVERY_S = 10.0


def explain(message: str) -> None:
    """Prints an error message without a traceback."""
    err.print(Text.assemble(("error:", "bold red"), " ", message), soft_wrap=True)


def explain_fault(message: str) -> None:
    """Prints that nasfuse itself is wrong, without a traceback."""
    err.print(Text.assemble(("fault of nasfuse:", "bold red"), " ", message), soft_wrap=True)


def command_line(*arguments: object) -> str:
    """Returns a command for a shell that calls the program as it was called: `nasfuse`, or `python cli.py`."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        called = ["python", "-m", program.parent.name]
    else:
        called = ["python", str(program)] if program.suffix == ".py" else [program.name]
    return shlex.join([*called, *map(str, arguments)])


def warn(message: str) -> None:
    """Prints a warning; the command continues."""
    err.print(Text.assemble(("warning:", "bold yellow"), " ", message), soft_wrap=True)


def say(console: Console, text: str | Text, *, style: str | None = None) -> None:
    """Prints a sentence: wrapped between words on a terminal, in one line elsewhere.

    Lines with a command or a path to copy are printed with `soft_wrap=True` instead, which a terminal may wrap anywhere
    and copies as one line.
    """
    console.print(text, style=style, soft_wrap=not console.is_terminal)


def print_labelled(console: Console, lines: Iterable[tuple[str, str]], *, width: int) -> None:
    """Prints labels and their texts in two columns: wrapped between words on a terminal, in one line each elsewhere.

    Args:
        console: Console to print to.
        lines: Label and text of each line; an empty label continues the line before.
        width: Least width of the labels, which are aligned to the right.
    """
    if not console.is_terminal:
        for label, text in lines:
            console.print(f"{label:>{width}}  {text}", soft_wrap=True)
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right", no_wrap=True, min_width=width)
    grid.add_column()
    for label, text in lines:
        grid.add_row(label, text)
    console.print(grid)


def print_json(values: Any) -> None:
    """Prints `values` as JSON, without wrapping or colours."""
    print(json.dumps(values, indent=2))
