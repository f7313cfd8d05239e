"""Data from Python that become a file: what is read back is what was given."""

import datetime

import numpy as np
import pandas as pd
import pytest

from nasfuse.data.sources.function import as_raw
from nasfuse.data.sources.handed_over import file_name, keep
from nasfuse.data.sources.registry import load_raw
from nasfuse.errors import DataError

COLUMNS = {
    "photo": np.arange(3 * 2 * 4, dtype=np.uint8).reshape(3, 2, 4),
    "signal": np.linspace(0, 1, 15, dtype=np.float32).reshape(3, 5),
    "age": np.array([3, 1, 2]),
    "is_new": np.array([True, False, True]),
    "price": np.array([0.5, np.nan, 2.0]),
    "title": ["red", None, "blue"],
    "since": np.array(["2020-01-01", "NaT", "2021-05-05"], "datetime64[s]"),
    "track": [np.array([1.0, 2.0]), np.array([3.0]), None],
    "steps": [np.ones((2, 3)), np.ones((1, 3)), np.ones((4, 3))],
}


def back(data, folder):
    raw = as_raw(data)
    file = folder / file_name(raw)
    keep(raw, file, overwrite=False)
    return raw, load_raw(str(file))


def assert_same(raw, found):
    assert list(found.columns) == list(raw.columns)
    for name, values in raw.columns.items():
        if values.dtype.kind == "M":
            assert found.columns[name].astype(values.dtype).tolist() == values.tolist()
        elif values.dtype.kind == "O":
            assert found.columns[name].dtype == object
            for one, other in zip(found.columns[name], values, strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            assert found.columns[name].dtype == values.dtype
            np.testing.assert_array_equal(found.columns[name], values)


@pytest.mark.parametrize("name", [*COLUMNS, None])
def test_a_mapping(tmp_path, name):
    raw, found = back(COLUMNS if name is None else {name: COLUMNS[name]}, tmp_path)
    assert found.n_rows == 3
    assert_same(raw, found)


def test_a_data_frame(tmp_path):
    frame = pd.DataFrame(
        {"shop": pd.Categorical(["a", "b", "a"]), "day": [datetime.date(2020, 1, 2)] * 3, "n": [1, 2, 3]},
        index=[7, 8, 9],
    )
    frame["when"] = pd.to_datetime(frame["day"])
    assert_same(*back(frame.drop(columns="day"), tmp_path))


def test_arrays_of_several_lengths_are_an_npz_file(tmp_path):
    """Samples that share rows of another array by an index."""
    raw, found = back({"photos": np.eye(2), "photo_idx": np.array([0, 1, 1]), "y": ["a", "b", "b"]}, tmp_path)
    assert (tmp_path / "data.npz").is_file()
    assert found.n_rows is None
    assert found.columns["y"].tolist() == ["a", "b", "b"]
    np.testing.assert_array_equal(found.columns["photos"], raw.columns["photos"])


def test_paths_stay_relative_to_the_folder_of_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    _, found = back({"photo": ["a.png", "b.png"]}, tmp_path / "run")
    assert found.folder == tmp_path


@pytest.mark.parametrize("other", [{"y": np.arange(4)}, {"y": np.arange(3.0)}, {"z": np.arange(3)}])
@pytest.mark.parametrize("extra", [{}, {"shared": np.arange(9)}], ids=["parquet", "npz"])
def test_other_data_in_the_file(tmp_path, other, extra):
    raw = as_raw({"y": np.arange(3), **extra})
    file = tmp_path / file_name(raw)
    keep(raw, file, overwrite=False)
    keep(raw, file, overwrite=False)  # the same data
    with pytest.raises(
        DataError, match=r"data\.\w+ holds other data than those that were given; choose another folder"
    ):
        keep(as_raw({**other, **extra}), file, overwrite=False)
    keep(as_raw({**other, **extra}), file, overwrite=True)
    assert load_raw(str(file)).columns.keys() == other.keys() | extra.keys()


def test_what_cannot_be_stored(tmp_path):
    with pytest.raises(
        DataError, match=r"column mixed of data has values that cannot be stored .*; give numbers, text"
    ):
        back({"mixed": np.array([1, "a", 2.0], dtype=object)}, tmp_path)
    ragged = [np.ones(2), np.ones(3)]
    with pytest.raises(DataError, match="array y of data has arrays of different shapes, and another column has ano"):
        back({"x": np.ones(3), "y": ragged}, tmp_path)
