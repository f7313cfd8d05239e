"""Data standardised by the scales of a checkpoint instead of those of the present file."""

from collections.abc import Mapping
from typing import Any

from nasfuse.data import Dataset, Scale, load_dataset
from nasfuse.data.target_scale import with_target_scale
from nasfuse.spec.data import DataConfig


def scales_to_save(dataset: Dataset) -> dict[str, Any]:
    """Returns the scales of the inputs and of the target as plain mappings of tensors, for a checkpoint."""
    return {
        "scales": {name: vars(scale) for name, scale in dataset.scales.items()},
        "target_scale": None if dataset.target_scale is None else vars(dataset.target_scale),
    }


def load_scaled(config: DataConfig, content: Mapping[str, Any], *, division: int | None) -> Dataset:
    """Returns the data set that `config` names, standardised by the scales in the `content` of a checkpoint.

    Raises:
        MissingFileError: There is neither a data set nor a file of this name.
        DataError: The file violates the data contract.
    """
    scales = {name: Scale(**scale) for name, scale in content["scales"].items()}
    target_scale = None if content["target_scale"] is None else Scale(**content["target_scale"])
    return with_target_scale(load_dataset(config, division=division, scales=scales), target_scale)
