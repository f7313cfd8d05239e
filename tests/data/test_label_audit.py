"""What is reported of label maps."""

import numpy as np
import pytest

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.data.audit import audit
from nasfuse.data.label_audit import label_facts
from nasfuse.spec.data import DataConfig

pytest.importorskip("nasfuse.tasks.segmentation")


@pytest.fixture
def dataset():
    """Ten maps of 2 x 4 pixels: mostly sky; the car is in train only, the bird in test only, one row has no label."""
    maps = np.zeros((10, 2, 4), np.uint8)
    maps[:6, 1, 0] = 1  # 6 of 48 pixels of train
    maps[9, 1, 3] = 2
    maps[8:, 0] = 255  # half of the pixels of test
    images = np.random.default_rng(0).integers(0, 255, (10, 2, 4, 3)).astype(np.uint8)
    return build_dataset(
        "d",
        {"rgb": ModalityArrays("image", images)},
        targets=maps,
        task="segmentation",
        splits=np.array(["train"] * 6 + ["val"] * 2 + ["test"] * 2),
        class_names=("sky", "car", "bird"),
    )


@pytest.mark.filterwarnings("ignore")
def test_shares_of_pixels_and_absent_classes(dataset):
    assert label_facts(dataset) == {"label maps": "2 x 4 pixels", "pixels": "sky 87.50%, car 12.50%, bird 0.00%"}
    config = DataConfig(source="d.npz", task="segmentation")
    assert audit(dataset, raw=None, config=config, metric="miou") == [
        "test: 50.00% of the pixels have no label and count nowhere",
        "train has no pixel of 1 class: bird; they are never predicted",
        "val has no pixel of 2 classes: car, bird; they do not count in its metric",
        "test has no pixel of 1 class: car; they do not count in its metric",
    ]
