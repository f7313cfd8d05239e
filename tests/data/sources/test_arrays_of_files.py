"""Arrays in HDF5 files and in folders, and images in folders."""

import h5py
import numpy as np
import pytest
from PIL import Image

from nasfuse.data.sources.registry import load_raw, load_table
from nasfuse.errors import DataError
from nasfuse.spec.data import DataConfig

N = 40


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(N, 3)),
        "big": rng.normal(size=(N, 4)).astype(">f4"),
        "half": np.asfortranarray(rng.normal(size=(N, 5, 2)).astype(np.float16)),
        "y": np.arange(N) % 2,
    }


CONFIG = {"modalities": {"x": {"kind": "vector"}, "big": {"kind": "vector"}, "half": {"kind": "sequence"}}}


def table(source):
    return load_table(DataConfig.parse({"source": str(source), **CONFIG}))


def test_files_of_arrays_have_the_same_content(tmp_path, arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    (tmp_path / "mine").mkdir()
    for name, values in arrays.items():
        np.save(tmp_path / "mine" / f"{name}.npy", values)
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    prints = {table(tmp_path / name).divided(0).fingerprint for name in ("mine.npz", "mine", "mine.h5")}
    assert len(prints) == 1


def test_groups_and_words_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["parts/x"] = np.zeros((2, 3))
        file["y"] = ["größer", "b"]
        file["version"] = 3
    raw = load_raw(str(tmp_path / "a.hdf5"))
    assert raw.columns.keys() == {"parts/x", "y"}
    assert raw.columns["y"].tolist() == ["größer", "b"]


def test_data_sets_of_hdf5_are_read_when_they_are_used(tmp_path):
    """A file with a data set of a petabyte that nobody uses."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("huge", shape=(10**9, 10**6), dtype="u1", chunks=(1, 1000))
        file["x"] = np.arange(3)
    raw = load_raw(str(tmp_path / "a.h5"))
    assert list(raw.columns) == ["huge", "x"]
    assert raw.columns["x"].tolist() == [0, 1, 2]
    assert raw.columns["x"] is raw.columns["x"]
    with pytest.raises(DataError, match=r"a\.h5 has no array 'y'"):
        raw.column("y", "data.target")


def test_images_by_class(tmp_path):
    for number in range(24):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1 + number % 3, 2), (number, 0, 0)).save(folder / f"{number}.png")
    config = {"source": str(tmp_path / "photos"), "modalities": {"image": {"kind": "image_files", "size": 2}}}
    dataset = load_table(DataConfig.parse(config)).divided(0)
    assert dataset.class_names == ("cat", "dog")
    assert [str(modality) for modality in dataset.modalities] == ["image: image 3 x 2 x 2"]


def test_images_by_split_and_class(tmp_path):
    for part in ("train", "val", "test"):
        for kind in ("cat", "dog"):
            (tmp_path / part / kind).mkdir(parents=True)
            Image.new("L", (2, 2)).save(tmp_path / part / kind / "a.jpg")
    raw = load_raw(str(tmp_path))
    assert raw.columns["split"].tolist() == ["test", "test", "train", "train", "val", "val"]
    assert raw.columns["y"].tolist() == ["cat", "dog"] * 3


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("bad.h5", b"rubbish", r"bad\.h5 is no HDF5 file that can be read: .+; write it again"),
        ("arrays/x.npy", b"rubbish", r"x\.npy is no array of plain numbers or text: .+; write it with numpy\.save"),
        ("empty/readme.txt", b"", r"empty has neither \.npy files nor images"),
        ("mine.xlsx", b"", r"mine\.xlsx is of no known kind of file; .*Known: \.arrow, \.csv"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, name, content, match):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(DataError, match=match):
        load_raw(str(path if path.parent == tmp_path else path.parent))


def test_objects_are_not_unpickled(tmp_path):
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "x.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"x\.npy holds Python objects, which are not read from files"):
        load_raw(str(tmp_path / "arrays"))
