"""Data sources through the conformance suite; data sets by name and by path; public data sets in `$NASFUSE_DATA`."""

import functools
import os
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import platformdirs
import pytest
import torch

from nasfuse.data.sources.registry import data_folder, find_file, load_dataset, load_table
from nasfuse.errors import MissingFileError
from nasfuse.spec.data import DataConfig
from nasfuse.spec.data_source import SHIPPED_SOURCES
from nasfuse.testing import SourceSuite

REAL = {
    "avdigits": {"modalities": {"image": {"kind": "image"}, "audio": {"kind": "sequence"}}},
    "avmnist_rc": {"modalities": {"image": {"kind": "image"}, "audio": {"kind": "sequence"}}},
    "hapt": {"modalities": {"acc": {"kind": "sequence"}, "gyro": {"kind": "sequence"}}},
    "easy_vqa": {
        "modalities": {
            "images": {"kind": "image", "index": "image_idx"},
            "tokens": {"kind": "sequence", "vocabulary": 27},
        }
    },
    "rosmap": {"modalities": {name: {"kind": "vector"} for name in ("mrna", "meth", "mirna")}},
}


class TestShipped(SourceSuite):
    @pytest.fixture(params=SHIPPED_SOURCES)
    def load(self, request):
        return resolve_name(SHIPPED_SOURCES[request.param])


class TestFile(SourceSuite):
    """One modality of every kind, one of them constant in part; labels of every task."""

    @pytest.fixture(params=["multiclass", "multilabel", "regression"])
    def load(self, request, tmp_path):
        random = np.random.default_rng(0)
        x = random.normal(3, 7, (80, 4))
        x[:, 1] = 2
        labels = {
            "multiclass": np.arange(80) % 4,
            "multilabel": random.integers(0, 2, (80, 3)),
            "regression": random.normal(5, 2, 80),
        }
        np.savez(
            tmp_path / "toy.npz",
            x=x,
            steps=random.normal(size=(80, 9, 2)),
            n_steps=random.integers(1, 10, 80),
            ids=random.integers(0, 7, (80, 5)),
            pixels=random.integers(0, 256, (80, 4, 4)).astype(np.uint8),
            y=labels[request.param],
        )
        modalities = {
            "x": {"kind": "vector"},
            "steps": {"kind": "sequence", "lengths": "n_steps"},
            "ids": {"kind": "sequence", "vocabulary": 7},
            "pixels": {"kind": "image"},
        }
        plain = {"source": str(tmp_path / "toy.npz"), "modalities": modalities, "task": request.param}
        return functools.partial(load_table, DataConfig.parse(plain))


@pytest.mark.parametrize("name", SHIPPED_SOURCES)
def test_every_shipped_set_is_found_by_its_name(name):
    assert load_dataset(DataConfig(source=name)).name == name


def test_the_folder_comes_from_the_environment(monkeypatch, tmp_path):
    (tmp_path / "a.npz").write_bytes(b"")
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    assert find_file("a.npz") == tmp_path / "a.npz"


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_the_default_folder_is_in_the_cache_of_the_platform(monkeypatch, tmp_path, value):
    if value is None:
        monkeypatch.delenv("NASFUSE_DATA", raising=False)
    else:
        monkeypatch.setenv("NASFUSE_DATA", value)
    monkeypatch.chdir(tmp_path)
    folder = data_folder()
    assert folder == Path(platformdirs.user_cache_dir("nasfuse", appauthor=False)) / "data"
    assert folder.is_absolute()
    if platformdirs.PlatformDirs is platformdirs.unix.Unix:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert data_folder() == tmp_path / "nasfuse" / "data"


def test_a_path_is_taken_as_given_first(monkeypatch, tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.npz").write_bytes(b"")
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path / "there"))
    monkeypatch.chdir(tmp_path / "here")
    assert find_file("a.npz").resolve() == (tmp_path / "here" / "a.npz").resolve()


def test_a_missing_set_is_named_with_the_places_and_the_nearest(monkeypatch, tmp_path):
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path))
    with pytest.raises(
        MissingFileError,
        match=r"^no data set 'digit': no file at digit or .*digit\. Correct data\.source \(`train` and `evaluate` "
        r"also take --data\), set NASFUSE_DATA to the folder of your data, "
        r"or use a shipped set: did you mean 'digits'\? Known: digits$",
    ):
        load_dataset(DataConfig(source="digit"))


def test_a_missing_absolute_path_is_named_once(tmp_path):
    with pytest.raises(MissingFileError, match=r": no file at (\S+)/absent\.npz\. Correct data\.source"):
        find_file(str(tmp_path / "absent.npz"))


@pytest.mark.parametrize("name", REAL)
def test_real_files_load(name):
    folder = os.environ.get("NASFUSE_DATA")
    if not folder:
        pytest.skip("NASFUSE_DATA is not set; set it to the folder of the public data sets")
    if not (Path(folder) / f"{name}.npz").is_file():
        pytest.skip(f"there is no {name}.npz in $NASFUSE_DATA")
    dataset = load_dataset(DataConfig.parse({"source": f"{name}.npz", **REAL[name]}))
    names = tuple(modality.name for modality in dataset.modalities)
    for part in ("train", "val", "test"):
        batch = dataset.split(part).batch(torch.arange(8), names=names)
        for modality in dataset.modalities:
            assert batch.inputs[modality.name].shape == (8, *modality.shape)
            assert torch.isfinite(batch.inputs[modality.name].float()).all()
