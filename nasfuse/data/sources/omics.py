"""Folders in the layout of MOGONET (Wang et al., 2021): one CSV file per view and split, without a header."""

from pathlib import Path

import numpy as np

from nasfuse.data.raw_table import Array, RawTable
from nasfuse.data.sources.split_parts import joined
from nasfuse.errors import DataError, counted

#: Endings of the splits in the names of the files.
_PARTS = {"tr": "train", "te": "test"}


def has_omics(path: Path) -> bool:
    """Returns whether a folder has the labels of MOGONET's layout, `labels_tr.csv` or `labels_te.csv`."""
    return any((path / f"labels_{part}.csv").is_file() for part in _PARTS)


def read_omics(path: Path) -> RawTable:
    """Returns the arrays `view1`, `view2`, ... (n, F), `labels` (n,) and `split` of a folder.

    View 1 are the rows of `1_tr.csv`, for training, and `1_te.csv`, for testing. Names of features (`1_featname.csv`)
    are not read.

    Raises:
        DataError: A file is missing or damaged, a cell is no finite number, or files differ in rows or columns.
    """
    numbers = sorted({int(file.stem.partition("_")[0]) for file in path.glob("[0-9]*_t[re].csv")})
    if not numbers:
        raise DataError(f"{path} has labels and no view 1_tr.csv; add the files of the views")
    names = {f"view{number}": str(number) for number in numbers} | {"labels": "labels"}
    parts: dict[str, dict[str, Array]] = {word: {} for word in _PARTS.values()}
    for part, word in _PARTS.items():
        for name, stem in names.items():
            parts[word][name] = _numbers(path / f"{stem}_{part}.csv", folder=path)
        labels = parts[word]["labels"]
        for name, stem in names.items():
            if len(parts[word][name]) != len(labels):
                raise DataError(
                    f"{path / f'{stem}_{part}.csv'} has {counted(len(parts[word][name]), 'row')} and labels_{part}.csv "
                    f"{len(labels)}; align them"
                )
        if labels.shape[1] != 1:
            raise DataError(f"{path / f'labels_{part}.csv'} must have one column, got {labels.shape[1]}; correct it")
        parts[word]["labels"] = labels[:, 0]
    return joined(path, parts)


def _numbers(file: Path, *, folder: Path) -> Array:
    if not file.is_file():
        raise DataError(
            f"{folder} has no {file.name}, which the layout of MOGONET needs; add it (some copies of BRCA lack the "
            "files of the training split)"
        )
    import pandas as pd  # slow to import, and few data need it

    try:
        frame = pd.read_csv(file, header=None, low_memory=False)
    except (ValueError, OSError) as error:
        reason = str(error).replace("Error tokenizing data. C error: ", "").strip()
        raise DataError(f"{file} is no table of numbers: {reason}; correct the file") from error
    is_text = any(kind.kind not in "biuf" for kind in frame.dtypes)
    numbers = frame.apply(pd.to_numeric, errors="coerce") if is_text else frame
    values = np.asarray(numbers.to_numpy(np.float64))
    if not np.isfinite(values).all():
        row, column = (int(place[0]) for place in np.nonzero(~np.isfinite(values)))
        cell = str(frame.iat[row, column])
        raise DataError(
            f"{file}: row {row}, column {column} must be a finite number, got {cell!r}; correct it (rows and columns "
            "are counted from 0)"
        )
    return values
