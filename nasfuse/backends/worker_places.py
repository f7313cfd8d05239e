"""Places for workers: which worker of Tune runs a trial, and how long an idle one is kept.

Tune gives a trial an idle worker whose resources equal those that the trial asks for, also where another worker already
starts for it, which is then ended. With equal resources for all trials, trials that take less time than the start of a
worker would keep the number of workers small. Tune also ends all idle workers but one. So every trial asks for
resources at a place of its own, which the next trial there equals, and idle workers are kept for a while.
"""

import time
from typing import Any

from ray import tune

#: Seconds after which idle workers end, if no trial was handed out in the meantime; others may need their cores.
_KEPT_S = 60.0


class Place(tune.PlacementGroupFactory):
    """Resources of a trial at one of the places."""

    def __init__(self, bundle: dict[str, float], *, number: int, selector: dict[str, str]) -> None:
        """Asks for `bundle` at the place `number`, on nodes with the labels `selector`."""
        super().__init__([bundle], **({"bundle_label_selector": [selector]} if selector else {}))
        self._number, self.selector = number, selector

    def __eq__(self, other: object) -> bool:
        """Returns whether a worker of one can run a trial of the other."""
        return isinstance(other, Place) and self._number == other._number and bool(super().__eq__(other))

    def __hash__(self) -> int:
        """Returns the hash of number and resources."""
        return hash((super().__hash__(), self._number))


class PlaceNumbers:
    """Numbers of the places at which trials run; the one that became free last, where a worker is idle, comes first."""

    def __init__(self) -> None:
        """Begins without places."""
        self._taken: dict[str, int] = {}
        self._free: list[int] = []

    def take(self, trial_id: str) -> int:
        """Returns the number of a free place, or of a new one."""
        number = self._taken[trial_id] = self._free.pop() if self._free else len(self._taken)
        return number

    def leave(self, trial_id: str, *, has_worker: bool) -> None:
        """Notes that the place of a trial is free, and whether its worker still lives."""
        self._free.insert(len(self._free) if has_worker else 0, self._taken.pop(trial_id))


class KeptWorkers:
    """The workers that Tune keeps while no trial is there for them."""

    def __init__(self) -> None:
        """Keeps none."""
        self._places: set[Place] = set()
        self._handed_out_at = 0.0

    def keep(self, place: Place, controller: Any) -> None:
        """Keeps the worker of a trial that is handed out; ends those of places on other nodes, if they are idle."""
        self._handed_out_at = time.monotonic()
        if any(other.selector != place.selector for other in self._places):
            self._release(controller)
        if place not in self._places:
            self._places.add(place)
            controller._actor_cache.increase_max(place)

    def release_if_idle(self, controller: Any) -> None:
        """Ends idle workers, but for one, if no trial was handed out for some time."""
        if self._places and time.monotonic() - self._handed_out_at > _KEPT_S:
            self._release(controller)

    def _release(self, controller: Any) -> None:
        for place in self._places:
            controller._actor_cache.decrease_max(place)
        self._places.clear()
