"""The screen of a search, for the search itself and for `nasfuse status --watch`: text and renderables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nasfuse.domain.metric import metric_text
from nasfuse.errors import counted
from nasfuse.report.units import cost_label

if TYPE_CHECKING:
    from nasfuse.search.front import Candidate
    from nasfuse.search.progress import Progress
    from nasfuse.spec.study import StudyConfig

#: Characters of a curve, from the lowest value to the highest.
_BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"

#: Epochs of a curve that are drawn, the last ones.
_LONGEST_CURVE = 20


@dataclass(frozen=True)
class Running:
    """A training that runs.

    Attributes:
        number: Number of the trial.
        network: The network in one line, with the name of a hand-made design.
        position: Epoch and fold that the training is in.
        curve: Values of the metric after the epochs so far.
    """

    number: int
    network: str
    position: str
    curve: Sequence[float]


def sparkline(values: Sequence[float]) -> str:
    """Returns a curve in one line of block characters, between the smallest and the largest value.

    >>> sparkline([0.0, 0.5, 1.0])
    '\u2581\u2585\u2588'
    """
    shown = [value for value in values if abs(value) < float("inf")][-_LONGEST_CURVE:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(steps * (value - low) / (high - low)) if high > low else 0] for value in shown)


def states_text(progress: "Progress", n_running: int) -> str:
    """Returns the numbers of trials by state, without those of which there are none."""
    states = {**progress.states, "running": n_running}
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in states.items() if count)


def progress_line(study: "StudyConfig", progress: "Progress", *, seconds: float, n_running: int) -> str:
    """Returns the state of a search in one line, for output that is no terminal."""
    best = f", best {study.objective} {metric_text(progress.best.measured.metric)}" if progress.best else ""
    saved = f", {counted(progress.epochs_saved, 'epoch')} saved" if progress.epochs_saved else ""
    volume = metric_text(progress.hypervolume, digits=3)
    return f"{seconds:5.0f} s: {states_text(progress, n_running)}{best}, hypervolume {volume}{saved}"


def left_of_budget(study: "StudyConfig", *, done: int, seconds: float) -> str:
    """Returns what is left of the budget of a study after `done` trainings and `seconds`."""
    budget = study.budget
    left = []
    if budget.trials is not None:
        left.append(counted(max(budget.trials - done, 0), "trial"))
    if budget.minutes is not None:
        left.append(_clock(max(budget.minutes * 60 - seconds, 0)))
    elif budget.trials is not None and done:
        left.append(f"about {_clock(seconds / done * max(budget.trials - done, 0))}")
    return ", ".join(left)


def search_screen(
    study: "StudyConfig",
    progress: "Progress",
    *,
    seconds: float,
    running: Sequence[Running],
    message: str,
    has_blocks: bool,
) -> RenderableType:
    """Returns the screen of a search, which wraps between words in a terminal of 80 columns.

    Args:
        study: Configuration of the study.
        progress: Its progress.
        seconds: Time that the search has taken.
        running: Trainings that run.
        message: What happened last, or what is waited for.
        has_blocks: Whether the terminal can show block characters, in which curves are drawn.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("budget", _bar(study, progress, seconds))
    grid.add_row("trials", states_text(progress, len(running)))
    if progress.best is not None:
        grid.add_row("best", _described(progress.best, study))
    if progress.best_baseline is not None:
        grid.add_row("hand-made", _described(progress.best_baseline, study))
    volume = metric_text(progress.hypervolume, digits=3)
    grid.add_row("front", f"{counted(len(progress.front), 'point')}, hypervolume {volume}")
    wait = progress.seconds_per_suggestion
    thought = f", {wait:.3f} s per suggestion" if wait is not None else ""
    grid.add_row("epochs", f"{progress.epochs_spent} spent, {progress.epochs_saved} saved{thought}")
    for one in running:
        grid.add_row(f"#{one.number}", _training(one, study, has_blocks=has_blocks))
    grid.add_row("last", message)
    return Group(Text(study.name, "bold"), grid)


def _training(one: Running, study: "StudyConfig", *, has_blocks: bool) -> Text:
    curve = f" {sparkline(one.curve)}" if has_blocks and one.curve else ""
    value = f" {study.objective} {metric_text(one.curve[-1])}" if one.curve else ""
    return Text.assemble(f"{one.position}{curve}{value}  ", (one.network, "cyan"))


def _described(candidate: "Candidate", study: "StudyConfig") -> Text:
    label = cost_label(study.cost, candidate.measured.cost(study.cost))
    name = candidate.baseline or candidate.summary
    figures = f"{study.objective} {metric_text(candidate.measured.metric)} at {label}  "
    return Text.assemble(figures, (name, "dim"))


def _bar(study: "StudyConfig", progress: "Progress", seconds: float) -> RenderableType:
    budget = study.budget
    shares = []
    if budget.trials is not None:
        shares.append(progress.done / budget.trials)
    if budget.minutes is not None:
        shares.append(seconds / (budget.minutes * 60))
    row = Table.grid(padding=(0, 2))
    share = min(max(shares), 1.0)
    left = left_of_budget(study, done=progress.done, seconds=seconds)
    row.add_row(ProgressBar(total=1.0, completed=share, width=24), f"{share:.0%}, {left} left")
    return row


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
