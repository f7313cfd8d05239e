"""Limits of the metric axis: around the front, without points far below it."""

from collections.abc import Sequence

from nasfuse.domain.metric import METRICS
from nasfuse.search.front import Candidate

_MARGIN = 0.5


def metric_window(
    candidates: Sequence[Candidate], front: Sequence[Candidate], *, metric: str
) -> tuple[tuple[float, float], int] | None:
    """Returns the axis limits and the number of candidates outside; None if all candidates are inside.

    The limits extend beyond the worst member of the front by half the range of the front.
    """
    if len(front) < 2:
        return None
    values = [member.measured.metric for member in front]
    low, high = min(values), max(values)
    reach, rim = _MARGIN * (high - low), 0.06 * (high - low)
    if METRICS[metric].direction == "maximize":
        limits = (low - reach, high + rim)
    else:
        limits = (low - rim, high + reach)
    hidden = sum(not limits[0] <= candidate.measured.metric <= limits[1] for candidate in candidates)
    return (limits, hidden) if hidden else None
