"""Pictures of samples with label maps and of what is predicted for them."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nasfuse.data import load_dataset
from nasfuse.experiment.label_pictures import N_SHOWN, predicted_maps, sample_pictures, shown_rows
from nasfuse.spec.data import DataConfig, expand_modalities
from tests.dense_network import PixelNetwork
from tests.dense_scenes import data_block, scenes

CPU = torch.device("cpu")


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """Scenes whose numbers begin with 1, where 0 is void, as data set and description."""
    arrays = scenes(40)
    arrays["y"] = np.where(arrays["y"] == 255, 0, arrays["y"] + 1)
    file = tmp_path_factory.mktemp("data") / "scenes.npz"
    np.savez(file, **arrays)
    config = DataConfig.parse(expand_modalities({"data": data_block(file, void=0)})["data"])
    return load_dataset(config), config, arrays


def test_inputs_and_labels_of_evenly_chosen_samples(described):
    dataset, config, arrays = described
    found = sample_pictures(dataset, dataset.val, config)
    assert list(found) == [3, 13, 23, 38] == dataset.val.rows[shown_rows(dataset.val)].tolist()
    assert len(found) == N_SHOWN
    assert pixels(found[13].inputs["rgb"]).tolist() == arrays["rgb"][13].tolist()
    labels = np.where(arrays["y"][13] == 0, 255, arrays["y"][13])
    assert pixels(found[13].labels).tolist() == labels.tolist(), "numbers of the data, and 255 without a label"


def test_predictions_have_the_numbers_of_the_data(described):
    dataset, config, _ = described
    found = predicted_maps(PixelNetwork(), dataset.val, config, task="segmentation", n_classes=3, device=CPU)
    batch = dataset.val.batch(shown_rows(dataset.val), names=("rgb", "thermal"))
    expected = PixelNetwork()(batch.inputs).argmax(dim=1) + 1
    assert [(one.route, one.is_taken) for maps in found.values() for one in maps] == [("", True)] * N_SHOWN
    for maps, labels in zip(found.values(), expected, strict=True):
        assert pixels(maps[0].labels).tolist() == labels.tolist()


class Three(SimpleNamespace):
    """A split of three samples, as far as pictures need it."""

    def __len__(self):
        return 3


def test_large_images_are_thinned():
    shape = (400, 300)
    split = Three(
        columns={"a": SimpleNamespace(values=torch.zeros(3, 1, *shape, dtype=torch.uint8), index=None)},
        rows=None,
        targets=torch.zeros(3, *shape, dtype=torch.uint8),
    )
    dataset = SimpleNamespace(
        modalities=[SimpleNamespace(name="a", kind="image")], task=SimpleNamespace(n_outputs=2, size=shape)
    )
    found = sample_pictures(dataset, split, DataConfig(source="x.npz", task="segmentation"))
    assert pixels(found[0].labels).shape == pixels(found[0].inputs["a"]).shape == (200, 150)
