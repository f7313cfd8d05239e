"""Folders with one file per split, and folders of arrays that are named by split."""

import h5py
import numpy as np
import pytest

from nasfuse.data.sources.registry import load_raw
from nasfuse.errors import DataError


def h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


def test_files_by_split(tmp_path):
    classes = ["cat", "dog", "owl"]
    h5(tmp_path / "test.h5", rgb=np.ones((1, 4, 2)), labels=[2], class_name=classes)
    h5(tmp_path / "train.h5", rgb=np.zeros((2, 4, 2)), labels=[0, 1], class_name=classes)
    h5(tmp_path / "other.h5", x=[1])
    raw = load_raw(str(tmp_path))
    assert raw.columns["split"].tolist() == ["train", "train", "test"]
    assert raw.columns["labels"].tolist() == [0, 1, 2]
    assert raw.columns["rgb"][:, 0, 0].tolist() == [0, 0, 1]
    assert raw.columns["class_name"].tolist() == classes
    assert raw.n_rows is None


def test_tables_by_split(tmp_path):
    for word, rows in {"train": "1,a\n2,b\n", "dev": "3,a\n", "test": "4,\n"}.items():
        (tmp_path / f"{word}.csv").write_text("x,y\n" + rows)
    raw = load_raw(str(tmp_path))
    assert raw.n_rows == 4
    assert raw.columns["x"].tolist() == [1, 2, 3, 4]
    assert raw.columns["y"].tolist() == ["a", "b", "a", None]
    assert raw.columns["split"].tolist() == ["train", "train", "val", "test"]


def test_arrays_by_split(tmp_path):
    for folder in ("image", "audio"):
        (tmp_path / folder).mkdir()
    for word, n_rows in {"train": 3, "test": 2}.items():
        np.save(tmp_path / "image" / f"{word}_data.npy", np.full((n_rows, 4), n_rows, np.uint8))
        np.save(tmp_path / "audio" / f"{word}_data.npy", np.zeros((n_rows, 2, 2)))
        np.save(tmp_path / f"{word}_labels.npy", np.arange(n_rows))
    raw = load_raw(str(tmp_path))
    assert raw.columns.keys() == {"image/data", "audio/data", "labels", "split"}
    assert raw.columns["image/data"][:, 0].tolist() == [3, 3, 3, 2, 2]
    assert raw.columns["labels"].tolist() == [0, 1, 2, 0, 1]
    (tmp_path / "audio" / "test_data.npy").unlink()
    with pytest.raises(
        DataError, match=r"test has no array audio/data, which train has; add it \(Known: image/data, labels\)$"
    ):
        load_raw(str(tmp_path))


def test_other_arrays_in_a_folder_are_modalities_as_before(tmp_path):
    for name in ("train_x", "test_x", "y"):
        np.save(tmp_path / f"{name}.npy", np.arange(2))
    assert load_raw(str(tmp_path)).columns.keys() == {"train_x", "test_x", "y"}


def test_parts_that_do_not_fit(tmp_path):
    h5(tmp_path / "train.h5", x=np.zeros((2, 3)), y=[0, 1], z=[1, 2, 3])
    h5(tmp_path / "test.h5", x=np.zeros((2, 3)), y=["a", "b"], z=[1, 2, 4])
    with pytest.raises(
        DataError, match=r"array y must have values of one type, got int64 in train, <U1 in test; conver"
    ):
        load_raw(str(tmp_path))
    h5(tmp_path / "test.h5", x=np.zeros((2, 3)), y=[0, 1], z=[1, 2, 4])
    with pytest.raises(
        DataError, match=r"array z of train has 3 rows, and the other arrays of train have 2; align them$"
    ):
        load_raw(str(tmp_path))


def test_a_single_value_is_no_part(tmp_path):
    for word in ("train", "test"):
        np.save(tmp_path / f"{word}_x.npy", np.float64(3))
    with pytest.raises(
        DataError, match=r"test_x\.npy must have one row per sample, got a single value; write an array"
    ):
        load_raw(str(tmp_path))
