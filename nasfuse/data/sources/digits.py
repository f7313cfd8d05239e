"""The shipped data set: scikit-learn's digits, each image cut into a left and a right half."""

from collections.abc import Mapping

import numpy as np

from nasfuse.data.arrays import build_table
from nasfuse.data.dataset import Dataset, Scale
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.table import Table


def load_digits(*, division: int = 0) -> Dataset:
    """Returns the data set of `digits_table` with this division into train and val; see `divide_into_splits`."""
    return digits_table().divided(division)


def digits_table(*, scales: Mapping[str, Scale] | None = None) -> Table:
    """Returns 1,797 handwritten digits in ten classes, as two images of 8 x 4 pixels.

    Follows the two-view protocol of deep canonical correlation analysis (Andrew et al., 2013): the left and the right
    half of an image are two modalities. Divided 80/10/10, stratified by class. For `scales` see `build_dataset`.
    """
    from sklearn.datasets import load_digits as load_sklearn_digits  # slow to import

    digits = load_sklearn_digits()
    images = digits.images.astype(np.uint8)
    return build_table(
        "digits",
        {
            "left": ModalityArrays("image", images[:, :, :4]),
            "right": ModalityArrays("image", images[:, :, 4:]),
        },
        targets=digits.target,
        task="multiclass",
        scales=scales,
        class_names=tuple(str(digit) for digit in range(10)),
    )
