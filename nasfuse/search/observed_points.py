"""Observed points: the operating points of complete trainings, as trials of their own."""

from collections.abc import Sequence

import optuna

from nasfuse.search.optuna_internals import study_id_of, trial_id_of
from nasfuse.search.space import Space
from nasfuse.search.swept_points import observations_of
from nasfuse.search.trial import TrialView
from nasfuse.search.views import trials_of
from nasfuse.search.write_through import WriteThroughStorage
from nasfuse.spec.study import StudyConfig


class ObservedPoints:
    """Adds the operating points of trainings to a study, so that samplers learn from them."""

    def __init__(self, study: optuna.Study, storage: WriteThroughStorage, config: StudyConfig, space: Space) -> None:
        """Adds to `study`, which lives in `storage`."""
        self._study, self._storage, self._config, self._space = study, storage, config, space
        self._seen: set[int] = set()  # numbers of the trainings whose points were added

    def add(self, visible: Sequence[TrialView]) -> None:
        """Adds the points of trainings that have become visible, by number.

        Raises:
            OutdatedError: Another driver has written to the study.
        """
        for training in visible:
            if training.number not in self._seen:
                if training.is_complete:
                    self._add_points(training)
                self._seen.add(training.number)

    def _add_points(self, training: TrialView) -> None:
        config = self._config
        points = observations_of(
            training, self._space, metric=config.objective, cost=config.cost, max_macs=config.max_macs
        )
        there = {one.point_index for one in trials_of(self._study) if one.point_of == training.number} if points else ()
        for point in points:
            if TrialView(point).point_index not in there:
                self._study.add_trial(point)
                last = self._storage.last_trial(study_id_of(self._study))
                assert last is not None, "it was added"
                self._storage.publish(trial_id_of(last))
