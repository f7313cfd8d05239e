"""Hypervolume: the volume that a set of points dominates, bounded by a reference point."""

import numpy as np
import numpy.typing as npt

from nasfuse.errors import InvalidInputError
from nasfuse.pareto.dominance import non_dominated
from nasfuse.pareto.validation import as_costs


def hypervolume(costs: npt.ArrayLike, *, reference: npt.ArrayLike) -> float:
    """Returns the exact volume that is dominated by `costs` and bounded by `reference`.

    Points that are not better than the reference in every objective do not contribute. Two objectives are processed
    with a sweep; for more, the volume is divided into slices along the last objective (HSO, While et al. 2006, without
    its heuristic for the order of objectives). The time is exponential in k.

    Args:
        costs: Shape (n, k), all objectives minimised. Dominated points and duplicates do not change the result.
        reference: Shape (k,), finite: an upper bound of the costs of interest.

    Raises:
        InvalidInputError: Shapes differ, a value is NaN, the reference is infinite, or a cost is -inf (which makes the
            volume infinite).

    >>> hypervolume([[1, 3], [2, 1]], reference=[4, 4])
    7.0
    """
    table = as_costs(costs)
    corner = _as_reference(reference, n_objectives=table.shape[1])
    if np.isneginf(table).any():
        raise InvalidInputError("costs must be above -inf to enclose a finite volume, got -inf; leave such points out")
    better = table[(table < corner).all(axis=1)]
    return _volume(better[non_dominated(better)], corner)


def _as_reference(reference: npt.ArrayLike, *, n_objectives: int) -> npt.NDArray[np.float64]:
    """Returns `reference` as a finite float array of shape (n_objectives,)."""
    try:
        corner = np.asarray(reference, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"reference must be a list of numbers: {error}") from error
    if corner.shape != (n_objectives,):
        raise InvalidInputError(
            f"reference must have one value per objective, shape ({n_objectives},), got shape {corner.shape}"
        )
    if not np.isfinite(corner).all():
        raise InvalidInputError(
            f"reference must be finite, got {corner.tolist()}; use slightly more than the largest costs of the front"
        )
    return corner


def _volume(front: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    """Returns the volume of non-dominated points (n, k) that all strictly dominate `corner` (k,)."""
    n_objectives = front.shape[1]
    if len(front) == 0:
        return 0.0
    if n_objectives == 1:
        return float(corner[0] - front[0, 0])
    if n_objectives == 2:
        return _area(front, corner)
    return _sliced_volume(front, corner)


def _area(front: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    """Returns the area of a two-objective front, the sum of one rectangle per point."""
    ordered = front[np.argsort(front[:, 0])]
    widths = corner[0] - ordered[:, 0]
    heights = -np.diff(ordered[:, 1], prepend=corner[1])
    return float(widths @ heights)


def _sliced_volume(front: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    """Returns the sum over slices along the last objective of the depth times the volume of the slice's front."""
    ordered = front[np.argsort(front[:, -1])]
    depths = np.diff(ordered[:, -1], append=corner[-1])
    total = 0.0
    for n_inside, depth in enumerate(depths, start=1):
        if depth > 0:  # points at the same height belong to one slice
            inside = ordered[:n_inside, :-1]
            total += float(depth) * _volume(inside[non_dominated(inside)], corner[:-1])
    return total
