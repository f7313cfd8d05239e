"""Progress of reading and checking data in the terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nasfuse.cli.console import LINE_EVERY_S, say


@contextmanager
def data_bar(console: Console) -> Iterator[None]:
    """Shows how many files have been read, features computed and checks made while that is done in this context.

    On a terminal it is a bar of what was done last, also beside another live display of the console; otherwise a line
    every ten seconds.
    """
    from nasfuse.data.progress import reporting

    bars: Progress | None = None
    shown, printed = "", time.monotonic()

    def hide() -> None:
        nonlocal bars
        if bars is not None:  # a bar that never started would end with an empty line
            bars.stop()
            bars = None

    def show(what: str, done: int, total: int) -> None:
        nonlocal bars, shown, printed
        if not console.is_terminal:
            if time.monotonic() - printed > LINE_EVERY_S:
                say(console, f"{what}: {done:,} of {total:,}")
                printed = time.monotonic()
            return
        if what != shown:
            hide()
        if done == total:
            hide()
            return
        if bars is None:
            columns = BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
            text = TextColumn("{task.description}", markup=False)  # names of columns and files may look like markup
            bars, shown = Progress(text, *columns, console=console, transient=True), what
            bars.start()
            bars.add_task(what, total=total)
        bars.update(bars.task_ids[0], completed=done)

    try:
        with reporting(show):
            yield
    finally:
        hide()
