"""Where the command line writes: results to standard output, everything else to standard error."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

#: How often progress is printed where there is no terminal to draw it on.
LINE_EVERY_S = 10.0


def explain(message: str) -> None:
    """Prints what went wrong, without a traceback."""
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def warn(message: str) -> None:
    """Prints a warning in one line."""
    err.print(f"[bold yellow]warning:[/] {escape(message)}", soft_wrap=True)


def say_how_to_go_on(kept: str) -> None:
    """Prints what an interrupt leaves, and the command that goes on with it."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    prefix = "python " if sys.argv[0].endswith(".py") else ""
    err.print(f"\nInterrupted; {kept}. Go on with:", markup=False)
    err.print(f"  {prefix}{command}", style="bold", markup=False, soft_wrap=True)


def print_json(values: Any) -> None:
    """Prints machine-readable output, never wrapped or coloured."""
    print(json.dumps(values, indent=2))
