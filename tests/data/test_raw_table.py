"""Raw columns."""

from pathlib import Path

import numpy as np
import pytest

from nasfuse.data.raw_table import RawTable, missing, texts
from nasfuse.errors import DataError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1.0, np.nan]), [False, True]),
        (np.array([[1.0, np.nan], [np.nan, np.nan]]), [False, True]),
        (np.array([1, 0]), [False, False]),
        (np.array(["a", ""]), [False, True]),
        (np.array(["2026-01-01", "NaT"], "datetime64[D]"), [False, True]),
        (np.array(["a", None, " ", float("nan"), 0], dtype=object), [False, True, True, True, False]),
    ],
)
def test_missing_values(values, expected):
    assert missing(values).tolist() == expected


def test_values_as_text():
    assert texts(np.array([3.0, 2.5])) == ["3", "2.5"]
    assert texts(np.array([True, False])) == ["True", "False"]
    assert texts(np.array([" a ", None, 3], dtype=object)) == ["a", "", "3"]


def test_members_are_called_columns_or_arrays():
    columns = {"price": np.zeros(2)}
    assert RawTable("t", "t.csv", columns, 2).place("price", 1) == "column price of t.csv, row 1"
    arrays = RawTable("t", "t.npz", columns, None, Path("data"))
    assert arrays.place("price") == "array price of t.npz"
    with pytest.raises(
        DataError, match=r"^t\.npz has no array 'prise' \(data\.target\); did you mean 'price'\? Known: pr"
    ):
        arrays.column("prise", "data.target")
