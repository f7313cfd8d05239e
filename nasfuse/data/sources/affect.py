"""Pickle files with sequences of several modalities by split, as MultiBench and MulT publish CMU-MOSI and CMU-MOSEI.

The layout is `{train, valid, test}` to `{vision, audio, text: (n, T, F), labels: (n, 1, 1), id}`, which UR-FUNNY and
MUStARD have as well. Sequences are padded with zeros, in front in the files of MultiBench.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.raw_table import Array, RawTable
from nasfuse.data.sources.restricted_pickle import read_plain_pickle
from nasfuse.data.sources.split_parts import joined, split_word
from nasfuse.errors import DataError, DataWarning, counted

#: Largest absolute sentiment; larger predictions and labels count as this in the seven classes.
_STRONGEST = 3


def read_affect(path: Path) -> RawTable:
    """Returns the arrays of all splits of a pickle file.

    - `NAME_lengths`, added for every sequence (n, T, F), is its number of steps without the zeros in front (or behind,
      if there are more of them). Where modalities are aligned, `text_lengths` is the length of all of them.
    - Infinite and NaN features become 0, with a warning. The audio features of some files have -inf.
    - Rows without text (all its features are 0) are left out, with a warning, as in the loader of MultiBench.
    - `labels` lose axes of size 1. If they are real numbers, `polarity` (`negative` below 0, else `not_negative`) and
      `seven_classes` (rounded, half to even, and limited to -3 ... 3) are added.
    - Of several names per row in `id`, the first is kept.

    Raises:
        DataError: The file is damaged, holds anything but plain arrays, or has another layout.
    """
    content = read_plain_pickle(path)
    words = (
        [word for word in content if isinstance(word, str) and split_word(word)] if isinstance(content, dict) else []
    )
    absent = {"train", "val", "test"} - {split_word(word) for word in words}
    if absent or len(words) > 3:
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        lacking = "valid" if "val" in absent else ", ".join(sorted(absent)) or "one part for each of them"
        raise DataError(
            f"{path} must hold a mapping with train, valid and test, got {found or 'nothing'} without {lacking}; write "
            "other data as .npz"
        )
    parts = {word: _arrays(path, word, content[word]) for word in words}
    raw = joined(path, parts)
    columns = dict(raw.columns)
    sequences = [name for name, values in columns.items() if values.ndim == 3 and values.dtype.kind in "fiu"]
    for name in sequences:
        columns[name] = _finite(path, name, columns[name])
    columns = _with_text(path, columns, n_rows=len(columns["split"]))
    for name in sequences:
        columns[f"{name}_lengths"] = _lengths(columns[name])
    return RawTable(raw.name, raw.origin, columns | _classes_of(columns.get("labels")), None, raw.folder)


def _arrays(path: Path, word: str, part: Any) -> dict[str, Array]:
    if not isinstance(part, Mapping) or not part:
        raise DataError(
            f"{path}: {word} must be a mapping from names to arrays, got {type(part).__name__}; write it again"
        )
    arrays = {}
    for name, values in part.items():
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise DataError(f"{path}: {name} of {word} must have rows of one shape; align them") from error
        if array.ndim == 0 or array.dtype.kind not in "biufSUO":
            raise DataError(f"{path}: {name} of {word} must be an array of one row per sample, got {array.dtype}")
        if str(name) == "labels":
            array = array.reshape(len(array), *(size for size in array.shape[1:] if size > 1))
        arrays[str(name)] = _names(array) if array.dtype.kind in "SUO" else array
    return arrays


def _names(values: Array) -> Array:
    """Returns text (n,): of several columns the first, and bytes as UTF-8."""
    first = values.reshape(len(values), -1)[:, 0] if values.size else values.reshape(-1)
    texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in first.tolist()]
    return np.array(texts, dtype=str)


def _finite(path: Path, name: str, values: Array) -> Array:
    bad = ~np.isfinite(values)
    n_rows = int(bad.any(axis=(1, 2)).sum())
    if not n_rows:
        return values
    text = f"{path.name}: array {name} has infinite or NaN features in {counted(n_rows, 'row')}, which become 0"
    warnings.warn(text, DataWarning, stacklevel=3)
    return np.where(bad, values.dtype.type(0), values)


def _with_text(path: Path, columns: dict[str, Array], *, n_rows: int) -> dict[str, Array]:
    """Returns the rows whose `text` has a feature that is not 0."""
    text = columns.get("text")
    if text is None or text.ndim != 3:
        return columns
    has_text = (text != 0).any(axis=(1, 2))
    if has_text.all():
        return columns
    message = f"{path.name}: {counted(n_rows - int(has_text.sum()), 'row')} of {n_rows} have no text and are left out"
    warnings.warn(message, DataWarning, stacklevel=3)
    return {name: values[has_text] if len(values) == n_rows else values for name, values in columns.items()}


def _lengths(values: Array) -> NDArray[np.int64]:
    """Returns the (n,) numbers of steps from the first one that is not 0 or, of data padded behind, to the last one."""
    filled, n_steps = (values != 0).any(axis=2), values.shape[1]
    any_filled = filled.any(axis=1)
    front = np.where(any_filled, filled.argmax(axis=1), n_steps)
    behind = np.where(any_filled, filled[:, ::-1].argmax(axis=1), n_steps)
    is_left = front[any_filled].sum() >= behind[any_filled].sum()
    return np.asarray(n_steps - (front if is_left else behind), np.int64)


def _classes_of(labels: Array | None) -> dict[str, Array]:
    if labels is None or labels.ndim != 1 or labels.dtype.kind != "f" or len(np.unique(labels)) <= 2:
        return {}
    return {
        "polarity": np.where(labels >= 0, "not_negative", "negative"),
        "seven_classes": np.rint(np.clip(labels, -_STRONGEST, _STRONGEST)).astype(np.int64),
    }
