"""Numbers, categories and dates as features."""

import numpy as np
import pytest

from nasfuse.data.columns.base import text_of
from nasfuse.data.columns.category import Category
from nasfuse.data.columns.date import Date
from nasfuse.data.columns.number import Number
from nasfuse.data.columns.table import TableColumns
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError
from nasfuse.spec.modality import TableConfig

CONFIG = TableConfig(kind="table", columns={"a": "auto"})


def objects(*values):
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def table(values, *, kind="auto", **options):
    raw = RawTable("t", "t.csv", {"a": values}, len(values))
    return TableColumns.fit("m", TableConfig(kind="table", columns={"a": kind}, **options), raw, np.arange(len(values)))


def test_numbers_have_the_median_for_missing_ones_and_an_indicator():
    number = Number.fit(np.array([1.0, np.nan, 5.0, 2.0]), CONFIG)
    features, wrong = number.encode(np.array([7.0, np.nan]))
    assert features.tolist() == [[7.0, 0.0], [2.0, 1.0]]
    assert wrong == []


def test_without_missing_training_numbers_there_is_no_indicator():
    number = Number.fit(np.array([1, 2, 6]), CONFIG)
    assert number.encode(np.array([7.0, np.nan]))[0].tolist() == [[7.0], [2.0]]


def test_numbers_as_text_and_what_is_none():
    features, wrong = Number.fit(objects("1.5", "2"), CONFIG).encode(objects("3e2", "many", None, "inf"))
    assert features.tolist() == [[300.0], [1.75], [1.75], [1.75]]
    assert [row for row, _ in wrong] == [1, 3]
    assert wrong[0][1] == "must be a finite number, got 'many'; correct it"


@pytest.mark.parametrize(("first", "second"), [(3, 1), (1, 3), (0, 2)])
def test_columns_of_different_numbers_of_rows(first, second):
    both = TableConfig(kind="table", columns={"a": "number", "b": "number"})
    whole = RawTable("t", "t.npz", {"a": np.zeros(4), "b": np.zeros(4)}, None)
    parts = RawTable("t", "t.npz", {"a": np.zeros(first), "b": np.zeros(second)}, None)
    fitted = TableColumns.fit("m", both, whole, np.arange(4))
    message = rf"^array b of t\.npz has {second} rows?, and array a has {first}; give all the same rows$"
    for read in (fitted.read, lambda raw: TableColumns.fit("m", both, raw, np.arange(1))):
        with pytest.raises(DataError, match=message):
            read(parts)


def test_another_type_is_proposed_before_the_training_alone():
    raw = RawTable("t", "t.csv", {"a": objects("1", "x")}, 2)
    (problem,) = table(objects("1", "2"), kind="number").read(raw).problems
    assert problem.message == "column a of t.csv, row 1: must be a finite number, got 'x'; correct it"
    assert text_of([problem]) == f"{problem.message}, or make the column a category"


def test_times_keep_their_precision():
    seconds = 1.7e9 + np.arange(4)
    assert Number.fit(seconds, CONFIG).encode(seconds)[0][:, 0].tolist() == seconds.tolist()


def test_rare_and_unknown_categories_share_a_feature():
    values = objects("red", "red", "blue", "blue", "blue", "green")
    category = Category.fit(values, CONFIG)
    assert category.names == ("blue", "red")
    assert category.encode(objects("red", "green", "pink"))[0].tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_without_rare_training_categories_unknown_ones_have_no_feature():
    category = Category.fit(objects("a", "a", "b", "b"), CONFIG)
    assert category.encode(objects("b", "c"))[0].tolist() == [[0, 1], [0, 0]]


def test_missing_values_are_a_category_where_they_are_frequent():
    category = Category.fit(objects("a", None, None, "a", "a"), CONFIG)
    assert category.encode(objects(None, "a"))[0].tolist() == [[0, 1], [1, 0]]


def test_the_number_of_categories_is_limited():
    values = objects(*[f"c{row // 2}" for row in range(200_000)])
    features, _ = table(values).features["a"].encode(values[:10])
    assert features.shape == (10, 101)


def test_categories_written_as_numbers_are_the_same_with_gaps():
    category = Category.fit(np.array([1, 1, 2, 2]), CONFIG)
    assert category.encode(np.array([2.0, np.nan]))[0].tolist() == [[0, 1], [0, 0]]


def test_dates():
    date = Date.fit(objects("1970-01-02", "1970-01-09", None), CONFIG)
    features, wrong = date.encode(objects("1970-01-03", None, "soon"))
    assert features[:, 0].tolist() == [2.0, 4.5, 4.5]
    assert features[:, -1].tolist() == [0, 1, 1]
    assert features.shape == (3, 6)
    assert wrong == [(2, "must be a date such as 2026-01-31, got 'soon'; correct it")]
    _, numbers = date.encode(np.array([4.5]))
    assert numbers == [(0, "must be a date such as 2026-01-31, got 4.5; correct it")]


def test_times_of_the_day_and_zones():
    date = Date.fit(objects("2026-03-01 06:00", "2026-03-02 18:00"), CONFIG)
    noon = date.encode(objects("2026-03-05T12:00:00+00:00", "2026-03-05T14:00:00+02:00"))[0]
    assert noon.shape == (2, 7)
    assert np.array_equal(noon[0], noon[1])


def test_the_positions_in_the_week_repeat():
    date = Date.fit(objects("2026-03-01", "2026-03-02"), CONFIG)
    features = date.encode(objects("2026-03-05", "2026-03-12", "2026-03-06"))[0]
    assert np.allclose(features[0, 3:5], features[1, 3:5], atol=1e-9)
    assert not np.allclose(features[0, 3:5], features[2, 3:5], atol=1e-2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1, 2]), Number),
        (objects(True, None), Number),
        (objects("1", "2.5"), Number),
        (objects("2026-01-31", None), Date),
        (np.array(["2026-01-31"], "datetime64[s]"), Date),
        (objects("a", "1"), Category),
        (objects(None, None), Category),
    ],
)
def test_types_are_guessed(values, expected):
    assert type(table(values).features["a"]) is expected


def test_a_given_type_is_used():
    assert table(np.array([1, 1, 2, 2]), kind="category").features["a"].names == ("1", "2")


def test_lists_are_no_part_of_a_table():
    with pytest.raises(DataError, match=r"^column a of t\.csv has an array in every row, which is no part of a table"):
        table(np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("training", "text", "day"),
    [
        (["31.01.2024", "05.02.2024"], "03.02.2024", "2024-02-03"),
        (["01/31/2024", "02/05/2024"], "03/02/2024", "2024-03-02"),
        (["01/02/2024", "31/01/2024"], "03/02/2024", "2024-02-03"),
        (["01.02.2024"], "03.02.2024", "2024-02-03"),
        (["2024/01/31"], "2024/2/3", "2024-02-03"),
        (["31 Jan 2024"], "February 3, 2024", "2024-02-03"),
        (["01/31/2024 2:30 PM"], "03/02/2024 12:00 AM", "2024-03-02"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_the_order_of_day_and_month_is_that_of_the_training_rows(training, text, day):
    fitted = Date.from_state(Date.fit(objects(*training), CONFIG).state())
    for others in ((), ("12/25/2024",), ("25.12.2024",)):
        features, _ = fitted.encode(objects(*others, text))
        assert features[-1, 0] == np.datetime64(day).astype(int)


def test_dates_in_another_order_are_unusable():
    _, wrong = Date.fit(objects("31.01.2024"), CONFIG).encode(objects("01.31.2024"))
    assert wrong[0][1].startswith("must be a date such as 2026-01-31 or 31.01.2026, got '01.31.2024'")
    assert len(Date.fit(objects("2024-01-31"), CONFIG).encode(objects("31.01.2024"))[1]) == 1


def test_dates_that_fit_both_orders_need_the_option():
    values = objects("01/02/2024", "03/04/2024")
    with pytest.raises(DataError, match=r"column a of t.csv: dates such as '01/02/2024' can have .* day_first: true"):
        table(values)
    first = [table(values, day_first=first).features["a"].encode(values)[0][0, 0] for first in (True, False)]
    assert first == [np.datetime64(day).astype(int) for day in ("2024-02-01", "2024-01-02")]
