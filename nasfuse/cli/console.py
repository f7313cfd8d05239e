"""Where the command line writes: results to standard output, everything else to standard error."""

import json
from typing import Any

from rich.console import Console

from nasfuse.errors import NasfuseError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def explain(error: NasfuseError) -> None:
    """Prints what the user did wrong, without a traceback."""
    err.print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True)


def print_json(values: Any) -> None:
    """Prints machine-readable output, never wrapped or coloured."""
    print(json.dumps(values, indent=2))


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
