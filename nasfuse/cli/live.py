"""Live display of a running search: trials by state, best results, hypervolume and remaining time."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nasfuse.cli.console import LINE_EVERY_S
from nasfuse.domain.metric import metric_text
from nasfuse.errors import counted
from nasfuse.report.units import cost_label

if TYPE_CHECKING:
    from nasfuse.backends.outcome import Outcome
    from nasfuse.data import Dataset
    from nasfuse.search.progress import Progress
    from nasfuse.search.scheduler import Assignment
    from nasfuse.spec.study import StudyConfig


class LiveDisplay:
    """Display of a running search, redrawn in place on a terminal and printed line by line otherwise.

    Attributes:
        ran: Whether workers were started.
    """

    def __init__(self, console: Console, study: "StudyConfig") -> None:
        """Creates the display of `study` on `console`."""
        self.ran = False
        self._console = console
        self._study = study
        self._progress: Progress | None = None
        self._workers = 0
        self._running: dict[int, str] = {}
        self._message = "starting workers ..."
        self._offset_s = 0.0
        self._since = time.monotonic()
        self._last_line = 0.0
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=4, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> Self:
        """Starts drawing."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops drawing and prints a final line."""
        if self._console.is_terminal:
            self._live.stop()
        if self.ran and self._progress is not None:
            self._console.print(self._line(), soft_wrap=True)

    def ready(self, dataset: "Dataset", *, workers: int, progress: "Progress", seconds: float) -> None:
        """Shows the data and the workers at the start of the trials; earlier sessions took `seconds`."""
        self.ran = True
        self._offset_s, self._since = seconds, time.monotonic()
        self._workers = workers
        self._progress = progress
        self._message = "training some hand-made designs first"
        shapes = ", ".join(str(modality) for modality in dataset.modalities)
        task = f"{dataset.task.kind}, {dataset.task.n_outputs} outputs"
        sizes = f"{len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test"
        self._console.print(Text.assemble((self._study.name, "bold"), f": {shapes}; {task}"), soft_wrap=True)
        validation = self._study.data.validation
        if validation is not None:
            sizes += f" in the first of {validation.n_trainings} folds"
        self._console.print(f"{sizes}; {counted(workers, 'worker')}", soft_wrap=True)

    def note(self, text: str) -> None:
        """Prints a note about the search."""
        self._console.print(text, style="yellow", soft_wrap=True)

    def started(self, assignment: "Assignment") -> None:
        """Shows a trial that was given to a worker."""
        name = f"{assignment.baseline}: " if assignment.baseline else ""
        self._running[assignment.number] = f"{name}{assignment.recipe.summary}"

    def ended(self, number: int, outcome: "Outcome", *, progress: "Progress", seconds: float) -> None:
        """Shows how trial `number` ended, and the state of the search after `seconds`."""
        from nasfuse.backends.outcome import Failed, Stopped

        self._progress = progress
        self._offset_s, self._since = seconds, time.monotonic()
        self._message = f"trial {number} complete"
        if isinstance(outcome, Failed):
            self._message = f"trial {number} failed: {outcome.reason}"
        elif isinstance(outcome, Stopped):
            self._message = f"trial {number} stopped after epoch {outcome.epoch}, it was dominated"
        self._running.pop(number, None)
        if isinstance(outcome, Failed):
            self._console.print(self._message, style="yellow", soft_wrap=True)
        if not self._console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._console.print(self._line(), soft_wrap=True)
            self._last_line = time.monotonic()

    @property
    def _seconds(self) -> float:
        return self._offset_s + time.monotonic() - self._since

    def _line(self) -> str:
        progress = self._progress
        assert progress is not None
        states = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self._states(progress) if count)
        best = f", best {self._study.objective} {metric_text(progress.best.measured.metric)}" if progress.best else ""
        saved = f", {progress.epochs_saved} epochs saved" if progress.epochs_saved else ""
        volume = metric_text(progress.hypervolume, digits=3)
        return f"{self._seconds:5.0f} s: {states}{best}, hypervolume {volume}{saved}"

    def _states(self, progress: "Progress") -> list[tuple[str, int]]:
        return list({**progress.states, "running": len(self._running)}.items())

    def _render(self) -> RenderableType:
        progress = self._progress
        if progress is None:
            return Text(self._message)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        grid.add_column()
        states = self._states(progress)
        grid.add_row("trials", "  ".join(f"{name.replace('_', ' ')} {count}" for name, count in states))
        if progress.best is not None:
            grid.add_row("best", self._describe(progress.best))
        if progress.best_baseline is not None:
            grid.add_row("hand-made", self._describe(progress.best_baseline))
        volume = metric_text(progress.hypervolume, digits=3)
        grid.add_row("front", f"{counted(len(progress.front), 'point')}, hypervolume {volume}")
        wait = progress.seconds_per_suggestion
        thought = f", {wait:.3f} s per suggestion" if wait is not None else ""
        grid.add_row("epochs", f"{progress.epochs_spent} spent, {progress.epochs_saved} saved{thought}")
        for number, summary in sorted(self._running.items()):
            grid.add_row(f"#{number}", Text(summary, style="cyan", overflow="ellipsis", no_wrap=True))
        grid.add_row("last", Text(self._message, overflow="ellipsis", no_wrap=True))
        return Group(self._bar(progress), grid)

    def _describe(self, candidate: "object") -> Text:
        from nasfuse.search.front import Candidate

        assert isinstance(candidate, Candidate)
        cost = self._study.cost
        label = cost_label(cost, candidate.measured.cost(cost))
        name = candidate.baseline or candidate.summary
        figures = f"{self._study.objective} {metric_text(candidate.measured.metric)} at {label}  "
        return Text.assemble(figures, (name, "dim"))

    def _bar(self, progress: "Progress") -> RenderableType:
        budget = self._study.budget
        done = progress.done
        shares, left = [], []
        if budget.trials is not None:
            shares.append(done / budget.trials)
            left.append(f"{max(budget.trials - done, 0)} trials")
        if budget.minutes is not None:
            shares.append(self._seconds / (budget.minutes * 60))
            left.append(_clock(max(budget.minutes * 60 - self._seconds, 0)))
        elif budget.trials is not None and done:
            left.append(f"about {_clock(self._seconds / done * max(budget.trials - done, 0))}")
        row = Table.grid(padding=(0, 2))
        share = min(max(shares), 1.0)
        row.add_row(
            self._study.name, ProgressBar(total=1.0, completed=share, width=40), f"{share:.0%}, {', '.join(left)} left"
        )
        return row


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
