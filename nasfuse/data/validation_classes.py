"""Whether validation samples can tell one network from another."""

from collections.abc import Callable

import torch

from nasfuse.data.dataset import Dataset
from nasfuse.errors import DataError, counted
from nasfuse.spec.data import DataConfig


def check_validation_classes(dataset_of: Callable[[int], Dataset], config: DataConfig) -> None:
    """Checks that the validation samples, of all folds of a cross-validation, have more than one class.

    Args:
        dataset_of: Returns the data set with a division, or a fold; see `nasfuse.data.sources.registry.divided`.
        config: Description of the data set.

    Raises:
        DataError: They have one class, which a constant prediction gets right.
    """
    n_folds = 1 if config.validation is None else config.validation.folds
    n_samples, found = 0, set[int]()
    for number in range(n_folds):
        dataset = dataset_of(number)
        targets = dataset.val.targets
        if targets.dtype != torch.int64 or targets.dim() != 1:
            return
        n_samples += len(targets)
        found |= set(targets.tolist())
        if len(found) > 1:
            return
    (only,) = found
    raise DataError(
        f"{dataset.name}: validation has {counted(n_samples, 'sample')} of class "
        f"{dataset.class_names[only] if dataset.class_names else only} and none of another one, so no network can be "
        "better than a constant prediction; add samples of other classes, or correct the split"
    )
