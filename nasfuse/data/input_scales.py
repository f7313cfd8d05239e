"""Standardisation of inputs by the scales of another data set, on which weights were trained."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from nasfuse.data.dataset import Dataset, Scale, Split


def with_input_scales(dataset: Dataset, scales: Mapping[str, Scale]) -> Dataset:
    """Returns `dataset` with the numbers of some modalities standardised by other scales.

    Args:
        dataset: Data set, whose stored numbers remain as they are.
        scales: Scales of the numbers in the file (`Dataset.scales`) by modality, in the shapes of those of `dataset`.
            Modalities without an entry keep their own; those without numbers are ignored.
    """
    chosen = {
        name: scale
        for name, scale in scales.items()
        if name in dataset.scales and not _is_equal(scale, dataset.scales[name])
    }
    if not chosen:
        return dataset
    stored = {name: _of_stored(scale, dataset.units[name]) for name, scale in chosen.items()}
    train, val, test = (_rescaled(split, stored) for split in (dataset.train, dataset.val, dataset.test))
    return replace(dataset, train=train, val=val, test=test, scales={**dataset.scales, **chosen})


def _is_equal(one: Scale, other: Scale) -> bool:
    return one.mean.equal(other.mean) and one.std.equal(other.std)


def _of_stored(scale: Scale, unit: Scale) -> Scale:
    """Returns the float32 scale of stored numbers v = (x - u) / w for which (v - mean) / std is (x - m) / s.

    A feature that is constant in the data has the stored number 0 and an infinite w.
    """
    is_constant = torch.isinf(unit.std)
    mean = torch.where(is_constant, (scale.mean - unit.mean) / scale.std, (scale.mean - unit.mean) / unit.std)
    std = torch.where(is_constant, 1.0, scale.std / unit.std)
    return Scale(mean.float(), std.float())


def _rescaled(split: Split, stored: Mapping[str, Scale]) -> Split:
    columns = {
        name: replace(column, scale=stored[name]) if name in stored else column
        for name, column in split.columns.items()
    }
    return replace(split, columns=columns)
