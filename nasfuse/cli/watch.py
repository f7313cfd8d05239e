"""`nasfuse status --watch`: a search of another process, until it ends."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live

from nasfuse.cli.console import LINE_EVERY_S, say
from nasfuse.cli.search_screen import Running, progress_line, search_screen
from nasfuse.errors import counted

if TYPE_CHECKING:
    from nasfuse.experiment.run_reader import Run
    from nasfuse.search.trial import TrialView

#: Seconds between two looks, and how many times as long as a look it is at least, to leave the cores to the search.
_LOOK_EVERY_S, _REST = 2.0, 5.0


def watch(read: Callable[[], "Run"], console: Console, *, sleep: Callable[[float], None] = time.sleep) -> "Run":
    """Shows a run until no search writes to it any more, and returns it as it is then.

    On a terminal a screen is redrawn in place, which is gone afterwards; otherwise a line is printed now and then.

    Args:
        read: Reads the run.
        console: Console of the screen.
        sleep: Waits for some seconds.
    """
    started = time.monotonic()
    run = read()
    if not run.searching:
        return run
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
    if console.is_terminal:
        with live:
            while run.searching:
                live.update(_screen(run, console), refresh=True)
                sleep(min(max(_LOOK_EVERY_S, _REST * (time.monotonic() - started)), LINE_EVERY_S))
                started = time.monotonic()
                run = read()
        return run
    while run.searching:
        n_running = len(_running_trials(run))
        say(console, progress_line(run.study, run.progress, seconds=run.seconds, n_running=n_running))
        sleep(LINE_EVERY_S)
        run = read()
    return run


def _screen(run: "Run", console: Console) -> RenderableType:
    running = [_training(run, trial) for trial in _running_trials(run)]
    ended = [one for one in run.trials if one.was_trained and not one.is_operating_point]
    last = max(ended, key=lambda one: one.frozen.datetime_complete or datetime.min, default=None)
    return search_screen(
        run.study,
        run.progress,
        seconds=run.seconds,
        running=running,
        message=_message(last) if last is not None else "no trial has ended yet",
        has_blocks=console.encoding.startswith("utf"),
    )


def _running_trials(run: "Run") -> "list[TrialView]":
    return [one for one in run.trials if one.is_running and one.has_recipe]


def _training(run: "Run", trial: "TrialView") -> Running:
    from nasfuse.errors import NasfuseError
    from nasfuse.experiment.training_position import running_curve, training_position

    folder = run.folder.trial(trial.number)
    name = f"{trial.baseline}: " if trial.baseline else ""
    try:
        position = training_position(folder, run.folder.recipe(trial.number))
    except NasfuseError:  # its files are not written yet
        position = "starting"
    return Running(trial.number, f"{name}{trial.summary}", position, running_curve(folder))


def _message(trial: "TrialView") -> str:
    if trial.is_failed:
        return f"trial {trial.number} failed: {trial.reason}"
    if trial.stopped is not None:
        why = "the time is spent" if trial.is_out_of_time else "it was dominated"
        return f"trial {trial.number} stopped after {counted(trial.stopped.epoch, 'epoch')}, {why}"
    return f"trial {trial.number} complete"
