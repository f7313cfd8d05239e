"""Standardisation of regression targets, which makes losses independent of the unit of the data."""

from dataclasses import replace

from torch import Tensor

from nasfuse.data.dataset import Dataset, Scale, Split
from nasfuse.errors import DataError


def target_scale_of(name: str, targets: Tensor, train: Tensor) -> Scale:
    """Returns mean and standard deviation of regression targets over the training rows, both float64 of shape (1, k).

    Args:
        name: Name of the data set in messages.
        targets: (n, k) float64, finite, in the unit of the data.
        train: Rows of the training split.

    Raises:
        DataError: An output has the same value in every training row.
    """
    values = targets[train]
    constant = values.amin(dim=0) == values.amax(dim=0)
    if constant.any():
        output = int(constant.int().argmax())
        which = "the target" if len(constant) == 1 else f"output {output} of the target"
        raise DataError(
            f"{name}: {which} must vary in train, got {values[0, output]:g} in every training sample; there is nothing "
            "to learn, so correct or remove it"
        )
    largest = values.abs().amax(dim=0, keepdim=True)
    parts = values / largest  # so that the squares of very large and very small numbers are neither infinite nor 0
    return Scale(parts.mean(dim=0, keepdim=True) * largest, parts.std(dim=0, correction=0, keepdim=True) * largest)


def standardised(targets: Tensor, scale: Scale) -> Tensor:
    """Returns the standardised targets (n, k) as float32."""
    return ((targets - scale.mean) / scale.std).float()


def with_target_scale(dataset: Dataset, scale: Scale | None) -> Dataset:
    """Returns `dataset` with its targets standardised by `scale`, for a network that was trained with that scale.

    With None, for tasks other than regression, the data set is returned unchanged.
    """
    if scale is None:
        return dataset
    train, val, test = (_restandardised(split, scale) for split in (dataset.train, dataset.val, dataset.test))
    return replace(dataset, train=train, val=val, test=test)


def _restandardised(split: Split, scale: Scale) -> Split:
    own = split.target_scale
    if own is None or (own.mean.equal(scale.mean) and own.std.equal(scale.std)):
        return split
    return replace(split, targets=standardised(split.targets.double() * own.std + own.mean, scale), target_scale=scale)
