"""Where the command line writes: results to standard output, everything else to standard error.

Text is printed as it is: no console here interprets markup, as paths, names and messages may contain what looks like
it. Styles are given as arguments (`style=`) or with `rich.text.Text.assemble`.
"""

import json
from typing import Any

from rich.console import Console
from rich.text import Text


def new_console(**options: Any) -> Console:
    """Returns a console that prints text as it is; `options` are those of `rich.console.Console`."""
    return Console(highlight=False, markup=False, emoji=False, **options)


out = new_console()
err = new_console(stderr=True)

#: How often progress is printed where there is no terminal to draw it on.
LINE_EVERY_S = 10.0


def explain(message: str) -> None:
    """Prints what went wrong, without a traceback."""
    err.print(Text.assemble(("error:", "bold red"), " ", message), soft_wrap=True)


def explain_fault(message: str) -> None:
    """Prints that nasfuse itself is wrong, without a traceback."""
    err.print(Text.assemble(("fault of nasfuse:", "bold red"), " ", message), soft_wrap=True)


def warn(message: str) -> None:
    """Prints what the user should know although the command goes on."""
    err.print(Text.assemble(("warning:", "bold yellow"), " ", message), soft_wrap=True)


def print_json(values: Any) -> None:
    """Prints machine-readable output, never wrapped or coloured."""
    print(json.dumps(values, indent=2))
