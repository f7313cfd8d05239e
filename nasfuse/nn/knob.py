"""Knobs of a network: what can be set on it after training."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from nasfuse.errors import InvalidInputError, nearest


@dataclass(frozen=True)
class Knob:
    """One thing that can be set after training, on one module or on several at once.

    Attributes:
        name: In `nasfuse.domain.knob`, which knows its place in a recipe.
        get: Returns the setting.
        set: Changes it.
        trained: The setting that the network is trained with; None where the knob has no part in training.
        cheaper: Settings worth trying that cost less than the one it has now, from mild to harsh.
        dearer: Settings worth trying that cost more.
        must_hold: Whether a setting counts only where it loses next to no accuracy, since it cuts a network short of
            what it was trained for.
        in_static_macs: Whether a setting shows in `Network.static_macs`; one that does not is no other setting.
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
        """Returns the name without that of a stream."""
        return self.name.partition(".")[0]


def joined(knobs: Iterable[Knob]) -> tuple[Knob, ...]:
    """Returns one knob for each name, which sets all of that name."""
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
    """Gives knobs the values in `settings`; the others keep theirs.

    Raises:
        InvalidInputError: There is no such knob; nothing is set then.
    """
    by_name = {knob.name: knob for knob in knobs}
    for name in settings:
        if name not in by_name:
            raise InvalidInputError(f"the network has no knob {name!r}; {nearest(name, by_name)}")
    for name, value in settings.items():
        by_name[name].set(value)


def settings_of(knobs: Sequence[Knob]) -> dict[str, float]:
    """Returns knob to setting."""
    return {knob.name: knob.get() for knob in knobs}


@contextmanager
def knobs_at(knobs: Sequence[Knob], settings: Mapping[str, float]) -> Iterator[None]:
    """Gives knobs other values while the block runs.

    Raises:
        InvalidInputError: There is no such knob.
    """
    before = {name: value for name, value in settings_of(knobs).items() if name in settings}
    try:
        set_knobs(knobs, settings)
        yield
    finally:
        set_knobs(knobs, before)


@contextmanager
def knobs_as_trained(knobs: Sequence[Knob]) -> Iterator[None]:
    """Gives all knobs the values of training while the block runs."""
    trained = {knob.name: knob.trained for knob in knobs if knob.trained is not None}
    with knobs_at([knob for knob in knobs if knob.name in trained], trained):
        yield
