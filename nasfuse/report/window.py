"""The part of the metric axis worth looking at: around the front, without the failures far below."""

from collections.abc import Sequence

from nasfuse.domain.metric import METRICS
from nasfuse.search.front import Candidate

_MARGIN = 0.5


def metric_window(
    candidates: Sequence[Candidate], front: Sequence[Candidate], *, metric: str
) -> tuple[tuple[float, float], int] | None:
    """Returns the axis limits and how many candidates lie outside, None where nothing needs to be cut.

    The window reaches half the span of the front beyond its worst member.
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
