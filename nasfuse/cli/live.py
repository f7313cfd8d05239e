"""Live display of a running search: trials by state, best results, hypervolume and remaining time."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from nasfuse.cli.console import LINE_EVERY_S, for_people, say
from nasfuse.cli.search_screen import Running, left_of_budget, progress_line, search_screen
from nasfuse.errors import counted
from nasfuse.experiment.training_position import running_curve, training_position

if TYPE_CHECKING:
    from nasfuse.backends.outcome import Outcome
    from nasfuse.data import Dataset
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.search.assignment import Assignment
    from nasfuse.search.progress import Progress
    from nasfuse.spec.study import StudyConfig


#: Seconds without a line after which a line says what is trained, if the output is not a terminal.
SILENCE_S = 60.0

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
        wording: Callable[[str], str] = for_people,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Creates the display of `study`, whose run is in `folder`, on `console`; `wording` rewords its notes."""
        self.ran = False
        self._console = console
        self._study = study
        self._folder = folder
        self._wording, self._clock = wording, clock
        self._progress: Progress | None = None
        self._workers = 0
        self._running: dict[int, Assignment] = {}
        self._message = ""
        self._phase = ""
        self._offset_s = 0.0
        self._since: float | None = None
        self._last_line = clock()
        self._told_spent = False
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=2, transient=True, redirect_stdout=False
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
            say(self._console, self._line())

    def ready(self, dataset: "Dataset", *, workers: int, progress: "Progress", seconds: float) -> None:
        """Shows the data and the workers at the start of the trials; earlier sessions took `seconds`."""
        self.ran = True
        self._offset_s = seconds
        self._workers = workers
        self._progress = progress
        self._message, self._phase = "training some hand-made designs first", ""
        shapes = ", ".join(str(modality) for modality in dataset.modalities)
        task = f"{dataset.task.kind}, {counted(dataset.task.n_outputs, 'output')}"
        sizes = f"{len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test"
        say(self._console, Text.assemble((self._study.name, "bold"), f": {shapes}; {task}"))
        validation = self._study.data.validation
        if validation is not None:
            sizes += f" in the first of {validation.n_trainings} folds; each network is trained on all of them"
        say(self._console, f"{sizes}; {counted(workers, 'worker')}")

    def phase(self, text: str) -> None:
        """Shows what is done before the first training, or after the last one."""
        self._message, self._phase = f"{text} ...", text
        if not self._console.is_terminal:
            self._print(self._message)

    def note(self, text: str) -> None:
        """Prints a note about the search."""
        say(self._console, self._wording(text), style="dim")

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
            say(self._console, self._message, style="yellow")
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
            waiting = f"still {self._phase}" if self._phase else self._message
            self._print(f"{self._seconds:5.0f} s: training {running}; {left}" if running else waiting)

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            self.sign_of_life()

    def _print(self, line: str) -> None:
        say(self._console, line)
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
        assert self._progress is not None
        return progress_line(self._study, self._progress, seconds=self._seconds, n_running=len(self._running))

    def _render(self) -> RenderableType:
        if self._progress is None:
            return Text(self._message)
        return search_screen(
            self._study,
            self._progress,
            seconds=self._seconds,
            running=[self._training(number) for number in sorted(self._running)],
            message=self._waiting() if self._is_waiting else self._message,
            has_blocks=self._console.encoding.startswith("utf"),
        )

    def _training(self, number: int) -> Running:
        assignment, folder = self._running[number], self._folder.trial(number)
        name = f"{assignment.baseline}: " if assignment.baseline else ""
        return Running(
            number=number,
            network=f"{name}{assignment.recipe.summary}",
            position=training_position(folder, assignment.recipe),
            curve=running_curve(folder),
        )

    def _left(self) -> str:
        """Returns what is left of the budget."""
        done = 0 if self._progress is None else self._progress.done
        return left_of_budget(self._study, done=done, seconds=self._seconds)
