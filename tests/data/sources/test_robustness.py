"""Unusual and unusable values in every kind of file: a data set, or one sentence that names file, column and row."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from nasfuse.data.sources.registry import load_table
from nasfuse.errors import DataError
from nasfuse.nn import build_network
from nasfuse.spec.data import DataConfig
from nasfuse.spec.network import NetworkConfig

N = 40
RANDOM = np.random.default_rng(0)


def as_npz(path, arrays):
    np.savez(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def as_folder(path, arrays):
    path.mkdir()
    for name, values in arrays.items():
        np.save(path / f"{name}.npy", values)
    return path


def as_hdf5(path, arrays):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for name, values in arrays.items():
            file[name] = values.tolist() if values.dtype.kind == "U" else values
    return path.with_suffix(".h5")


ARRAYS = {
    "x": RANDOM.normal(size=(N, 3)),
    "s": RANDOM.normal(size=(N, 5, 2)),
    "steps": np.arange(N) % 6,
    "i": RANDOM.normal(size=(N, 1, 1)),
    "ids": np.arange(N * 5).reshape(N, 5) % 7,
    "y": np.arange(N) % 2,
}
MODALITIES = {
    "x": {"kind": "vector"},
    "s": {"kind": "sequence", "lengths": "steps"},
    "i": {"kind": "image"},
    "ids": {"kind": "sequence", "vocabulary": 7},
}


def cell(values, place, value):
    values = np.array(values, dtype=np.float64 if isinstance(value, float) else None)
    values[place] = value
    return values


@pytest.fixture(params=[as_npz, as_folder, as_hdf5])
def load(request, tmp_path):
    """Loads arrays from a file of each kind, in a folder and with a name outside ASCII."""

    def load(**changes):
        path = request.param(tmp_path / "größe_日本", {**ARRAYS, **changes})
        return load_table(DataConfig.parse({"source": str(path), "modalities": MODALITIES})).divided(0)

    return load


class TestArrays:
    def test_zero_length_sequences_and_one_pixel_images_are_predicted(self, load):
        dataset = load()
        names = tuple(MODALITIES)
        encoders = {"x": "mlp", "s": "transformer", "i": "conv", "ids": "conv"}
        streams = {name: {"encoder": encoder, "depth": 1, "width": 8} for name, encoder in encoders.items()}
        config = {"route": list(names), "streams": streams, "fusion": {"kind": "joint_tokens", "width": 8}}
        network = build_network(NetworkConfig.parse(config), dataset.modalities, dataset.task).eval()
        batch = dataset.train.batch(torch.arange(len(dataset.train)), names=names)
        assert (~batch.masks["s"]).all(dim=1).any(), "a sequence without any step"
        with torch.no_grad():
            assert torch.isfinite(network(batch.inputs, batch.masks)).all()

    @pytest.mark.parametrize(
        "changes",
        [
            {"x": ARRAYS["x"].astype(np.float16)},
            {"x": ARRAYS["x"].astype(">f4"), "y": ARRAYS["y"].astype(">i8")},
            {"s": np.asfortranarray(ARRAYS["s"])},
            {"x": ARRAYS["x"] > 0},
            {"x": np.full((N, 3), 7.0)},
            {"x": np.where(ARRAYS["x"] > 0, 1e300, -1e-300)},
            {"x": np.full((N, 3), 2**64 - 1, np.uint64) - np.arange(N, dtype=np.uint64)[:, None]},
            {"y": np.array(["größer", "日本"])[np.arange(N) % 2]},
        ],
        ids=["half", "big-endian", "fortran", "boolean", "constant", "huge", "unsigned", "words"],
    )
    def test_unusual_values_are_standardised(self, load, changes):
        dataset = load(**changes)
        values = dataset.train.batch(torch.arange(len(dataset.train)), names=("x", "s")).inputs
        assert all(torch.isfinite(one).all() for one in values.values())
        spread = values["x"].double().std(dim=0, correction=0)
        assert (((spread - 1).abs() < 1e-3) | (spread == 0)).all()

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"x": ARRAYS["x"][:-1]}, r"modality x has 39 rows but there are 40 labels; name an index array or align"),
            ({"x": ARRAYS["x"][:, :0]}, r"modality x is empty, its shape is \(40, 0\); give at least one row and one"),
            ({"s": ARRAYS["s"][:, :0]}, r"modality s is empty, its shape is \(40, 0, 2\); give at least one row"),
            ({"x": cell(ARRAYS["x"], (3, 1), np.nan)}, r"x holds NaN or .* in 1 row, the first in row 3, feature 1; c"),
            ({"s": cell(ARRAYS["s"], (5, 2, 1), np.inf)}, r"s holds .*, the first in row 5, step 2, feature 1; clean"),
            ({"i": cell(ARRAYS["i"], (9, 0, 0), np.inf)}, r"i holds .* row 9, channel 0, pixel row 0, pixel column 0;"),
            ({"steps": cell(ARRAYS["steps"], 4, 6)}, r"modality s, lengths must lie from 0 to 5, got 6 in row 4; corr"),
            ({"ids": cell(ARRAYS["ids"], (8, 1), 7)}, r"must hold ids from 0 to 6, got 0 to 7, the first other one in"),
            ({"y": np.zeros(N, int)}, r"the labels hold one class only, got 0 everywhere; there is nothing to learn$"),
            ({"y": np.arange(N) % 2 * 2}, r"the labels go up to 2 but class 1 never occurs: "),
            ({"y": np.arange(N)}, r"40 samples cannot be divided: no class has more than 2; name another target, or a"),
            ({"y": cell(ARRAYS["y"], 4, np.nan)}, r"array y of .*, row 4: the target is missing here; add"),
            ({"y": np.array([0] * 30 + [1] * 10), "split": np.repeat(["train", "val", "test"], [20, 10, 10])},
             r"class 1 has no training sample; fix the labels or the split$"),
            ({"split": np.repeat(["train", "tset", "test"], [20, 10, 10])},
             r"the split array must contain train, val and test only, got 'tset' in row 20; correct it$"),
            ({"split": np.repeat(["train", "val"], [20, 20])}, r"the test split is empty; mark some samples as 'test'"),
        ],
    )  # fmt: skip
    def test_unusable_values_are_named(self, load, changes, match):
        with pytest.raises(DataError, match=match) as caught:
            load(**changes)
        assert "größe_日本" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", [as_npz, as_folder, as_hdf5])
def test_truncated_files_are_named(tmp_path, write):
    path = write(tmp_path / "cut", ARRAYS)
    file = path / "s.npy" if path.is_dir() else path
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"{file.name} is n.*: .+; write it"):
        load_table(DataConfig.parse({"source": str(path), "modalities": MODALITIES}))


def test_objects_in_hdf5_are_lists_of_numbers(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        ragged = file.create_dataset("x", (N,), dtype=h5py.vlen_dtype(np.float32))
        for row in range(N):
            ragged[row] = np.arange(row % 4, dtype=np.float32)
        file["y"] = np.arange(N) % 2
    modalities = {"x": {"kind": "sequence"}}
    dataset = load_table(DataConfig.parse({"source": str(tmp_path / "a.h5"), "modalities": modalities})).divided(0)
    assert dataset.modalities[0].shape == (3, 1)
    assert sorted(set(dataset.train.lengths("x").tolist())) == [0, 1, 2, 3]


FRAME = pd.DataFrame(
    {
        "größe": np.linspace(0, 1, N),
        "名前": np.array(["ä", "ü"])[np.arange(N) % 2],
        "y": np.array(["a", "b"])[np.arange(N) % 2],
    }
)
COLUMNS = {"f": {"kind": "table", "columns": {"größe": "auto", "名前": "auto"}}}


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
class TestTables:
    def table(self, tmp_path, ending, frame):
        path = tmp_path / f"größe_日本{ending}"
        frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
        return load_table(DataConfig.parse({"source": str(path), "modalities": COLUMNS})).divided(0)

    @pytest.mark.parametrize(
        ("changes", "n_features"),
        [
            ({}, 3),
            ({"größe": [7.0] * N}, 3),
            ({"größe": [np.nan] * N}, 4),
            ({"größe": [1e308, -1e308] * (N // 2)}, 3),
            ({"größe": [2**62 + row for row in range(N)]}, 3),
            ({"名前": [f"c{row}" for row in range(N)]}, 2),
        ],
        ids=["plain", "constant", "missing", "huge", "large", "rare categories"],
    )
    def test_unusual_columns(self, tmp_path, ending, changes, n_features):
        dataset = self.table(tmp_path, ending, FRAME.assign(**changes))
        assert dataset.modalities[0].shape == (n_features,)
        assert torch.isfinite(dataset.train.batch(torch.arange(9), names=("f",)).inputs["f"]).all()

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"größe": [np.inf if row == 3 else row for row in range(N)]}, r"column größe of größe_日本\.\w+, row 3:"),
            ({"y": [None, "a"] * (N // 2)}, r"column y of größe_日本\.\w+, row 0: the target is missing here and in"),
            ({"y": [" a", "b"] * (N // 2)}, r"the labels must be words without spaces at their ends, got ' a' in row"),
            ({"y": ["a"] * N}, r"the labels hold one class only, got 'a' everywhere; there is nothing to learn"),
            ({"y": ["a"] * 30 + ["b"] * 10, "split": ["train"] * 20 + ["val"] * 10 + ["test"] * 10},
             r"class b has no training sample; fix the labels or the split"),
            ({"split": ["train"] * 20 + [None] * 10 + ["test"] * 10}, r"only, got '' in row 20; correct it"),
        ],
    )  # fmt: skip
    def test_unusable_columns_are_named(self, tmp_path, ending, changes, match):
        with pytest.raises(DataError, match=match) as caught:
            self.table(tmp_path, ending, FRAME.assign(**changes))
        assert "\n" not in str(caught.value)

    def test_100_000_categories(self, tmp_path, ending):
        """The most frequent hundred have a feature of their own, and all others share one."""
        names = [f"often {row % 100}" if row < 1000 else f"once {row}" for row in range(100_000)]
        n_rows = len(names)
        frame = pd.DataFrame({"größe": np.arange(n_rows), "名前": names, "y": np.arange(n_rows) % 2})
        assert self.table(tmp_path, ending, frame).modalities[0].shape == (1 + 100 + 1,)
