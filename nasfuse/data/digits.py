"""The shipped data set: scikit-learn's digits, each image cut into a left and a right half."""

import numpy as np
from sklearn.datasets import load_digits as load_sklearn_digits

from nasfuse.data.arrays import ModalityArrays, build_dataset
from nasfuse.data.dataset import Dataset


def load_digits(*, cut: int = 0) -> Dataset:
    """Returns 1,797 handwritten digits as two images of 8 x 4, ten classes.

    The two-view protocol of deep canonical correlation analysis (Andrew et al., 2013): the left and the
    right half are two modalities, neither of which shows the digit. 80/10/10, stratified by class; `cut` as in
    `cut_splits`.
    """
    digits = load_sklearn_digits()
    images = digits.images.astype(np.uint8)
    return build_dataset(
        "digits",
        {
            "left": ModalityArrays("image", images[:, :, :4]),
            "right": ModalityArrays("image", images[:, :, 4:]),
        },
        targets=digits.target,
        task="multiclass",
        cut=cut,
        class_names=tuple(str(digit) for digit in range(10)),
    )
