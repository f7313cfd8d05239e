"""Targets as people have them."""

import numpy as np
import pytest

from nasfuse.data.raw_table import RawTable
from nasfuse.data.targets import as_classes, raw_targets
from nasfuse.errors import ConfigError, DataError
from nasfuse.spec.data import DataConfig


def objects(*values):
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def targets(columns, *, target="y", task="multiclass", names=()):
    n_rows = len(next(iter(columns.values())))
    raw = RawTable("t", "t.csv", columns, n_rows)
    return raw_targets(raw, DataConfig.parse({"source": "t.csv", "target": target, "task": task}), class_names=names)


@pytest.mark.parametrize(
    ("values", "numbers", "names"),
    [
        (objects("b", "a", "b"), [1, 0, 1], ("a", "b")),
        (np.array([True, False]), [1, 0], ("False", "True")),
        (objects(True, False), [1, 0], ("False", "True")),
        (np.array([0, 2, 1]), [0, 2, 1], ()),
        (np.array([0.0, 1.0]), [0, 1], ()),
        (np.array([1, 3, 2]), [0, 2, 1], ("1", "2", "3")),
        (np.array([10, 2]), [1, 0], ("2", "10")),
        (np.array([1, -1]), [1, 0], ("-1", "1")),
        (np.array([[0], [1]]), [0, 1], ()),
        (np.array([[0, 1, 0], [1, 0, 0]]), [1, 0], ()),
        (np.array([[0.0, 1.0], [1.0, 0.0]], ">f4"), [1, 0], ()),
    ],
)
def test_classes(values, numbers, names):
    found, named = targets({"y": values})
    assert found.tolist() == numbers
    assert named == names


def test_one_hot_columns_have_the_names_of_the_classes():
    columns = {"cat": np.array([1, 0]), "dog": np.array([0, 1])}
    found, named = targets(columns, target=["cat", "dog"])
    assert (found.tolist(), named) == ([0, 1], ("cat", "dog"))


def test_several_columns_are_labels_or_numbers():
    columns = {"soft": np.array([True, False]), "red": np.array([1, 1])}
    found, named = targets(columns, target=["soft", "red"], task="multilabel")
    assert (found.tolist(), named) == ([[1, 1], [0, 1]], ("soft", "red"))
    found, named = targets({"x": np.array([0.5, 2.0]), "y": np.array([1, 2])}, target=["x", "y"], task="regression")
    assert (found.tolist(), named) == ([[0.5, 1.0], [2.0, 2.0]], ("x", "y"))


def test_given_names_set_the_numbers():
    assert targets({"y": objects("b", "b")}, names=("c", "b", "a"))[0].tolist() == [1, 1]
    assert targets({"y": np.array([3, 2])}, names=("1", "2", "3"))[0].tolist() == [2, 1]
    with pytest.raises(DataError, match=r"^t\.csv: the labels must be one of c, b, got 'x' in row 1; correct it$"):
        targets({"y": objects("b", "x")}, names=("c", "b"))


def test_classes_may_have_an_order_of_their_own():
    raw = RawTable("t", "t.csv", {"y": objects("low", "high", "middle")}, 3)
    config = DataConfig.parse({"source": "t.csv", "classes": ["low", "middle", "high"]})
    assert raw_targets(raw, config)[0].tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"classes": ["a", "b", "a"]}, r"classes: must be different names, got 'a' twice; remove one"),
        (
            {"classes": ["a", "b"], "task": "regression"},
            r"classes: a regression has no classes that exclude one another",
        ),
    ],
)
def test_bad_orders(changes, match):
    with pytest.raises(ConfigError, match=match):
        DataConfig.parse({"source": "t.csv", **changes})


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (
            objects("a", None, ""),
            r"^column y of t\.csv, row 1: the target is missing here and in 1 other row; add",
        ),
        (
            np.array([1.0, np.nan]),
            r"^column y of t\.csv, row 1: the target is missing here; add",
        ),
        (objects("a", "a"), r"^t\.csv: the labels hold one class only, got 'a' everywhere; there is nothing to learn"),
        (objects("a", "b "), r"must be words without spaces at their ends, got 'b ' in row 1"),
    ],
)
def test_bad_targets(values, match):
    with pytest.raises(DataError, match=match):
        targets({"y": values})


def test_words_are_no_numbers():
    with pytest.raises(DataError, match=r"^column y of t\.csv must hold numbers for this task .*; set data\.task$"):
        targets({"y": objects("a", "b")}, task="regression")
    with pytest.raises(
        DataError, match=r"^column b of t\.csv must hold one number or boolean per row to be one of sev"
    ):
        targets({"a": np.array([1, 0]), "b": objects("a", "b")}, target=["a", "b"], task="multilabel")


def test_other_values_are_returned_as_they_are():
    for values in (np.array([0.5]), np.array([-1, 0, 1]), np.array([3, 3]), np.zeros((2, 3))):
        found, names = as_classes("the labels", values)
        assert np.array_equal(found, values)
        assert names == ()
