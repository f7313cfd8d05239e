"""Live display of a running search: trials by state, best results, hypervolume and remaining time."""

import threading
import time
from collections.abc import Callable
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
from nasfuse.experiment.training_position import training_position
from nasfuse.report.units import cost_label

if TYPE_CHECKING:
    from nasfuse.backends.outcome import Outcome
    from nasfuse.data import Dataset
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.search.progress import Progress
    from nasfuse.search.scheduler import Assignment
    from nasfuse.spec.study import StudyConfig


#: Seconds without a line after which a line says what is trained, if the output is not a terminal.
SILENCE_S = 60.0

#: Seconds after the end of a budget in minutes from which the end of the search says so.
_WORTH_TELLING_S = 5.0

#: Seconds between two looks at whether such a line is due.
_LOOK_EVERY_S = 5.0


class LiveDisplay:
    """Display of a running search, redrawn in place on a terminal and printed line by line otherwise.

    Attributes:
        ran: Whether workers were started.
    """

    def __init__(
        self,
        console: Console,
        study: "StudyConfig",
        folder: "RunFolder",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Creates the display of `study`, whose run is in `folder`, on `console`."""
        self.ran = False
        self._console = console
        self._study = study
        self._folder = folder
        self._clock = clock
        self._progress: Progress | None = None
        self._workers = 0
        self._running: dict[int, Assignment] = {}
        self._message = "starting workers ..."
        self._offset_s = 0.0
        self._since: float | None = None
        self._last_line = clock()
        self._told_spent = False
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=4, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> Self:
        """Starts drawing."""
        if self._console.is_terminal:
            self._live.start()
        else:
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops drawing and prints a final line."""
        if self._console.is_terminal:
            self._live.stop()
        else:
            self._ended.set()
            self._watch.join()
        if self.ran and self._progress is not None:
            self._console.print(self._line(), soft_wrap=True)
            minutes = self._study.budget.minutes
            over = 0.0 if minutes is None else self._seconds - 60 * minutes
            if over > _WORTH_TELLING_S:
                self._console.print(
                    f"The budget limits when trainings start; those that ran then took {_clock(over)} more.",
                    soft_wrap=True,
                )

    def ready(self, dataset: "Dataset", *, workers: int, progress: "Progress", seconds: float) -> None:
        """Shows the data and the workers at the start of the trials; earlier sessions took `seconds`."""
        self.ran = True
        self._offset_s = seconds
        self._workers = workers
        self._progress = progress
        self._message = "training some hand-made designs first"
        shapes = ", ".join(str(modality) for modality in dataset.modalities)
        task = f"{dataset.task.kind}, {counted(dataset.task.n_outputs, 'output')}"
        sizes = f"{len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test"
        self._console.print(Text.assemble((self._study.name, "bold"), f": {shapes}; {task}"), soft_wrap=True)
        validation = self._study.data.validation
        if validation is not None:
            sizes += f" in the first of {validation.n_trainings} folds"
        self._console.print(f"{sizes}; {counted(workers, 'worker')}", soft_wrap=True)

    def note(self, text: str) -> None:
        """Prints a note about the search."""
        self._console.print(text, style="dim", soft_wrap=True)

    def started(self, assignment: "Assignment") -> None:
        """Shows a trial that was given to a worker."""
        if self._since is None:
            self._since = self._clock()
        self._running[assignment.number] = assignment

    def ended(self, number: int, outcome: "Outcome", *, progress: "Progress", seconds: float) -> None:
        """Shows how trial `number` ended, and the state of the search after `seconds`."""
        from nasfuse.backends.outcome import Failed, Stopped

        self._progress = progress
        self._offset_s, self._since = seconds, self._clock()
        self._message = f"trial {number} complete"
        if isinstance(outcome, Failed):
            self._message = f"trial {number} failed: {outcome.reason}"
        elif isinstance(outcome, Stopped):
            why = "the time is spent" if self._is_waiting else "it was dominated"
            self._message = f"trial {number} stopped after epoch {outcome.epoch}, {why}"
        self._running.pop(number, None)
        if isinstance(outcome, Failed):
            self._console.print(self._message, style="yellow", soft_wrap=True)
        if not self._console.is_terminal and self._clock() - self._last_line > LINE_EVERY_S:
            self._print(self._line())

    def sign_of_life(self) -> None:
        """Prints what is trained if no line was printed for `SILENCE_S`, and once that the time is spent."""
        if self._is_waiting and not self._told_spent:
            self._told_spent = True
            self._print(self._waiting())
        elif self._clock() - self._last_line > SILENCE_S:
            running = self._positions()
            left = "the time is spent" if self._is_waiting else f"{self._left()} left"
            self._print(f"{self._seconds:5.0f} s: training {running}; {left}" if running else self._message)

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            self.sign_of_life()

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
        self._last_line = self._clock()

    @property
    def n_ended(self) -> int | None:
        """Number of trainings that have ended, over all sessions; None before the workers were started."""
        return None if self._progress is None else self._progress.done

    @property
    def _is_waiting(self) -> bool:
        """Whether the time of the study is spent, while trials are running."""
        minutes = self._study.budget.minutes
        return bool(self._running) and minutes is not None and self._seconds >= minutes * 60

    def _waiting(self) -> str:
        return f"the time is spent; waiting for {counted(len(self._running), 'running training')}"

    def _positions(self) -> str:
        """Returns the trials that run, with the epoch and the fold that each is in."""
        running = sorted(self._running.items())
        return ", ".join(
            f"trial {number} ({training_position(self._folder.trial(number), assignment.recipe)})"
            for number, assignment in running
        )

    @property
    def _seconds(self) -> float:
        return self._offset_s + (self._clock() - self._since if self._since is not None else 0.0)

    def _line(self) -> str:
        progress = self._progress
        assert progress is not None
        states = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self._states(progress) if count)
        best = f", best {self._study.objective} {metric_text(progress.best.measured.metric)}" if progress.best else ""
        saved = f", {counted(progress.epochs_saved, 'epoch')} saved" if progress.epochs_saved else ""
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
        for number, assignment in sorted(self._running.items()):
            name = f"{assignment.baseline}: " if assignment.baseline else ""
            summary = Text(f"{name}{assignment.recipe.summary}", style="cyan", overflow="ellipsis", no_wrap=True)
            grid.add_row(f"#{number}", summary)
        message = self._waiting() if self._is_waiting else self._message
        grid.add_row("last", Text(message, overflow="ellipsis", no_wrap=True))
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
        shares = []
        if budget.trials is not None:
            shares.append(progress.done / budget.trials)
        if budget.minutes is not None:
            shares.append(self._seconds / (budget.minutes * 60))
        row = Table.grid(padding=(0, 2))
        share = min(max(shares), 1.0)
        row.add_row(
            self._study.name, ProgressBar(total=1.0, completed=share, width=40), f"{share:.0%}, {self._left()} left"
        )
        return row

    def _left(self) -> str:
        """Returns what is left of the budget."""
        budget = self._study.budget
        done = 0 if self._progress is None else self._progress.done
        left = []
        if budget.trials is not None:
            left.append(counted(max(budget.trials - done, 0), "trial"))
        if budget.minutes is not None:
            left.append(_clock(max(budget.minutes * 60 - self._seconds, 0)))
        elif budget.trials is not None and done:
            left.append(f"about {_clock(self._seconds / done * max(budget.trials - done, 0))}")
        return ", ".join(left)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
