"""The shipped data set: two halves of an image, the same for everybody."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as load_sklearn_digits

from nasfuse.data.sources.digits import load_digits
from nasfuse.domain.modality import Modality, Task


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def test_two_halves_and_ten_classes(digits):
    assert digits.modalities == (Modality("left", "image", (1, 8, 4)), Modality("right", "image", (1, 8, 4)))
    assert digits.task == Task("multiclass", 10)
    assert digits.class_names == tuple("0123456789")
    assert [len(digits.split(part)) for part in ("train", "val", "test")] == [1437, 180, 180]


def test_the_content_is_pinned(digits):
    # Published figures belong to this division: a change here needs a new name.
    assert digits.fingerprint == "80cd26a19b65"


def test_the_halves_are_those_of_one_image(digits):
    known = {(image.astype(np.uint8).tobytes(), label) for image, label in zip(*_sklearn(), strict=True)}
    left, right = (stored(digits.test, name)[:, 0] for name in ("left", "right"))
    images = torch.cat([left, right], dim=2).numpy()
    assert all((image.tobytes(), int(y)) in known for image, y in zip(images, digits.test.targets, strict=True))


def test_every_split_has_every_class_in_proportion(digits):
    for part, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        counts = np.bincount(digits.split(part).targets.numpy(), minlength=10)
        assert np.abs(counts - share * np.bincount(_sklearn()[1])).max() <= 2


def stored(split, name):
    column = split.columns[name]
    return column.values[column.index]


def _sklearn():
    bunch = load_sklearn_digits()
    return bunch.images, bunch.target
