"""The files of trials while a search runs: recipes are written, and networks that nobody needs are removed."""

from nasfuse.backends.outcome import Measured, Outcome, Stopped
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.front import candidates_of, contenders
from nasfuse.search.progress import Progress
from nasfuse.search.scheduler import Assignment, Ledger
from nasfuse.spec.study import StudyConfig


class TrialFiles:
    """Observer that keeps the folders of the trials in order."""

    def __init__(self, folder: RunFolder, scheduler: Ledger, *, study: StudyConfig) -> None:
        """Keeps the arguments: the folder of the run, and the study that runs in it."""
        self._folder = folder
        self._scheduler = scheduler
        self._study = study
        self._running: set[int] = set()

    def started(self, assignment: Assignment) -> None:
        """Writes the recipe of a trial into its folder."""
        self._running.add(assignment.number)
        folder = self._folder.trial(assignment.number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(assignment.recipe.to_yaml(), encoding="utf-8")

    def ended(self, number: int, outcome: Outcome, *, progress: Progress, seconds: float) -> None:
        """Removes what a stopped trial would have been resumed from, and the networks that left the front."""
        self._running.discard(number)
        if isinstance(outcome, Stopped):
            self._folder.drop_resume_file(number)
        elif isinstance(outcome, Measured) and not self._study.inherit:  # any network may be inherited from
            self._drop_networks()

    def _drop_networks(self) -> None:
        candidates = candidates_of(self._scheduler.trials())
        kept = contenders(candidates, self._scheduler.objectives, repeats=self._study.budget.repeats)
        # A running trial may have written its network already, and its result is on the way.
        self._folder.drop_checkpoints_except(kept | self._running)
