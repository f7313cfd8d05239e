"""Folds: what is computed from all items of a sequence that grows, without reading those again that were there before.

A search asks several times per trial for figures over all of its trials. Folds make that cost as much as the trials
that are new, not as all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Generic, TypeVar

Item = TypeVar("Item")
State = TypeVar("State")

#: Sequences whose states are kept by one fold; a process rarely has more than one study.
_N_KEPT = 4


@dataclass(eq=False)
class _Memo(Generic[Item, State]):
    """State of the first items of a sequence.

    Attributes:
        seen: These items.
        state: State of the fold after them.
        held_back: Items at the end of a sequence that are not remembered, because they were seen to differ from one
            call to the next: a suggestion does not see the results of the last trainings, and the display does.
    """

    state: State
    seen: list[Item] = field(default_factory=list)
    held_back: int = 0


class Fold(Generic[Item, State]):
    """Function from a sequence of items to a state, as `extend` computes it from the state of the items before.

    Sequences may differ in any item from those before: items are compared with those that are remembered. The sequences
    of one call after another are usually the same up to the last few items.
    """

    def __init__(
        self,
        initial: State,
        extend: Callable[[State, Sequence[Item]], State],
        *,
        is_final: Callable[[Item], bool] = attrgetter("is_finished"),
    ) -> None:
        """Builds a fold.

        Args:
            initial: State of the empty sequence.
            extend: Returns the state after further items; changes nothing.
            is_final: Whether an item does not change any more; others are not remembered, nor are those after them. By
                default as the item, a view of a trial, says.
        """
        self._initial, self._extend, self._is_final = initial, extend, is_final
        self._memos: list[_Memo[Item, State]] = []

    def of(self, items: Sequence[Item]) -> State:
        """Returns the state of `items`, which must not be changed."""
        if not items:
            return self._initial
        memo = self._memo(items)
        first = len(memo.seen)
        end = max(len(items) - memo.held_back, first)
        end = next((place for place in range(first, end) if not self._is_final(items[place])), end)
        if end > first:
            memo.state = self._extend(memo.state, items[first:end])
            memo.seen.extend(items[first:end])
        return self._extend(memo.state, items[end:]) if end < len(items) else memo.state

    def _memo(self, items: Sequence[Item]) -> _Memo[Item, State]:
        """Returns a memo whose items are the first ones of `items`; the newest memos are last."""
        begun = [memo for memo in reversed(self._memos) if memo.seen and memo.seen[0] is items[0]]
        found = next((memo for memo in begun if memo.seen == list(items[: len(memo.seen)])), None)
        if found is None:
            found = _Memo(self._initial)
            for memo in begun:
                n_seen, n_shared = len(memo.seen), _n_shared(memo.seen, items)
                if 2 * n_shared >= n_seen:
                    found.held_back = 2 * (max(n_seen, len(items)) - n_shared)
                    self._memos.remove(memo)
                    break
        self._memos = [*(memo for memo in self._memos if memo is not found), found][-_N_KEPT:]
        return found


def _n_shared(some: Sequence[Item], others: Sequence[Item]) -> int:
    """Returns how many items are the same, from the first on."""
    pairs = enumerate(zip(some, others, strict=False))
    differ = (place for place, (one, other) in pairs if one is not other and one != other)
    return next(differ, min(len(some), len(others)))
