"""Progress of frozen encoders in the terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID

from nasfuse.cli.console import LINE_EVERY_S, say


@contextmanager
def feature_bar(console: Console) -> Iterator[None]:
    """Shows how many features have been computed while they are computed in this context.

    On a terminal it is a bar, also beside another live display of the console; otherwise a line every ten seconds.
    """
    from nasfuse.data.frozen.progress import reporting

    bars, tasks, printed = Progress(console=console, transient=True), dict[str, TaskID](), time.monotonic()

    def show(what: str, done: int, total: int) -> None:
        nonlocal bars, printed
        if not console.is_terminal:
            if time.monotonic() - printed > LINE_EVERY_S:
                say(console, f"{what}: {done:,} of {total:,}")
                printed = time.monotonic()
            return
        if what not in tasks:
            if not tasks:
                bars.start()
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done)
        if done == total:
            bars.remove_task(tasks.pop(what))
            if not tasks:
                bars.stop()
                bars = Progress(console=console, transient=True)

    try:
        with reporting(show):
            yield
    finally:
        if tasks:  # a bar that never started would end with an empty line
            bars.stop()
