"""Verbs that go on where they were: a signal ends them in order, with the command that continues."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from nasfuse.backends.interrupts import interruptible
from nasfuse.cli.console import err

#: Exit code after Ctrl-C, as shells report it.
_CTRL_C = 130


@contextmanager
def resumable(kept: str) -> Iterator[None]:
    """Ends the program after SIGINT, SIGTERM or SIGHUP with 128 plus the signal's number as exit code.

    Args:
        kept: What is left to go on with; printed before the command that does.
    """
    try:
        with interruptible():
            yield
    except KeyboardInterrupt as interrupt:
        _print_command(kept)
        raise typer.Exit(getattr(interrupt, "exit_code", _CTRL_C)) from None


def _print_command(kept: str) -> None:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    prefix = "python " if sys.argv[0].endswith(".py") else ""
    err.print(f"\nInterrupted; {kept}. Go on with:", soft_wrap=True)
    err.print(f"  {prefix}{command}", style="bold", soft_wrap=True)
