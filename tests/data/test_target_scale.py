"""Regression targets: whatever their unit and origin, networks see the same numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.data.target_scale import with_target_scale
from nasfuse.errors import DataError

Z = np.random.default_rng(0).normal(size=60)
SPLIT = np.array(["train"] * 40 + ["val"] * 10 + ["test"] * 10)


def data(targets):
    values = np.zeros((len(targets), 2), dtype=np.float32)
    return build_dataset("d", {"v": ModalityArrays("vector", values)}, targets=targets, task="regression", splits=SPLIT)


def given_in(dataset, name):
    """The targets of a split in the unit of the data."""
    scale = dataset.target_scale
    return (dataset.split(name).targets.double() * scale.std + scale.mean).numpy()


@given(
    a=st.floats(-12, 12).map(lambda exponent: 10.0**exponent),
    sign=st.sampled_from([-1, 1]),
    b=st.floats(-1e3, 1e3),
)
def test_the_unit_and_the_origin_make_no_difference(a, sign, b):
    plain, changed = data(Z), data(sign * a * (Z + b))
    for name in ("train", "val", "test"):
        assert torch.allclose(sign * plain.split(name).targets, changed.split(name).targets, atol=1e-5)


@pytest.mark.parametrize(
    "targets",
    [Z, 1.7e9 + 60 * Z, 1e-9 * Z, 1e19 * Z, 1e200 * Z, 1e-200 * Z, (1e3 * Z).astype(np.int64), Z.astype(np.float16)],
    ids=["as it is", "time stamps", "nano", "huge", "larger", "smaller", "int64", "float16"],
)
def test_they_are_standardised_by_their_training_samples(targets):
    dataset = data(targets)
    train = dataset.train.targets.double()
    assert train.shape == (40, 1)
    assert dataset.train.targets.dtype == torch.float32
    assert float(train.mean()) == pytest.approx(0, abs=1e-6)
    assert float(train.std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert np.allclose(given_in(dataset, "test")[:, 0], targets[50:].astype(np.float64), rtol=1e-5, atol=0)


def test_every_output_has_its_own_scale():
    dataset = data(np.column_stack([Z, 1e6 * Z + 3]))
    assert torch.allclose(dataset.train.targets[:, 0], dataset.train.targets[:, 1], atol=1e-6)
    assert dataset.target_scale.std.shape == (1, 2)
    assert float(dataset.target_scale.std[0, 1] / dataset.target_scale.std[0, 0]) == pytest.approx(1e6)


def test_val_and_test_do_not_count():
    changed = Z.copy()
    changed[40:] *= 1000
    assert data(changed).target_scale.std.equal(data(Z).target_scale.std)


@pytest.mark.parametrize("value", [0, 0.1, -1e19])
def test_a_target_that_never_varies_is_refused(value):
    targets = np.where(SPLIT == "train", value, Z)
    with pytest.raises(DataError, match=r"d: the target must vary in train, got .* in every training sample; there is"):
        data(targets)
    with pytest.raises(DataError, match="d: output 1 of the target must vary in train"):
        data(np.column_stack([Z, targets]))


@pytest.mark.parametrize("targets", [Z.astype(str), Z + 1j], ids=["words", "complex"])
def test_targets_that_are_no_real_numbers_are_refused(targets):
    with pytest.raises(DataError, match=r"the labels must be numbers for regression, got .*; encode them first"):
        data(targets)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_refused(value):
    with pytest.raises(DataError, match="finite numbers for regression"):
        data(np.where(np.arange(60) == 7, value, Z))


def test_another_unit_is_another_fingerprint():
    assert data(Z).fingerprint != data(2 * Z).fingerprint


def test_classes_have_no_scale(dataset):
    assert dataset.target_scale is None
    assert with_target_scale(dataset, None) is dataset


def test_the_scale_of_another_data_set():
    """A network keeps the scale that it was trained with; the numbers in the unit of the data stay what they are."""
    dataset, other = data(5 * Z + 3), data(Z)
    changed = with_target_scale(dataset, other.target_scale)
    assert changed.target_scale.std.equal(other.target_scale.std)
    for name in ("train", "val", "test"):
        assert np.allclose(given_in(changed, name), given_in(dataset, name), rtol=1e-4, atol=1e-5)
    assert with_target_scale(dataset, dataset.target_scale).test is dataset.test
