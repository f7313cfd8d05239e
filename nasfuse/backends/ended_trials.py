"""Tune without memory of the trials that have ended, of which it keeps every one, with all reports, to the end."""

from typing import Any

from ray.tune.progress_reporter import TrialProgressCallback


class NoProgressReports(TrialProgressCallback):
    """Prints nothing and keeps nothing; Tune adds a callback that keeps all trials where none of its kind is given."""

    def on_trial_result(self, *_: Any, **__: Any) -> None:
        """Ignores a report."""

    def on_trial_error(self, *_: Any, **__: Any) -> None:
        """Ignores a fault."""

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Ignores the end of a trial."""


class EndedTrials:
    """Trials that have ended, until Tune has done with them."""

    def __init__(self) -> None:
        """Begins without trials."""
        self._ended: list[Any] = []

    def add(self, trial: Any) -> None:
        """Notes that a trial ends; Tune still has to stop its worker or to keep it for another trial.

        Tune tells the end of a trial a second time, as an error, where what it called at the first time has raised.
        """
        if trial not in self._ended:
            self._ended.append(trial)

    def forget(self, controller: Any) -> None:
        """Takes those with which Tune has done out of `controller`, but for the last one, so that there is one."""
        done = [one for one in self._ended[:-1] if one.is_finished() and one not in controller._trial_to_actor]
        for trial in done:
            self._ended.remove(trial)
            controller._trials.remove(trial)
            for kept in (
                controller._stopped_trials,
                controller._failed_trials,
                controller._live_trials,
                controller._trials_to_cache,
            ):
                kept.discard(trial)
