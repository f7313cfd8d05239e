"""Validation of the input of all front functions: a table of costs without NaN."""

import numpy as np
import numpy.typing as npt

from nasfuse.errors import InvalidInputError


def as_costs(costs: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns `costs` as a float array of shape (n, k), n >= 0 and k >= 1.

    Args:
        costs: Array-like of numbers, one row per point. Infinite costs are allowed.

    Raises:
        InvalidInputError: `costs` is not such a table, or contains NaN.
    """
    try:
        table = np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"costs must be a table of numbers, one row per point: {error}") from error
    if table.ndim != 2 or table.shape[1] == 0:
        raise InvalidInputError(
            f"costs must have shape (points, objectives) with at least one objective, got {table.shape}; "
            "give one row per point, an empty front as np.empty((0, 2))"
        )
    if np.isnan(table).any():
        rows = np.flatnonzero(np.isnan(table).any(axis=1))
        raise InvalidInputError(
            f"costs must not be NaN, got NaN in {rows.size} of {len(table)} rows, the first is row {rows[0]};"
            " leave out points without a measurement"
        )
    return table
