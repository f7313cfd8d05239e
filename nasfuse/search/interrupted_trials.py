"""Interrupted trials: those that run without a driver, and those that the other drivers of a study run."""

import optuna

from nasfuse.search.live_drivers import LiveDrivers
from nasfuse.search.optuna_internals import forget_cached_trials, study_id_of
from nasfuse.search.views import trials_of
from nasfuse.search.write_through import WriteThroughStorage


class InterruptedTrials:
    """The trials of a study that were handed out by a driver which has died, in this session or an earlier one."""

    def __init__(self, study: optuna.Study, storage: WriteThroughStorage, drivers: LiveDrivers | None) -> None:
        """Finds the trials of `study`; without `drivers`, they are those that run now.

        Args:
            study: The study.
            storage: The storage that it lives in.
            drivers: The drivers that share it; None if this process is the only one.
        """
        self._study, self._storage, self._drivers = study, storage, drivers
        self._at_the_start = [] if drivers is not None else [t.number for t in trials_of(study) if t.is_running]

    def refresh(self) -> None:
        """Reads what other drivers have written, and forgets all draws that they have made impossible."""
        if self._drivers is not None:
            self._storage.refresh()
            forget_cached_trials(self._study)

    def numbers(self) -> list[int]:
        """Returns the numbers of the trials that may be continued."""
        if self._drivers is None:
            return list(self._at_the_start)
        return [number for number, driver in self._of_others().items() if self._drivers.has_died(driver)]

    def n_elsewhere(self) -> int:
        """Returns the number of trials that other drivers run."""
        return len(self._of_others().keys() - self.numbers())

    @property
    def others_run(self) -> bool:
        """Whether trials run that other drivers have handed out, which live or have died."""
        return bool(self._of_others())

    def own(self) -> list[int]:
        """Returns the numbers of the running trials that this driver has handed out."""
        others = {*self._at_the_start, *self._of_others()}
        return [trial.number for trial in trials_of(self._study) if trial.is_running and trial.number not in others]

    def claim(self, number: int) -> None:
        """Makes an interrupted trial one of this driver.

        Raises:
            OutdatedError: Another driver was faster.
        """
        if self._drivers is None:
            self._at_the_start.remove(number)
            return
        study_id = study_id_of(self._study)
        self._storage.claim(self._storage.get_trial_id_from_study_id_trial_number(study_id, number))

    def _of_others(self) -> dict[int, str | None]:
        """Returns the token of the driver of each running trial that is not this driver's."""
        if self._drivers is None:
            return {}
        own = self._drivers.token
        return {t.number: t.driver for t in trials_of(self._study) if t.is_running and t.driver != own}
