"""Columns that are no inputs, by whose values results are shown, such as day and night."""

import torch
from torch import Tensor

from nasfuse.data.raw_table import RawTable, texts
from nasfuse.errors import DataError, counted

#: Different values of a column up to which results are shown by value.
_MOST_VALUES = 20


def metadata_values(raw: RawTable, name: str, rows: Tensor | None = None) -> list[str]:
    """Returns the values of a column of metadata as text.

    Args:
        raw: The data.
        name: Column or array with one value per row.
        rows: (n,) rows; None: all.

    Raises:
        DataError: There is no such column, it does not have one value per row, or too many different ones.
    """
    values = raw.column(name, "metadata")
    if values.ndim != 1 or (rows is not None and len(values) <= int(rows.max())):
        raise DataError(f"{raw.place(name)} does not have one value per sample, so results cannot be shown by it")
    found = texts(values if rows is None else values[torch.as_tensor(rows).numpy()])
    n_values = len(set(found))
    if n_values > _MOST_VALUES:
        raise DataError(
            f"{raw.place(name)} has {counted(n_values, 'different value')}, and results can be shown by at most "
            f"{_MOST_VALUES}; choose another column of metadata"
        )
    return found
