"""`nasfuse predict` of label maps: a folder of PNG files, or arrays."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nasfuse.data import load_dataset
from nasfuse.spec.data import DataConfig, expand_modalities
from tests.dense_network import trained_network
from tests.dense_scenes import data_block, scenes, write_folder

pytest.importorskip("nasfuse.tasks.segmentation")


@pytest.fixture
def network(tmp_path, monkeypatch):
    """The network that every `model.pt` holds; beside it, new images without labels as arrays and in folders."""
    folder = tmp_path / "scenes"
    write_folder(folder, scenes(10))
    (folder / "classes.txt").write_text("unused")
    images = {"kind": "image_files", "size": [24, 32]}
    block = data_block(folder, modalities={"rgb": images, "thermal": {**images, "channels": 1}}, target="labels")
    config = DataConfig.parse(expand_modalities({"data": block})["data"])
    found = trained_network(load_dataset(config), config)
    monkeypatch.setattr("nasfuse.prediction.load_network", lambda *_, **__: found)
    (tmp_path / "model.pt").touch()
    for file in folder.glob("*/labels/*"):
        file.unlink()
    return found


def test_a_folder_has_a_file_for_each_row(nasfuse, network, tmp_path):
    ran = nasfuse("predict", "model.pt", "scenes", "-o", "maps", "--json")
    assert json.loads(ran.out) == {"file": "maps", "rows": 10, "predicted": 10, "problems": {}}
    expected = network.predict(str(tmp_path / "scenes"))
    table = pd.read_csv(tmp_path / "maps" / "samples.csv")
    assert list(table) == ["row", "file", "share_ground", "share_car", "share_person"]
    assert sorted(table["file"]) == [f"{row:04d}.png" for row in range(10)]
    for row, name in enumerate(table["file"]):
        image = Image.open(tmp_path / "maps" / name)
        assert (image.mode, np.asarray(image).tolist()) == ("P", expected[row].tolist())


def test_an_image_that_is_missing_has_no_file(nasfuse, network, tmp_path):
    (tmp_path / "scenes" / "train" / "thermal" / "0001.png").write_text("damaged")
    ran = nasfuse("predict", "model.pt", "scenes", "-o", "maps")
    assert ran.code == 3
    table = pd.read_csv(tmp_path / "maps" / "samples.csv")
    assert table["file"].isna().sum() == table["problem"].notna().sum() == 1
    assert len(list((tmp_path / "maps").glob("*.png"))) == 9


def test_arrays_with_probabilities(nasfuse, network, tmp_path):
    assert nasfuse("predict", "model.pt", "scenes", "-o", "maps.npz", "--probabilities").code == 0
    with np.load(tmp_path / "maps.npz") as found:
        assert found["prediction"].tolist() == found["probabilities"].argmax(axis=1).tolist()
        assert found["names"].tolist() == ["ground", "car", "person"]
    assert nasfuse("predict", "model.pt", "scenes", "-o", "plain.npz").code == 0
    with np.load(tmp_path / "plain.npz") as found:
        assert "probabilities" not in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "model.pt/x"], "there is no folder"),
        (["-o", "scenes"], "is not empty; give a new folder"),
        (["-o", "maps", "--probabilities"], "--probabilities of all pixels need -o FILE.npz, got maps"),
    ],
)
def test_outputs_that_cannot_be_written(nasfuse, network, options, message):
    ran = nasfuse("predict", "model.pt", "scenes", *options)
    assert ran.code == 2
    assert message in ran.err
