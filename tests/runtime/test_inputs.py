"""From new data to the inputs of the graphs: what is refused, and with which sentence."""

import numpy as np
import pandas as pd
import pytest

from nasfuse.errors import DataError
from nasfuse.runtime.inputs import graph_inputs

NUMBER = {"type": "number", "median": 0.0, "has_indicator": False}
TABLE = {
    "kind": "table",
    "columns": ["temp", "age"],
    "features": [{"column": "temp", **NUMBER}, {"column": "age", **NUMBER}],
}
ARRAYS = {"kind": "arrays", "columns": ["wave"], "array": "wave", "index": "which", "lengths": None, "shape": None}
COMMON = {"dtype": "float32", "vocabulary": None, "padding": None, "masked": False, "has_lengths": False}
INPUTS = [
    {
        **COMMON,
        "name": "table",
        "kind": "vector",
        "shape": [2],
        "can_be_absent": False,
        "source": {"array": None, "index": None, "lengths": None, "shape": None, **TABLE},
    },
    {**COMMON, "name": "wave", "kind": "sequence", "shape": [4, 3], "can_be_absent": True, "source": ARRAYS},
]

DATA = {"temp": np.arange(6.0), "age": np.arange(6.0), "wave": np.ones((6, 4, 3))}


def test_a_column_of_arrays():
    frame = pd.DataFrame({"temp": DATA["temp"], "age": DATA["age"], "wave": list(DATA["wave"])})
    found, expected = graph_inputs(INPUTS, frame), graph_inputs(INPUTS, DATA)
    assert found.keys() == expected.keys() == {"table", "wave", "wave.present"}
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temp": np.arange(3.0)}, "^column age has 6 rows, and column temp has 3; give all the same rows$"),
        ({"age": np.arange(1.0)}, "^column age has 1 row, and column temp has 6; give all the same rows$"),
        ({"age": [[1], [1, 2]] * 3}, "^column age must have one value in each row, got lists of several; correct it$"),
        ({"wave": DATA["wave"][:5]}, "^modality wave has 5 rows, and modality table has 6; give all the same rows$"),
        ({"temp": [], "age": [], "wave": []}, "^the data have no rows; give at least one$"),
        ({"wave": 3.0}, "^wave must have the values of each row, got a single float; correct it$"),
        ({"wave": None}, "^wave must have the values of each row, got a single NoneType; correct it$"),
        ({"wave": np.ones(6)}, r"^modality wave has samples of shape \(\), and the network was trained with 4 x 3; "),
        ({"wave.present": np.ones(3, bool)}, r"^wave\.present must have a value for each of the 6 rows of wave; "),
        ({"which": np.arange(1, 7)}, "^which must have a number from 0 to 5 for each row; correct it$"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(DataError, match=message):
        graph_inputs(INPUTS, {**DATA, **change})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"temp": DATA["temp"], "wave": DATA["wave"]},
            r"^the data have no column 'age' \(modality table\); they have 'temp', 'wave'$",
        ),
        ({"wave": DATA["wave"]}, "^the data have no 'table', and none of its columns 'temp', 'age'; they have 'wave'$"),
        ({}, "^the data have no 'table', and none of its columns 'temp', 'age'; they are empty$"),
        ([DATA], "^the data must be a mapping from names to arrays, got list; name the arrays$"),
    ],
)
def test_what_is_absent(data, message):
    with pytest.raises(DataError, match=message):
        graph_inputs(INPUTS, data)


def test_a_modality_alone_that_is_absent():
    with pytest.raises(DataError, match=r"^the data have no 'wave'; they have 'temp', 'age'$"):
        graph_inputs([{**INPUTS[1], "can_be_absent": False}], {"temp": [1.0], "age": [1.0]})
