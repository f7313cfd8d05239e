"""Faults: what ends trainings through no fault of their networks, and when they are tried again.

A process that dies before the training has begun, while it is started or reads the data, is a fault, too.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

#: Faults of a trial without progress, while other trainings end well, after which it has failed.
MAX_FAULTS = 3

#: Faults in a row, of any trials, after which a search ends; also deaths of one trial before its training began.
FAULTS_IN_A_ROW = 5

#: Longest time before a training is tried again, in seconds.
_LONGEST_WAIT_S = 30.0


class Verdict(Enum):
    """What becomes of a trial that met a fault."""

    AGAIN = "it is tried again"
    FAIL = "it has failed, since others end well"
    END = "the search ends, since nothing ends well"


@dataclass(frozen=True)
class Judgement:
    """What becomes of a trial that met a fault, after so many of them in a row.

    Attributes:
        verdict: What becomes of the trial.
        in_a_row: Number of faults since a training ended in another way, of this kind.
    """

    verdict: Verdict
    in_a_row: int

    @property
    def wait_s(self) -> float:
        """Seconds to wait before the trial is tried again: 1, 2, 4 and so on with every fault in a row."""
        return float(min(2.0 ** (self.in_a_row - 1), _LONGEST_WAIT_S))


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
        saved_epochs: Returns the number of epochs from which the training of a trial can be resumed.
    """

    saved_epochs: Callable[[int], int]
    _in_a_row: int = 0
    _early_deaths: Counter[int] = field(default_factory=Counter)
    _n_ends: int = 0
    _streaks: dict[int, _Streak] = field(default_factory=dict)

    def note_end(self) -> None:
        """Notes that a training ended in another way."""
        self._in_a_row = 0
        self._n_ends += 1
        self.note_beginning()

    def note_beginning(self) -> None:
        """Notes that a training has begun."""
        self._early_deaths.clear()

    def judge_early_death(self, number: int) -> Judgement:
        """Returns what becomes of trial `number`, whose worker died before its training began; it never fails of it.

        They are counted for each trial, since the loss of one machine ends many trials at once.
        """
        self._early_deaths[number] += 1
        in_a_row = self._early_deaths[number]
        return Judgement(Verdict.END if in_a_row >= FAULTS_IN_A_ROW else Verdict.AGAIN, in_a_row)

    def judge(self, number: int) -> Judgement:
        """Returns what becomes of trial `number`, which met a fault."""
        self._in_a_row += 1
        saved = self.saved_epochs(number)
        streak = self._streaks.get(number)
        if streak is None or saved > streak.saved_epochs:
            streak = self._streaks[number] = _Streak(saved, self._n_ends)
        streak.n_faults += 1
        if streak.n_faults >= MAX_FAULTS and self._n_ends > streak.ends_before:
            return Judgement(Verdict.FAIL, self._in_a_row)
        return Judgement(Verdict.END if self._in_a_row >= FAULTS_IN_A_ROW else Verdict.AGAIN, self._in_a_row)
