"""Data sets by name and by path; the public data sets where `$NASFUSE_DATA` has them."""

import os
from pathlib import Path

import platformdirs
import pytest
import torch

from nasfuse.data.sources.registry import SHIPPED, data_folder, find_file, load_dataset
from nasfuse.errors import MissingFileError
from nasfuse.spec.data import DataConfig
from nasfuse.spec.data_source import SHIPPED_SOURCES

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


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_set_loads(name):
    dataset = load_dataset(DataConfig(source=name))
    assert dataset.name == name
    assert min(len(dataset.split(part)) for part in ("train", "val", "test")) > 0


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


def test_configurations_know_which_sets_need_no_file():
    assert set(SHIPPED) == SHIPPED_SOURCES


def test_a_missing_set_is_named_with_the_places_and_the_nearest(monkeypatch, tmp_path):
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path))
    with pytest.raises(
        MissingFileError,
        match=r"^no data set 'digit': no file at digit or .*digit\. Correct data\.source \(`train` and `evaluate` "
        r"also take --data\), set NASFUSE_DATA to the folder of your data, "
        r"or use a shipped set: did you mean 'digits'\? Known: digits$",
    ):
        load_dataset(DataConfig(source="digit"))


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
