"""Raw columns."""

import re
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


@pytest.mark.parametrize(
    ("name", "there", "hint"),
    [
        ("lable", ["Label", "table"], "did you mean 'Label'? Known: Label, table"),
        ("dya", ["day", "may"], "did you mean 'day'? Known: day, may"),
        ("amount", ["month", "mount"], "did you mean 'mount'? Known: month, mount"),
        ("amount", ["month"], "Known: month"),
        ("feature_12", ["feature_13", "feature_21"], "Known: feature_13, feature_21"),
        ("sepal_length", ["petal_length", "sepal_lenght"], "did you mean 'sepal_lenght'? Known: petal_length, sepal_l"),
        ("sepal_length", ["petal_length", "petal_width"], "Known: petal_length, petal_width"),
    ],
)
def test_only_a_misspelt_column_is_proposed(name, there, hint):
    raw = RawTable("t", "t.csv", dict.fromkeys(there, np.zeros(2)), 2, expected={"petal_length", "sepal_length"})
    with pytest.raises(DataError, match=rf"^t\.csv has no column '{name}' \(data\.target\); {re.escape(hint)}"):
        raw.column(name, "data.target")
