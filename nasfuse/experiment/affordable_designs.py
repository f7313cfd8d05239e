"""Coarser versions of hand-made designs whose training would take too much of a budget in minutes."""

from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution

from nasfuse.errors import NasfuseError
from nasfuse.experiment.training_time import TimeLimit
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe

#: Ends of the names of the parameters that are changed, one after another: strides are raised, all others lowered.
_STRIDE, _DILATIONS, _KERNELS, _EPOCHS = ".stride", ".n_dilations", ".n_kernels", "training.epochs"
#: MACs after a step, as a share of those before, above which no further one of its kind is taken; epochs have no MACs.
_LARGEST_REST = 0.9


def coarsen_designs(space: Space, limit: TimeLimit, designs: Mapping[str, Recipe]) -> dict[str, str]:
    """Replaces hand-made designs above the limit by coarser ones, if these are within it.

    The strides of images and sequences are raised one step at a time, where that saves most MACs; where this is not
    enough, dilations and kernels of random convolutions are made fewer, and then the number of epochs.

    Args:
        space: Space with the designs.
        limit: Largest time of a training.
        designs: Recipes of the designs that can be trained, by name.

    Returns:
        New name of each replaced design.
    """
    names: dict[str, str] = {}
    for name in limit.above(designs):
        coarser = _coarser(space, limit, space.baselines[name])
        if coarser is not None:
            names[name] = f"{name}, coarser"
            space.replace_design(name, names[name], coarser)
    return names


def _coarser(space: Space, limit: TimeLimit, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the least coarse version of a design within the limit; None if there is none."""
    current = dict(parameters)
    for wanted in (_STRIDE, _DILATIONS, _KERNELS, _EPOCHS):
        while steps := list(_steps(space, current, wanted)):
            usable = [one for one in steps if _is_above(space, limit, one) is not None]
            if not usable:
                break
            best = min(usable, key=lambda one: limit.macs(space.recipe(one)))
            rest = limit.macs(space.recipe(best)) / limit.macs(space.recipe(current))
            if wanted != _EPOCHS and rest > _LARGEST_REST:
                break
            current = best
            if not _is_above(space, limit, current):
                return current
    return None


def _steps(space: Space, parameters: Mapping[str, Any], ending: str) -> Iterator[dict[str, Any]]:
    """Yields the parameters with one that ends so changed to the next value of the space."""
    for parameter in space.parameters:
        name, distribution = parameter.name, parameter.distribution
        if name not in parameters or not name.endswith(ending) or not isinstance(distribution, CategoricalDistribution):
            continue
        values = sorted(distribution.choices)  # type: ignore[type-var]
        if ending != _STRIDE:
            values.reverse()
        place = values.index(parameters[name])
        if place + 1 < len(values):
            yield {**parameters, name: values[place + 1]}


def _is_above(space: Space, limit: TimeLimit, parameters: Mapping[str, Any]) -> bool | None:
    """Returns whether a design is above the limit; None if it is no valid network for the data."""
    try:
        return bool(limit.above({"": space.recipe(parameters)}))
    except NasfuseError:
        return None
