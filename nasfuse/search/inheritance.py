"""Donors: from whose weights the streams of a further training start."""

from collections.abc import Sequence

from nasfuse.domain.metric import METRICS
from nasfuse.search.space import Space
from nasfuse.search.trial import TrialView
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.stream import StreamConfig


class Donors:
    """Chooses an earlier training for each stream of a recipe; remembers the streams of those it has seen."""

    def __init__(self, space: Space, *, metric: str) -> None:
        """Takes the space that trials are drawn from, and the metric that says which of them are good."""
        self._space = space
        self._sign = METRICS[metric].sign
        self._streams: dict[int, dict[str, tuple[StreamConfig, int]]] = {}

    def of(self, recipe: Recipe, visible: Sequence[TrialView]) -> dict[str, int]:
        """Returns stream to the number of its donor; streams that nobody has are left out.

        A donor has come to its end, its stream is configured as the recipe's and has as many stages built; of
        several, the one with the best metric, the first of equals. Trainings on other cuts of train and val are none:
        they have learned from what the new one is judged by.

        Args:
            recipe: Of the new training, on the first cut.
            visible: The trainings that it may depend on.
        """
        trained = [trial for trial in visible if trial.is_complete and trial.split == 0]
        trained.sort(key=lambda trial: (self._sign * trial.metric, trial.number))
        found = {}
        for name, stream in _streams(recipe).items():
            donor = next((trial.number for trial in trained if self._streams_of(trial).get(name) == stream), None)
            if donor is not None:
                found[name] = donor
        return found

    def _streams_of(self, trial: TrialView) -> dict[str, tuple[StreamConfig, int]]:
        if trial.number not in self._streams:
            self._streams[trial.number] = _streams(self._space.recipe(trial.params))
        return self._streams[trial.number]


def _streams(recipe: Recipe) -> dict[str, tuple[StreamConfig, int]]:
    """Returns stream to all that its shapes depend on: its configuration, and how many of its stages are built."""
    network = recipe.network
    return {name: (network.streams[name], n_stages) for name, n_stages in network.depths.items()}
