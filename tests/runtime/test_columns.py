"""Columns of a table and texts, by numpy alone, against hand-made values and the transforms of the training."""

import numpy as np
import pytest

from nasfuse.data.columns.date import Date
from nasfuse.data.columns.table import TableColumns
from nasfuse.data.columns.text import TextColumn
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError
from nasfuse.export.bundle_sources import source_of
from nasfuse.runtime.columns import table, tokens
from nasfuse.spec.modality import TableConfig, TextConfig

COLUMNS = {
    "price": np.array([1.5, np.nan, 4.0, 2.5]),
    "shop": np.array(["a", "b", "a", None], dtype=object),
    "since": np.array(["2024-01-31", "2020-06-01 12:00", None, "1999-12-31"], dtype=object),
    "title": np.array(["It's red, isn't it?", "red", "", None], dtype=object),
}
ROWS = np.arange(4)


def raw(columns=None):
    return RawTable("t", "t.csv", columns or COLUMNS, 4)


def test_numbers_and_categories():
    features = [
        {"column": "price", "type": "number", "median": 2.0, "has_indicator": True},
        {"column": "shop", "type": "category", "names": ["a", ""], "has_rare": True},
    ]
    found = table(features, COLUMNS)
    assert found.tolist() == [[1.5, 0, 1, 0, 0], [2, 1, 0, 0, 1], [4, 0, 1, 0, 0], [2.5, 0, 0, 1, 0]]


def test_a_date_is_its_day_and_its_place_in_the_year():
    feature = {"column": "d", "type": "date", "median": 0.0, "has_time": False, "has_indicator": False}
    (day,) = table([feature], {"d": np.array(["1971-01-01"], dtype="datetime64[D]")})
    angle = 2 * np.pi * 365 / 365.2425
    assert np.allclose(day, [365, np.sin(angle), np.cos(angle), np.sin(2 * np.pi / 7), np.cos(2 * np.pi / 7)])


@pytest.mark.parametrize("day_first", [True, False])
def test_dates_are_read_as_in_the_training(day_first):
    texts = ["2026-01-31", " 2026-1-5", "2026-1-5 9:30", "2026-01-31 9:30", "2026-01-31T09:30:15.5", "20260131", "2026"]
    texts += ["2026-01", "2026/1/31", "31.1.2026", "2/1/2026", "2/1/2026 23:59:59", "01-02-2026 9:30 pm", "31 Jan 2026"]
    texts += ["January 31, 2026 9:30", "", "2026-01-31T09:30Z", "2026-01-31T09:30:00+02:00"]
    values = np.array(texts, dtype=object)
    if not day_first:
        values = values[values != "31.1.2026"]
    date = Date(median=1.5, has_time=True, has_indicator=True, day_first=day_first)
    features, wrong = date.encode(values)
    assert not wrong
    assert np.allclose(table([{"column": "d", "type": "date", **date.state()}], {"d": values}), features, atol=1e-9)


@pytest.mark.parametrize("value", ["soon", "2026-02-30", "31.01.2026", "", 4, 4.5, True])
def test_what_is_no_date_for_the_training_is_none_here(value):
    values = np.array([value], dtype=object)
    date = Date(median=1.5, has_time=True, has_indicator=True, day_first=False)
    feature = {"column": "d", "type": "date", **date.state()}
    if date.encode(values)[1]:
        with pytest.raises(DataError, match="column d, row 0 must be a date such as 2026-01-31, got"):
            table([feature], {"d": values})
    else:
        assert table([feature], {"d": values})[0, 0] == 1.5


def test_a_table_is_that_of_the_training():
    config = TableConfig.parse({"columns": dict.fromkeys(["price", "shop", "since"], "auto"), "kind": "table"})
    transform = TableColumns.fit("facts", config, raw(), ROWS)
    source = source_of(transform)
    assert source["columns"] == ["price", "shop", "since"]
    assert np.array_equal(table(source["features"], COLUMNS), transform.read(raw()).arrays.values)


@pytest.mark.parametrize("tokenizer", ["words", "hashed"])
def test_words_are_those_of_the_training(tokenizer):
    config = TextConfig.parse({"kind": "text", "tokenizer": tokenizer, "vocabulary": 3, "min_count": 1})
    transform = TextColumn.fit("title", config, raw(), ROWS)
    new = {"title": np.array(["IT is red, red!", "x", "", None], dtype=object)}
    ids, lengths, present = tokens(source_of(transform), new)
    expected = transform.read(raw(new)).arrays
    assert np.array_equal(ids, expected.values)
    assert np.array_equal(lengths, expected.lengths)
    assert present.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("number", "many", "column c, row 1 must be a finite number, got 'many'; correct it"),
        ("date", "31.01.2026", r"column c, row 1 must be a date such as 2026-01-31, got '31.01.2026'"),
    ],
)
@pytest.mark.parametrize("dtype", [object, str])
def test_values_that_cannot_be_read(kind, value, message, dtype):
    feature = {"column": "c", "type": kind, "median": 0.0, "has_time": False, "has_indicator": False}
    with pytest.raises(DataError, match=message):
        table([feature], {"c": np.array(["", value], dtype=dtype)})


def test_an_absent_column():
    with pytest.raises(DataError, match="the data have no column 'c'; add it, they have 'd'"):
        table([{"column": "c", "type": "number"}], {"d": np.zeros(1)})
