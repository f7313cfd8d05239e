"""Faults: what ends trainings through no fault of their networks, and when they are tried again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

#: Faults of a trial without progress, while other trainings end well, after which it has failed.
MAX_FAULTS = 3

#: Faults in a row, of any trials, after which a search ends.
FAULTS_IN_A_ROW = 5

#: Longest time before a training is tried again, in seconds.
_LONGEST_WAIT_S = 30.0


class Verdict(Enum):
    """What becomes of a trial that met a fault."""

    AGAIN = "it is tried again"
    FAIL = "it has failed, since others end well"
    END = "the search ends, since nothing ends well"


@dataclass
class _Streak:
    """Faults of one trial since it last made progress."""

    saved_epochs: int
    ends_before: int
    n_faults: int = 0


@dataclass
class Faults:
    """Faults of a session of a search.

    A trial is tried again from its saved epochs. It fails if others end well and it does not, so a network that needs
    too much memory cannot hold up a search. If nothing ends well, the search ends and no trial fails.

    Attributes:
        in_a_row: Number of faults since a training ended in another way.
    """

    saved_epochs: Callable[[int], int]
    in_a_row: int = 0
    _n_ends: int = 0
    _streaks: dict[int, _Streak] = field(default_factory=dict)

    def note_end(self) -> None:
        """Notes that a training ended in another way."""
        self.in_a_row = 0
        self._n_ends += 1

    def judge(self, number: int) -> Verdict:
        """Returns what becomes of trial `number`, which met a fault."""
        self.in_a_row += 1
        saved = self.saved_epochs(number)
        streak = self._streaks.get(number)
        if streak is None or saved > streak.saved_epochs:
            streak = self._streaks[number] = _Streak(saved, self._n_ends)
        streak.n_faults += 1
        if streak.n_faults >= MAX_FAULTS and self._n_ends > streak.ends_before:
            return Verdict.FAIL
        return Verdict.END if self.in_a_row >= FAULTS_IN_A_ROW else Verdict.AGAIN

    @property
    def wait_s(self) -> float:
        """Seconds to wait before a trial is tried again: 1, 2, 4 and so on with every fault in a row."""
        return float(min(2.0 ** (self.in_a_row - 1), _LONGEST_WAIT_S))
