"""New data become the inputs that the same samples have in a data set; unusable rows are found."""

import numpy as np
import pytest
import torch

from nasfuse.errors import DataError
from nasfuse.prediction import read_network
from nasfuse.prediction.new_data import inputs_of, new_data
from tests.prediction.conftest import arrays_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(static):
    return read_network(static[0], device=CPU)


def read(saved, arrays):
    return inputs_of(saved, new_data({key: values for key, values in arrays.items() if key != "y"}))


def change(name, row, value):
    arrays = arrays_of()
    arrays[name] = arrays[name].copy()
    arrays[name][row] = value
    return arrays


def test_they_are_those_of_the_data_set(saved, static):
    inputs = read(saved, arrays_of())
    assert (inputs.n_rows, inputs.problems) == (60, {})
    test = static[1].test
    (rows,) = np.nonzero(np.isin(np.arange(60), test.columns["v"].index.numpy()))
    found = inputs.split().batch(torch.from_numpy(rows), names=("v", "s", "q", "i"))
    expected = test.batch(torch.arange(len(test)), names=("v", "s", "q", "i"))
    for name, values in expected.inputs.items():
        assert torch.equal(found.inputs[name], values), name
    assert torch.equal(found.masks["s"], expected.masks["s"])


@pytest.mark.parametrize("name", ["v", "i"])
def test_numbers_of_another_type(saved, name):
    """Bytes and the same numbers as floating-point numbers are the same inputs."""
    arrays = arrays_of()
    arrays["v"] = np.abs(arrays["v"] / 1e5).astype(np.uint8)
    other = {**arrays, name: arrays[name].astype(np.float64)}
    found, expected = (read(saved, one).columns[name].gather(torch.arange(60))[0] for one in (other, arrays))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("name", "row", "value", "reason"),
    [
        ("v", 7, np.nan, "v: it has values that are NaN, infinite or too large"),
        ("v", 7, np.inf, "v: it has values that are NaN, infinite or too large"),
        ("v", 7, 1e300, "v: it has values that are NaN, infinite or too large"),
        ("s", (7, 6), np.nan, "s: it has values that are NaN, infinite or too large"),
        ("q", (7, 2), 9, "q: it has ids that are not from 0 to 8"),
        ("q", (7, 2), -1, "q: it has ids that are not from 0 to 8"),
        ("which", 7, 30, "i: its index is not one of the 30 rows"),
        ("which", 7, -1, "i: its index is not one of the 30 rows"),
        ("n_steps", 7, 8, "s: its length is not from 0 to 7"),
    ],
)
def test_a_row_that_cannot_be_used(saved, name, row, value, reason):
    inputs = read(saved, change(name, row, value))
    assert inputs.problems == {7: reason}
    assert inputs.rows.tolist() == [*range(7), *range(8, 60)]
    assert len(inputs.split()) == 59
    assert all(torch.isfinite(column.gather(torch.arange(59))[0]).all() for column in inputs.columns.values())


def test_padding_may_hold_anything(saved):
    arrays = arrays_of()
    row = int(arrays["n_steps"].argmin())
    assert read(saved, change("s", (row, 0), np.nan)).problems == {}


def test_sequences_may_be_shorter_and_longer_than_in_the_training(saved):
    arrays = arrays_of()
    expected = read(saved, arrays).columns["s"].gather(torch.arange(60))[0]
    longer = {**arrays, "s": np.concatenate([np.zeros((60, 3, 2)), arrays["s"]], axis=1)}
    torch.testing.assert_close(read(saved, longer).columns["s"].gather(torch.arange(60))[0], expected)
    longer["n_steps"] = arrays["n_steps"] + (np.arange(60) == 5) * 10 - (np.arange(60) == 5) * (arrays["n_steps"] - 0)
    assert read(saved, longer).problems == {5: "s: it has more than the 7 steps of the longest training sample"}
    few = arrays["n_steps"] <= 4
    shorter = {name: values[few] if len(values) == 60 else values for name, values in arrays.items()}
    shorter["s"] = shorter["s"][:, 3:]
    torch.testing.assert_close(
        read(saved, shorter).columns["s"].gather(torch.arange(int(few.sum())))[0], expected[few][:, :4]
    )


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("v", None, r"the data has no array 'v' \(data.modalities.v\); "),
        ("n_steps", None, r"the data has no array 'n_steps' \(data.modalities.s.lengths\); "),
        ("v", np.zeros((60, 5)), "modality v has samples of shape 5, and the network was trained with 4; give it data"),
        ("i", np.zeros((30, 6, 6)), "modality i has samples of shape 1 x 6 x 6, and the network was trained with 3 x"),
        ("q", np.zeros((60, 6), int), "modality q has samples of shape 6, and the network was trained with 5"),
        ("v", np.zeros((59, 4)), r"different numbers of rows in its modalities \(v 59, s 60, q 60, i 60\); align them"),
        ("v", np.full((60, 4), "x"), "modality v must hold numbers"),
        ("v", np.full((60, 4), np.nan), "has no row that can be used; row 0, v: it has values that are NaN"),
    ],
)
def test_data_that_cannot_be_used(saved, name, values, message):
    arrays = {**arrays_of(), name: values}
    if values is None:
        del arrays[name]
    with pytest.raises(DataError, match=message):
        read(saved, arrays)


def test_no_rows(saved):
    arrays = {name: values[:0] for name, values in arrays_of().items()}
    with pytest.raises(DataError, match="has no rows; give at least one"):
        read(saved, arrays)


def test_an_object_that_is_no_data(saved):
    with pytest.raises(DataError, match="the data must be a pandas DataFrame, a mapping"):
        new_data(3)
