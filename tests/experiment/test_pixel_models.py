"""The linear model of pixels."""

import numpy as np
import torch

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.experiment.pixel_models import pixel_digests
from nasfuse.experiment.plain_models import plain_scores
from nasfuse.spec.data import DataConfig
from nasfuse.tasks import task_kind


def dataset(labels_of, *, half=False, seed=0):
    """Twenty pairs of 8 x 12 pixels; the class of a pixel is 1 where `labels_of` of both images is true."""
    rng = np.random.default_rng(seed)
    warm, depth = rng.normal(size=(20, 1, 8, 12)), rng.normal(size=(20, 1, 4 if half else 8, 6 if half else 12))
    maps = labels_of(warm[:, 0], depth[:, 0]).astype(np.uint8)
    maps[:, 0] = 255
    return build_dataset(
        "d",
        {"warm": ModalityArrays("image", warm), "depth": ModalityArrays("image", depth)},
        targets=maps,
        task="segmentation",
        splits=np.array(["train"] * 12 + ["val"] * 4 + ["test"] * 4),
        class_names=("no", "yes", "never"),
    )


def test_a_linear_rule_of_both_images_is_learned():
    data = dataset(lambda warm, depth: warm + depth > 0)
    digests = pixel_digests(data)
    confusion = task_kind("segmentation").confusion(digests, data.val.targets)
    right, total = confusion.diagonal().sum(), confusion.sum()
    assert total == 4 * 7 * 12, "pixels without a label do not count"
    assert right / total > 0.97
    assert confusion[:, 2].sum() == 0, "a class without a training pixel is never predicted"


def test_images_of_another_size_are_resized():
    pixel_digests(dataset(lambda warm, depth: warm > 0, half=True))


def test_beside_it_the_best_constant():
    """Its intersection over union is the share of the most frequent class, and 0 for the other class."""
    data = dataset(lambda warm, depth: warm > 0.6745)
    scores = plain_scores(lambda number: data, DataConfig(source="digits"), metric="miou")
    labels = data.val.targets[data.val.targets != 255]
    share = float((labels == 0).float().mean())
    torch.testing.assert_close(scores.mean("constant"), share / 2, atol=1e-6, rtol=0)
    assert scores.mean("linear") > 0.95
