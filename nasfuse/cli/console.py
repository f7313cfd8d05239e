"""Output of the command line: results to standard output, everything else to standard error.

Text is printed literally: the consoles do not interpret markup, because paths, names and messages may contain brackets.
Styles are given as arguments (`style=`) or with `rich.text.Text.assemble`.
"""

import json
import math
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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

#: Verbs that messages of the library name after `nasfuse`; `tests/cli/test_app.py` compares them with the commands.
_VERBS = (
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
)

#: Width of tables that are not printed to a terminal, in characters: room for all cells, which are not cut or wrapped.
_UNLIMITED = 100_000

#: Seconds between two lines of progress if the output is not a terminal.
LINE_EVERY_S = 10.0


def explain(message: str) -> None:
    """Prints an error message without a traceback."""
    say(err, Text.assemble(("error:", "bold red"), " ", for_people(message)))


def explain_fault(message: str) -> None:
    """Prints that nasfuse itself is wrong, without a traceback."""
    say(err, Text.assemble(("fault of nasfuse:", "bold red"), " ", message))


def warn(message: str) -> None:
    """Prints a warning; the command continues."""
    say(err, Text.assemble(("warning:", "bold yellow"), " ", for_people(message)))


def for_people(message: str) -> str:
    """Returns a message of the library as the command line prints it.

    Commands in it call the program as it was called, and numbers of rows are followed by where counting starts.
    """
    verbs = "|".join(_VERBS)
    text = re.sub(rf"(?<![\w-])nasfuse(?= (?:{verbs})\b)", lambda _: program(), message)
    if re.search(r"\brow \d", text) and "counted from 0" not in text:
        text += " (rows are counted from 0)"
    return text


def program() -> str:
    """Returns how the program was called: `nasfuse`, `python cli.py` or `python -m nasfuse`."""
    path = Path(sys.argv[0])
    if path.name == "__main__.py":
        return f"python -m {path.parent.name}"
    return shlex.join(["python", str(path)] if path.suffix == ".py" else [path.name])


def command_line(*arguments: object) -> str:
    """Returns a command for a shell that calls the program as it was called."""
    return f"{program()} {shlex.join(map(str, arguments))}"


def say(console: Console, text: str | Text, *, style: str | None = None) -> None:
    """Prints a sentence: wrapped between words on a terminal, in one line elsewhere.

    A command to copy is printed with `soft_wrap=True` instead, which a terminal may wrap anywhere and copies as one
    line.
    """
    console.print(text, style=style, soft_wrap=not console.is_terminal)


def print_table(table: Table) -> None:
    """Prints a table of results: in the width of a terminal, with each row in one line elsewhere."""
    console = out if out.is_terminal else new_console(file=out.file, width=_UNLIMITED)
    console.print(table)


@contextmanager
def doing(console: Console, text: str) -> Iterator[None]:
    """Shows what is done in the context: while it is done on a terminal, as a line elsewhere."""
    if not console.is_terminal:
        say(console, f"{text} ...")
        yield
        return
    with console.status(Text(f"{text} ...")):
        yield


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
    """Prints `values` as JSON, without wrapping or colours. JSON has no NaN and no infinity: they become null."""
    print(json.dumps(_finite(values), indent=2, allow_nan=False))


def _finite(values: Any) -> Any:
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, Mapping):
        return {key: _finite(value) for key, value in values.items()}
    return [_finite(value) for value in values] if isinstance(values, list | tuple) else values
