"""The files of trials while a search runs."""

from nasfuse.backends.outcome import Measured, Outcome
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.assignment import Assignment
from nasfuse.search.progress import Progress


class TrialFiles:
    """Observer that writes and cleans up the folders of trials."""

    def __init__(self, folder: RunFolder) -> None:
        """Stores the folder of the run."""
        self._folder = folder

    def started(self, assignment: Assignment) -> None:
        """Writes the recipe of a trial into its folder."""
        write_text(self._folder.trial(assignment.number) / "recipe.yaml", assignment.recipe.to_yaml())

    def ended(self, number: int, outcome: Outcome, *, progress: Progress, seconds: float) -> None:
        """Removes the progress of a training that was stopped or has failed."""
        if not isinstance(outcome, Measured):  # the objective has removed it
            self._folder.drop_progress(number)
