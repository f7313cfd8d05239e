"""Predictions as a file: CSV, Parquet or `.npz`, with columns of the data by which people join them.

Label maps also become a folder of PNG files.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.raw_table import RawTable, texts
from nasfuse.errors import DataError, InvalidInputError, listed
from nasfuse.experiment.atomic_files import replacing
from nasfuse.prediction import Predictions
from nasfuse.prediction.label_images import label_png

if TYPE_CHECKING:
    import pandas

Array = NDArray[Any]

#: Significant digits of numbers of the network in text; the other formats have all digits.
_DIGITS = 6


def kept_columns(raw: RawTable, names: Sequence[str]) -> dict[str, Array]:
    """Returns the columns of the data that predictions are written with; empty: the number of the row.

    Raises:
        DataError: A column does not exist, or does not have one value per row.
    """
    kept = {name: raw.column(name, "--keep") for name in names}
    for name, values in kept.items():
        if values.ndim != 1 or any(isinstance(value, np.ndarray) for value in values):
            raise DataError(f"{raw.place(name)} does not have one value per row; keep another one")
    return kept


def write_csv(path: Path, predictions: Predictions, kept: Mapping[str, Array]) -> None:
    """Writes a table with one line per row of the data, empty cells for missing values, and rounded numbers."""
    with replacing(path) as temporary:
        frame = _frame(predictions, kept)
        for name in predictions.columns().keys() & set(frame.columns[frame.dtypes == np.float64]):
            frame[name] = [float(f"{value:.{_DIGITS}g}") for value in frame[name]]
        frame.to_csv(temporary, index=False)


def write_parquet(path: Path, predictions: Predictions, kept: Mapping[str, Array]) -> None:
    """Writes the same table as Parquet, with nulls for missing values and all digits."""
    with replacing(path) as temporary:
        _frame(predictions, kept).to_parquet(temporary, index=False)


def write_npz(path: Path, predictions: Predictions, kept: Mapping[str, Array]) -> None:
    """Writes the arrays of `Predictions.arrays`, and those that are kept; text has no missing values there."""
    arrays = predictions.arrays()
    for name, values in _first(arrays.keys(), kept, len(predictions)).items():
        is_text = values.dtype == object
        arrays[name] = np.array(["" if one is None else str(one) for one in values]) if is_text else values
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_label_maps(folder: Path, predictions: Predictions, kept: Mapping[str, Array], names: Sequence[str]) -> None:
    """Writes a PNG file of class numbers for each row that has a prediction, and `samples.csv` with a line per row.

    Args:
        folder: Folder that is empty or does not exist.
        predictions: Predictions of label maps.
        kept: See `write_csv`; `file` is added to them.
        names: (n,) different names of the files, without ending.
    """
    folder.mkdir(exist_ok=True)
    files = np.array([None if row in predictions.problems else f"{name}.png" for row, name in enumerate(names)], object)
    for values, file in zip(predictions.named, files, strict=True):
        if file is not None:
            (folder / file).write_bytes(label_png(values))
    write_csv(folder / "samples.csv", predictions, {**_first([], kept, len(predictions)), "file": files})


def row_names(raw: RawTable, columns: Sequence[str], n_rows: int) -> list[str]:
    """Returns a name of each row: that of its file of the first of `columns`, its `id`, or else its number.

    Args:
        raw: The data.
        columns: Columns that a network reads.
        n_rows: Number of rows.
    """
    for column in [*columns[:1], "id"]:
        values = raw.columns.get(column)
        if values is None or values.ndim != 1 or len(values) != n_rows or values.dtype.kind not in "OU":
            continue
        found = [Path(text).stem for text in texts(values)]
        if all(found) and len(set(found)) == n_rows:
            return found
    digits = len(str(n_rows - 1))
    return [f"{row:0{digits}d}" for row in range(n_rows)]


def _frame(predictions: Predictions, kept: Mapping[str, Array]) -> "pandas.DataFrame":
    import pandas

    found = predictions.frame()
    return pandas.concat([pandas.DataFrame(_first(found.columns, kept, len(predictions))), found], axis=1)


def _first(names: Sequence[str] | Any, kept: Mapping[str, Array], n_rows: int) -> dict[str, Array]:
    """Returns the columns that come before the predictions, which have `names`."""
    if not kept:
        return {"row": np.arange(n_rows)}
    clash = [name for name in kept if name in names]
    if clash:
        raise InvalidInputError(f"--keep: predictions have columns called {listed(clash)} themselves; rename them")
    wrong = [name for name, values in kept.items() if len(values) != n_rows]
    if wrong:
        raise DataError(f"--keep: {listed(wrong)} does not have a value for each of {n_rows} rows; keep another one")
    return dict(kept)


#: Functions that write predictions, by the ending of the file's name.
WRITERS: dict[str, Callable[[Path, Predictions, Mapping[str, Array]], None]] = {
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".npz": write_npz,
}
