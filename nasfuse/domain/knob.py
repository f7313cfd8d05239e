"""Knobs: what can be set on a network after training, and where a recipe has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasfuse.errors import InvalidInputError, nearest


@dataclass(frozen=True)
class KnobPaths:
    """Where a recipe has a knob.

    Attributes:
        after: Path of the setting after training.
        trained: Path of the setting that a network is trained with; None where the knob has no part in training.
    """

    after: str
    trained: str | None = None


_REDUCER = KnobPaths("reducer.inference_keep_ratio", "reducer.keep_ratio")

#: Knobs that decide which samples take which route. All other knobs change what the routes compute.
CHOICE_KNOBS = frozenset({"threshold", "always"})

#: Beginning of the names of elastic fields, whose knob is called as the field of the recipe is.
_ELASTIC = "network."

#: Name of a knob to its paths; `*` stands for the name of a stream, in both.
_PATHS = {
    "threshold": KnobPaths("network.router.threshold"),
    "always": KnobPaths("network.router.always"),
    "max_steps": KnobPaths("network.fusion.inference_max_steps", "network.fusion.max_steps"),
    "tolerance": KnobPaths("network.fusion.inference_tolerance", "network.fusion.tolerance"),
    "keep_ratio": KnobPaths(f"network.fusion.{_REDUCER.after}", f"network.fusion.{_REDUCER.trained}"),
    "keep_ratio.*": KnobPaths(f"network.streams.*.{_REDUCER.after}", f"network.streams.*.{_REDUCER.trained}"),
}


def knob_paths(name: str) -> KnobPaths:
    """Returns where a recipe has the knob called `name`.

    Raises:
        InvalidInputError: No such knob.

    >>> knob_paths("keep_ratio.audio").after
    'network.streams.audio.reducer.inference_keep_ratio'
    >>> knob_paths("network.streams.audio.width").after
    'network.streams.audio.width'
    """
    if is_elastic(name):
        return KnobPaths(name, name)
    kind, dot, stream = name.partition(".")
    known = f"{kind}.*" if dot else kind
    if known not in _PATHS:
        raise InvalidInputError(
            f"no recipe path is known for the knob {name!r}: {nearest(name, _PATHS)}. A new knob is entered in "
            "nasfuse/domain/knob.py"
        )
    paths = _PATHS[known]
    trained = None if paths.trained is None else paths.trained.replace("*", stream)
    return KnobPaths(paths.after.replace("*", stream), trained)


def is_elastic(name: str) -> bool:
    """Returns whether a knob is a field of an elastic network (`Recipe.elastic`), which has its own path as a name."""
    return name.startswith(_ELASTIC)


def parted(settings: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, float]]:
    """Returns the settings of elastic fields, which make a sub-network, and those of its other knobs.

    >>> parted({"network.fusion.width": 8, "threshold": 0.5})
    ({'network.fusion.width': 8}, {'threshold': 0.5})
    """
    elastic = {name: value for name, value in settings.items() if is_elastic(name)}
    return elastic, {name: value for name, value in settings.items() if name not in elastic}


def with_settings(recipe: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a plain recipe in which `settings`, knob to value, hold after training.

    The value of `always` is the name of a route here, or None.

    Raises:
        InvalidInputError: No such knob, or the recipe has no such part.
    """
    changed: dict[str, Any] = dict(recipe)
    for name, value in settings.items():
        *parents, field = knob_paths(name).after.split(".")
        place = changed
        for key in parents:
            if not isinstance(place.get(key), Mapping):
                raise InvalidInputError(
                    f"the recipe has no {'.'.join(parents)}, so the knob {name!r} cannot be set; remove that setting"
                )
            place[key] = dict(place[key])
            place = place[key]
        place[field] = value
    return changed
