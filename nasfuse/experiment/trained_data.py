"""The data as a trained network saw them: with the scales of its checkpoint, not those of the file as it is now."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nasfuse.config.recipe import DataConfig
from nasfuse.data import Dataset, Scale, Split, load_dataset
from nasfuse.data.targets import with_target_scale


def scales_to_save(dataset: Dataset) -> dict[str, Any]:
    """Returns the scales of the inputs and of the target as plain mappings of tensors, for a checkpoint."""
    return {
        "scales": {name: vars(scale) for name, scale in _input_scales(dataset).items()},
        "target_scale": None if dataset.target_scale is None else vars(dataset.target_scale),
    }


def load_scaled(config: DataConfig, content: Mapping[str, Any], *, cut: int) -> Dataset:
    """Returns the data set that `config` names, standardised by the scales in the `content` of a checkpoint.

    Raises:
        MissingFileError: No shipped set and no file of that name.
        DataError: The file breaks the data contract.
    """
    scales = {name: Scale(**scale) for name, scale in content["scales"].items()}
    target_scale = None if content["target_scale"] is None else Scale(**content["target_scale"])
    return with_target_scale(_with_input_scales(load_dataset(config, cut=cut), scales), target_scale)


def _input_scales(dataset: Dataset) -> dict[str, Scale]:
    columns = dataset.train.columns
    return {name: column.scale for name, column in columns.items() if column.scale is not None}


def _with_input_scales(dataset: Dataset, scales: Mapping[str, Scale]) -> Dataset:
    def scaled(split: Split) -> Split:
        columns = {name: replace(column, scale=scales.get(name)) for name, column in split.columns.items()}
        return replace(split, columns=columns)

    return replace(dataset, train=scaled(dataset.train), val=scaled(dataset.val), test=scaled(dataset.test))
