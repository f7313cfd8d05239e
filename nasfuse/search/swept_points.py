"""Operating points as observations: measurements of a trained network at other knob settings, as trials."""

import math
from collections.abc import Mapping
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial

from nasfuse.domain.knob import knob_paths
from nasfuse.domain.metric import METRICS
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.space import Space
from nasfuse.search.trial import TrialView, operating_point_trial


def values_of(point: OperatingPoint, cost: str) -> list[float]:
    """Returns the two values of a trial: the metric, and log10 of the cost."""
    return [point.metric, math.log10(max(getattr(point, cost), 1e-9))]


def observations_of(
    trial: TrialView, space: Space, *, metric: str, cost: str, max_macs: int | None = None
) -> list[FrozenTrial]:
    """Returns the complete trials to add for the operating points that can be described by parameters of the space.

    A trial refers to its training and the index of the point, and is marked as inherited if the training is. A point is
    included if the training has a parameter for each of its knobs and the distributions contain their values. For
    parameters that also affect training, the point must lose at most 1 % of the metric, because a network that was
    trained with another value and then reduced says little about one that is trained with this value.

    Args:
        trial: A complete training.
        space: Search space of the training.
        metric: Metric of the study.
        cost: Cost of the study.
        max_macs: Largest number of MACs of a point that is an observation; None: no limit.
    """
    main, *others = trial.points
    if not _threshold_is_drawn(main, trial.params):
        return []
    found = []
    for number, point in enumerate(others, start=1):
        if not (point.holds and point.is_within(max_macs)):
            continue
        holds = METRICS[metric].holds(point.metric, main.metric)
        parameters = _parameters(trial.params, point.settings, holds=holds)
        if parameters is not None and parameters != trial.params and _can_be_drawn(parameters, space):
            values = values_of(point, cost)
            found.append(operating_point_trial(trial, number, parameters=parameters, values=values))
    return found


def _threshold_is_drawn(main: OperatingPoint, params: Mapping[str, Any]) -> bool:
    """Returns False if the threshold of a router was determined from a given cost (`router.macs`)."""
    drawn = params.get(knob_paths("threshold").after)
    own = main.knobs.get("threshold")
    return drawn is None or own is None or math.isclose(drawn, own, rel_tol=1e-5)


def _parameters(params: Mapping[str, Any], settings: Mapping[str, Any], *, holds: bool) -> dict[str, Any] | None:
    """Returns the parameters of a training with the values of knobs; None if a knob is not one of its parameters.

    Raises:
        InvalidInputError: A name is not that of a knob.
    """
    changed = dict(params)
    for knob, value in settings.items():
        paths = knob_paths(knob)
        name = paths.after if paths.after in params else paths.trained
        if name is None or name not in params or (name == paths.trained and not holds):
            return None
        changed[name] = value
    return changed


def _can_be_drawn(parameters: dict[str, Any], space: Space) -> bool:
    """Returns whether the space can draw `parameters`: all values are in range, and exactly these parameters exist."""
    if not all(one.allows(parameters[one.name]) for one in space.parameters if one.name in parameters):
        return False
    try:
        return space.suggest(FixedTrial(parameters)) == parameters
    except ValueError:  # a parameter exists that is not in the trial
        return False
