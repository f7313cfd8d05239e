"""Operating points as observations: what a trained network does at other settings, as trials of their own."""

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
    return [point.metric, math.log10(max(point.cost(cost), 1e-9))]


def observations_of(trial: TrialView, space: Space, *, metric: str, cost: str) -> list[FrozenTrial]:
    """Returns one complete trial for each operating point that parameters of the space describe, to be added.

    They name their training and the index of the point, and are marked as inherited if the training is. A point counts
    where the trial has a parameter for each of its knobs, whose distributions contain their values. A parameter
    that is also trained with takes only settings that lose at most 1 % of the metric: a network trained otherwise and
    cut short tells little about one that is trained so.

    Args:
        trial: A complete training.
        space: It was drawn from.
        metric: Of the study.
        cost: Of the study.
    """
    points = trial.points
    main = next(point for point in points if point is not None)
    if not _threshold_is_drawn(main, trial.params):
        return []
    found = []
    for number, point in enumerate(points):
        if point is None or not point.holds or point is main:
            continue
        holds = METRICS[metric].holds(point.metric, main.metric)
        parameters = _parameters(trial.params, point.settings, holds=holds)
        if parameters is not None and parameters != trial.params and _can_be_drawn(parameters, space):
            values = values_of(point, cost)
            found.append(operating_point_trial(trial, number, parameters=parameters, values=values))
    return found


def _threshold_is_drawn(main: OperatingPoint, params: Mapping[str, Any]) -> bool:
    """Returns False where a router's threshold was set for a given cost instead."""
    drawn = params.get(knob_paths("threshold").after)
    own = main.knobs.get("threshold")
    return drawn is None or own is None or math.isclose(drawn, own, rel_tol=1e-5)


def _parameters(params: Mapping[str, Any], settings: Mapping[str, Any], *, holds: bool) -> dict[str, Any] | None:
    """Returns the parameters of a training with its knobs set, None where one of them is no parameter.

    Raises:
        InvalidInputError: There is no such knob.
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
    """Returns whether the space draws just these: every value is in its range, no condition has changed."""
    if not all(one.allows(parameters[one.name]) for one in space.parameters if one.name in parameters):
        return False
    try:
        return space.suggest(FixedTrial(parameters)) == parameters
    except ValueError:  # a parameter has come into being
        return False
