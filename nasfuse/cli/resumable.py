"""Interruption of commands that can be continued: a signal ends them and the command to continue is printed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from nasfuse.backends.interrupts import interruptible
from nasfuse.cli.console import command_line, err, say

#: Exit code after Ctrl-C, as shells report it.
_CTRL_C = 130


@contextmanager
def resumable(kept: Callable[[], str]) -> Iterator[None]:
    """Ends the program after SIGINT, SIGTERM or SIGHUP, with 128 plus the number of the signal as exit code.

    Args:
        kept: Returns what is kept of the results, printed before the command to continue.
    """
    try:
        with interruptible():
            yield
    except KeyboardInterrupt as interrupt:
        _print_command(kept())
        raise typer.Exit(getattr(interrupt, "exit_code", _CTRL_C)) from None


def _print_command(kept: str) -> None:
    say(err, f"\nInterrupted; {kept}. Continue with:")
    err.print(f"  {command_line(*sys.argv[1:])}", style="bold", soft_wrap=True)
