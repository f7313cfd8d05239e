"""The conformance suite of data sources."""

from collections.abc import Callable, Mapping

import pytest
import torch

from nasfuse.data.dataset import Dataset, Scale
from nasfuse.data.table import Table
from nasfuse.tasks import task_kind

#: Returns all samples of the data set: `load(scales=None)`.
Load = Callable[..., Table]

PARTS = ("train", "val", "test")


class SourceSuite:
    """What holds for every data source.

    Splits that are not empty and share no sample, batches of the shapes that the modalities name, numbers that are
    finite and standardised, targets that fit the task, the same content in every load, divisions by number that keep
    the test split, and scales taken from another data set.

    Example:
        A module of tests for a source of another package::

            class TestWeather(SourceSuite):
                @pytest.fixture
                def load(self):
                    return weather_table
    """

    @pytest.fixture
    def load(self) -> Load:
        """Override: the function that returns the `Table`; it takes the keyword argument `scales`."""
        raise NotImplementedError("override the fixture load of SourceSuite")

    @pytest.fixture
    def table(self, load: Load) -> Table:
        """The table without given scales."""
        return load(scales=None)

    def test_splits_are_not_empty_and_share_no_sample(self, table: Table) -> None:
        dataset = table.divided(0)
        assert [len(dataset.split(part)) for part in PARTS] == [len(table.rows[part]) for part in PARTS]
        assert all(len(dataset.split(part)) > 0 for part in PARTS)
        rows = [row for part in PARTS for row in table.rows[part].tolist()]
        assert len(set(rows)) == len(rows) <= len(table.targets)

    def test_batches_have_the_shapes_of_the_modalities(self, table: Table) -> None:
        dataset = table.divided(0)
        names = tuple(modality.name for modality in dataset.modalities)
        assert len(set(names)) == len(names) > 0
        for part in PARTS:
            split = dataset.split(part)
            batch = split.batch(torch.arange(len(split)), names=names)
            for modality in dataset.modalities:
                values = batch.inputs[modality.name]
                if modality.kind == "sequence":
                    assert values.shape[1] <= modality.shape[0]
                    assert values.shape[2:] == modality.shape[1:]
                else:
                    assert values.shape[1:] == modality.shape
                assert len(values) == len(split)
                if modality.vocabulary is None:
                    assert values.dtype == torch.float32
                    assert torch.isfinite(values).all()
                else:
                    assert values.dtype == torch.int64
                    assert 0 <= int(values.min()) <= int(values.max()) < modality.vocabulary

    def test_masks_mark_the_steps_before_the_length(self, table: Table) -> None:
        dataset = table.divided(0)
        for modality in dataset.modalities:
            lengths = dataset.train.lengths(modality.name)
            batch = dataset.train.batch(torch.arange(len(dataset.train)), names=(modality.name,))
            if lengths is None:
                assert modality.name not in batch.masks
            else:
                assert modality.kind == "sequence"
                assert torch.equal(batch.masks[modality.name].sum(dim=1), lengths)

    def test_numbers_are_standardised_on_the_training_samples(self, table: Table) -> None:
        dataset = table.divided(0)
        for modality in dataset.modalities:
            if modality.vocabulary is not None:
                continue
            batch = dataset.train.batch(torch.arange(len(dataset.train)), names=(modality.name,))
            values, mask = batch.inputs[modality.name].double(), batch.masks.get(modality.name)
            if modality.name in batch.present:
                there = batch.present[modality.name]
                values, mask = values[there], None if mask is None else mask[there]
            if modality.kind == "image":
                values = values.movedim(1, -1)
            features = values.flatten(0, -2) if mask is None else values[mask]
            # A constant feature is 0 everywhere, so its spread is 0 instead of 1.
            assert features.mean(dim=0).abs().max() < 1e-3
            spread = features.std(dim=0, correction=0)
            assert (((spread - 1).abs() < 1e-2) | (spread == 0)).all()

    def test_targets_fit_the_task(self, table: Table) -> None:
        dataset = table.divided(0)
        task, kind = dataset.task, task_kind(dataset.task.kind)
        assert len(dataset.class_names) in (0, task.n_outputs)
        assert kind.check_targets("the targets", table.targets.numpy())[1] == task.n_outputs
        for part in PARTS:
            targets = dataset.split(part).targets
            outputs = torch.zeros(len(targets), task.n_outputs)
            assert targets.shape == kind.predict(outputs).shape
            assert targets.dtype in (torch.int64, torch.float32)
            assert torch.isfinite(kind.loss(outputs, targets))

    def test_every_load_has_the_same_content(self, load: Load) -> None:
        first, second = load(scales=None), load(scales=None)
        assert first.divided(0).fingerprint == second.divided(0).fingerprint
        assert_equal_splits(first.divided(0), second.divided(0))

    def test_divisions_by_number_keep_the_test_split_and_are_repeatable(self, table: Table) -> None:
        first, other = table.divided(0), table.divided(1)
        assert torch.allclose(_targets(first), _targets(other))
        assert len(first.train) + len(first.val) == len(other.train) + len(other.val)
        assert_equal_splits(other, table.divided(1))

    def test_given_scales_replace_those_of_the_samples(self, load: Load) -> None:
        dataset = load(scales=None).divided(0)
        assert_equal_splits(load(scales=dataset.scales).divided(0), dataset, tolerance=1e-6)
        wider = {name: Scale(scale.mean, 2 * scale.std) for name, scale in dataset.scales.items()}
        halved = load(scales=wider).divided(0)
        for name in wider:
            one, other = (_inputs(data, name, "val") for data in (halved, dataset))
            assert torch.allclose(2 * one, other, atol=1e-5)


def assert_equal_splits(first: Dataset, second: Dataset, *, tolerance: float = 0.0) -> None:
    """Asserts that two data sets hold the same samples in the same splits, their values up to `tolerance`."""
    assert first.modalities == second.modalities
    for part in PARTS:
        assert torch.equal(first.split(part).targets, second.split(part).targets)
        for modality in first.modalities:
            one, other = (_inputs(data, modality.name, part) for data in (first, second))
            assert torch.allclose(one, other, rtol=0.0, atol=tolerance), f"{modality.name} of {part}"


def _targets(dataset: Dataset) -> torch.Tensor:
    """Returns the targets of the test split in the unit of the data."""
    targets, scale = dataset.test.targets, dataset.target_scale
    return targets if scale is None else targets.double() * scale.std + scale.mean


def _inputs(dataset: Dataset, name: str, part: str) -> torch.Tensor:
    split = dataset.split(part)
    inputs: Mapping[str, torch.Tensor] = split.batch(torch.arange(len(split)), names=(name,)).inputs
    return inputs[name]
