"""Knobs of a network: settings that can be changed after training."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from nasfuse.errors import InvalidInputError, nearest


@dataclass(frozen=True)
class Knob:
    """A setting that can be changed after training, of one module or of several at once.

    Attributes:
        name: Name in `nasfuse.domain.knob`, which maps it to a path in a recipe.
        get: Returns the current value.
        set: Changes the value.
        trained: Value during training; None if training does not depend on the knob.
        cheaper: Values to try that cost less than the current one, in order of decreasing cost.
        dearer: Values to try that cost more than the current one.
        must_hold: Whether a value is accepted only if it loses almost no accuracy, because it shortens a computation
            (such as a solver) that the network was trained to complete.
        in_static_macs: Whether the value changes `Network.static_macs`. If so, values of equal static MACs are
            equivalent.
    """

    name: str
    get: Callable[[], float]
    set: Callable[[float], None]
    trained: float | None = None
    cheaper: tuple[float, ...] = ()
    dearer: tuple[float, ...] = ()
    must_hold: bool = False
    in_static_macs: bool = True

    @property
    def kind(self) -> str:
        """Name of the knob without the name of its stream."""
        return self.name.partition(".")[0]


def joined(knobs: Iterable[Knob]) -> tuple[Knob, ...]:
    """Returns one knob per name, which changes all knobs of that name at once."""
    by_name: dict[str, list[Knob]] = {}
    for knob in knobs:
        by_name.setdefault(knob.name, []).append(knob)
    return tuple(_one(group) for group in by_name.values())


def _one(group: Sequence[Knob]) -> Knob:
    def set_all(value: float) -> None:
        for knob in group:
            knob.set(value)

    return replace(group[0], set=set_all)


def set_knobs(knobs: Sequence[Knob], settings: Mapping[str, float]) -> None:
    """Sets the knobs named in `settings` to their values; the other knobs are unchanged.

    Raises:
        InvalidInputError: A name is not that of a knob; no knob is changed.
    """
    by_name = {knob.name: knob for knob in knobs}
    for name in settings:
        if name not in by_name:
            raise InvalidInputError(f"the network has no knob {name!r}; {nearest(name, by_name)}")
    for name, value in settings.items():
        by_name[name].set(value)


def settings_of(knobs: Sequence[Knob]) -> dict[str, float]:
    """Returns the current values of knobs by name."""
    return {knob.name: knob.get() for knob in knobs}


@contextmanager
def knobs_at(knobs: Sequence[Knob], settings: Mapping[str, float]) -> Iterator[None]:
    """Sets knobs to other values inside the block and restores them afterwards.

    Raises:
        InvalidInputError: A name is not that of a knob.
    """
    before = {name: value for name, value in settings_of(knobs).items() if name in settings}
    try:
        set_knobs(knobs, settings)
        yield
    finally:
        set_knobs(knobs, before)


@contextmanager
def knobs_as_trained(knobs: Sequence[Knob]) -> Iterator[None]:
    """Sets all knobs to their values during training inside the block and restores them afterwards."""
    trained = {knob.name: knob.trained for knob in knobs if knob.trained is not None}
    with knobs_at([knob for knob in knobs if knob.name in trained], trained):
        yield
