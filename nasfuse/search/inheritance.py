"""Weight inheritance: the choice of earlier trainings whose weights the streams of a new training start from."""

from collections.abc import Sequence

from nasfuse.domain.metric import METRICS
from nasfuse.search.space import Space
from nasfuse.search.trial import TrialView
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.stream import LinearStream, StreamConfig

#: Configuration of a stream, its number of stages, and its number of features where the fusion sets it.
_Stream = tuple[StreamConfig, int, int | None]


class WeightSources:
    """Chooses an earlier training with an equal stream for each stream of a recipe."""

    def __init__(self, space: Space, *, metric: str) -> None:
        """Chooses among trials drawn from `space`; those with the best `metric` are preferred."""
        self._space = space
        self._sign = METRICS[metric].sign
        self._streams: dict[int, dict[str, _Stream]] = {}

    def choose(self, recipe: Recipe, visible: Sequence[TrialView]) -> dict[str, int]:
        """Returns the number of the chosen training for each stream; streams without one are left out.

        The training is complete and has a stream with the same configuration and the same number of stages. Of
        several, the one with the best metric is chosen, and the earliest of equals. Repetitions on another division
        into train and val are excluded: they were trained on samples that the new training is validated on.

        Args:
            recipe: Recipe of the new training, which uses division 0.
            visible: Trainings that the new one may depend on.
        """
        trained = [trial for trial in visible if trial.is_complete and trial.division == 0]
        trained.sort(key=lambda trial: (self._sign * trial.metric, trial.number))
        found = {}
        for name, stream in _streams(recipe).items():
            source = next((trial.number for trial in trained if self._streams_of(trial).get(name) == stream), None)
            if source is not None:
                found[name] = source
        return found

    def _streams_of(self, trial: TrialView) -> dict[str, _Stream]:
        if trial.number not in self._streams:
            self._streams[trial.number] = _streams(self._space.recipe(trial.params))
        return self._streams[trial.number]


def _streams(recipe: Recipe) -> dict[str, _Stream]:
    """Returns what the shapes of each stream depend on."""
    network, found = recipe.network, {}
    for name, n_stages in network.depths.items():
        stream = network.streams[name]
        found[name] = (stream, n_stages, network.linear_width if isinstance(stream, LinearStream) else None)
    return found
