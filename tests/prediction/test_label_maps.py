"""Predictions of label maps, in memory and as files."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from nasfuse.data import load_dataset
from nasfuse.errors import DataError
from nasfuse.prediction import NetworkAverage
from nasfuse.prediction.label_images import label_colors, label_png, picture_png
from nasfuse.prediction.labelled_data import labelled_data
from nasfuse.prediction.outputs import outputs_of
from nasfuse.spec.data import DataConfig, expand_modalities
from tests.dense_network import OFFSETS, WEIGHTS, trained_network
from tests.dense_scenes import CLASSES, data_block, scenes

pytest.importorskip("nasfuse.tasks.segmentation")


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """The data set of a file, and its description."""
    file = tmp_path_factory.mktemp("data") / "scenes.npz"
    np.savez(file, **scenes())
    config = DataConfig.parse(expand_modalities({"data": data_block(file)})["data"])
    return load_dataset(config), config


@pytest.fixture
def network(described):
    return trained_network(*described)


def expected_logits(dataset, arrays):
    """(n, 3, H, W) logits, computed in numpy from the raw values."""
    raw = np.concatenate([arrays["rgb"].transpose(0, 3, 1, 2), arrays["thermal"][:, None]], axis=1).astype(float)
    mean, std = (
        np.concatenate([getattr(dataset.scales[name], part).flatten() for name in ("rgb", "thermal")])[:, None, None]
        for part in ("mean", "std")
    )
    return np.einsum("kc,bchw->bkhw", WEIGHTS.numpy(), (raw - mean) / std) + OFFSETS.numpy()[:, None, None]


class TestInMemory:
    def test_maps_probabilities_and_shares(self, described, network):
        new = {name: values for name, values in scenes(7, seed=1).items() if name in ("rgb", "thermal")}
        logits = expected_logits(described[0], new)
        maps = network.predict(new)
        assert (maps.dtype, maps.tolist()) == (np.uint8, logits.argmax(axis=1).tolist())
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(network.predict_proba(new), chances, atol=1e-5)
        table = network.predict_table(new)
        assert list(table) == [f"share_{name}" for name in CLASSES]
        np.testing.assert_allclose(table["share_person"], (maps == 2).mean(axis=(1, 2)))
        assert network(new).shape == (7, 3, 24, 32)

    def test_numbers_are_those_of_the_data(self, tmp_path):
        arrays = scenes()
        arrays["y"] = np.where(arrays["y"] == 255, 0, arrays["y"] + 1)
        np.savez(tmp_path / "scenes.npz", **arrays)
        config = DataConfig.parse(expand_modalities({"data": data_block(tmp_path / "scenes.npz", void=0)})["data"])
        network = trained_network(load_dataset(config), config)
        assert set(np.unique(network.predict(arrays)).tolist()) == {1, 2, 3}

    def test_outputs_that_are_not_finite_leave_their_row_empty(self, network):
        new = scenes(3)
        network.network.weights.data[0, 0] = torch.inf  # the first channel times infinity
        found = network.predictions(new)
        assert set(found.problems) == {0, 1, 2}
        assert (found.values == 255).all()
        assert np.isnan(network.predictions(new, pixel_probabilities=True).probabilities).all()
        assert found.frame()["share_car"].isna().all()

    def test_maps_of_all_rows_are_never_in_memory_as_logits(self, described, network, monkeypatch):
        monkeypatch.setattr("nasfuse.prediction.outputs._BATCH_PIXELS", 3 * 24 * 32)
        kept = []
        outputs = outputs_of(
            network.network,
            described[0].train,
            device=torch.device("cpu"),
            kept=lambda values: kept.append(tuple(values.shape)) or values.argmax(dim=1)[:, None].to(torch.uint8),
        )
        assert set(network.network.batches) == {3}
        assert set(kept) == {(3, 3, 24, 32)}
        assert (outputs.values.dtype, outputs.values.shape) == (torch.uint8, (12, 1, 24, 32))

    def test_an_average_is_that_of_the_probabilities(self, described, network):
        other = trained_network(*described)
        other.network.weights.data *= -1
        new = scenes(2)
        both = NetworkAverage([network, other])
        means = (network.predict_proba(new) + other.predict_proba(new)) / 2
        assert both.predict(new).tolist() == means.argmax(axis=1).tolist()
        np.testing.assert_allclose(both.predict_proba(new), means)
        assert both.predictions(new).probabilities is None


class TestOtherData:
    def test_labels_are_numbered_as_in_the_training(self, network, tmp_path):
        arrays = scenes(5, seed=2)
        np.savez(tmp_path / "other.npz", **arrays)
        found = labelled_data(network._saved, network.recipe.data.at(str(tmp_path / "other.npz")))
        assert found.samples.targets.numpy().tolist() == arrays["y"].tolist()
        assert found.part("val")[1].rows.tolist() == [3]

    def test_a_class_that_the_network_does_not_know(self, network, tmp_path):
        arrays = scenes(5)
        arrays["y"][2, 4, 5] = 3
        np.savez(tmp_path / "other.npz", **arrays)
        with pytest.raises(
            DataError, match=r"row 2: the label 3 at pixel row 4, pixel column 5 is none of the 3 classes"
        ):
            labelled_data(network._saved, network.recipe.data.at(str(tmp_path / "other.npz")))

    def test_maps_of_another_size(self, network, tmp_path):
        arrays = scenes(5)
        np.savez(tmp_path / "other.npz", **{**arrays, "y": arrays["y"][:, ::2, ::2]})
        match = r"are maps of 12 x 16 pixels, and the network was trained with 24 x 32; resize them and the images"
        with pytest.raises(DataError, match=match):
            labelled_data(network._saved, network.recipe.data.at(str(tmp_path / "other.npz")))


class TestPictures:
    def test_a_label_file_holds_the_numbers_and_shows_colours(self):
        numbers = np.array([[0, 1, 2], [255, 39, 4]], np.uint8)
        image = Image.open(io.BytesIO(label_png(numbers)))
        assert (image.mode, np.asarray(image).tolist()) == ("P", numbers.tolist())
        assert image.convert("RGB").getpixel((2, 1)) == label_colors()[4] == (0, 0, 128)

    def test_colours_differ(self):
        assert len(set(label_colors())) == 256

    @pytest.mark.parametrize(
        ("values", "mode", "expected"),
        [
            (np.array([[[0, 9]], [[1, 8]], [[2, 7]]], np.uint8), "RGB", [[[0, 1, 2], [9, 8, 7]]]),
            (np.array([[[100, 60100], [30100, 100]]], np.uint16), "L", [[0, 255], [127, 0]]),
            (np.array([[[-1.0, 1.0]]]), "L", [[0, 255]]),
            (np.full((1, 1, 2), 3.0), "L", [[0, 0]]),
        ],
    )
    def test_images_of_every_type_are_shown(self, values, mode, expected):
        image = Image.open(io.BytesIO(picture_png(values)))
        assert (image.mode, np.asarray(image).tolist()) == (mode, expected)
