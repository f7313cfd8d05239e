"""From arrays to a data set: layouts, scales fitted on train alone, and the text of every refusal."""

import numpy as np
import pytest
import torch

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.data.arrays import build_table
from nasfuse.data.partition import divide_into_splits
from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import DataError

N = 40
LABELS = np.arange(N) % 2
SPLITS = np.array(["train"] * 20 + ["val"] * 10 + ["test"] * 10)
RNG = np.random.default_rng(0)
VECTOR = RNG.normal(size=(N, 3))


def build(arrays=None, **changes):
    options = {"targets": LABELS, "task": "multiclass", "splits": SPLITS} | changes
    return build_dataset("toy", {"m": arrays or ModalityArrays("vector", VECTOR)}, **options)


def first_batch(dataset, part="train", n_samples=4):
    return dataset.split(part).batch(torch.arange(n_samples), names=("m",))


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("vector", (3,), (3,)),
        ("sequence", (5, 3), (5, 3)),
        ("image", (6, 5), (1, 6, 5)),
        ("image", (6, 5, 3), (3, 6, 5)),
        ("image", (3, 6, 5), (3, 6, 5)),
        ("image", (6, 5, 1), (1, 6, 5)),
        ("image", (4, 6, 7), (4, 6, 7)),
    ],
)
def test_layouts(kind, shape, expected):
    dataset = build(ModalityArrays(kind, RNG.normal(size=(N, *shape))))
    assert dataset.modalities == (Modality("m", kind, expected),)
    assert first_batch(dataset).inputs["m"].shape == (4, *expected)
    assert first_batch(dataset).inputs["m"].dtype == torch.float32


def test_channels_last_keep_their_pixels():
    values = RNG.integers(0, 256, (N, 6, 5, 3)).astype(np.uint8)
    column = build(ModalityArrays("image", values)).train.columns["m"]
    assert column.values.dtype == torch.uint8
    assert torch.equal(column.values[column.index], torch.from_numpy(values[:20].transpose(0, 3, 1, 2).copy()))


def test_ids_stay_integers_without_a_scale():
    ids = RNG.integers(0, 7, (N, 4)).astype(np.int32)
    dataset = build(ModalityArrays("sequence", ids, vocabulary=7))
    assert dataset.modalities == (Modality("m", "sequence", (4,), 7),)
    assert dataset.train.columns["m"].scale is None
    assert torch.equal(first_batch(dataset).inputs["m"], torch.from_numpy(ids[:4].astype(np.int64)))


def test_the_scale_is_that_of_train_alone():
    values = RNG.normal(size=(N, 3))
    values[20:] += 1000
    dataset = build(ModalityArrays("vector", values))
    everything = dataset.train.batch(torch.arange(20), names=("m",)).inputs["m"]
    assert torch.allclose(everything.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(everything.std(0, correction=0), torch.ones(3), atol=1e-5)
    expected = (values[20:24] - values[:20].mean(0)) / values[:20].std(0)
    np.testing.assert_allclose(first_batch(dataset, "val").inputs["m"].numpy(), expected, rtol=1e-3)


def test_a_scale_is_per_feature_of_a_sequence_and_per_channel_of_an_image():
    for kind, shape, scale_shape in (("sequence", (5, 3), (1, 1, 3)), ("image", (3, 6, 5), (1, 3, 1, 1))):
        dataset = build(ModalityArrays(kind, RNG.normal(size=(N, *shape))))
        for scale in (dataset.scales["m"], dataset.train.columns["m"].scale):
            assert scale.mean.shape == scale.std.shape == scale_shape


def test_a_constant_feature_is_zero():
    values = VECTOR.copy()
    values[:, 1] = 5.0
    batch = first_batch(build(ModalityArrays("vector", values)), n_samples=20).inputs["m"]
    assert (batch[:, 1] == 0).all()


@pytest.mark.parametrize("shared", [False, True])
def test_padding_does_not_count_in_the_scale(shared):
    values = RNG.normal(size=(N, 5, 3)).astype(np.float32)
    lengths = RNG.integers(1, 6, N)
    real = np.concatenate([values[row, : lengths[row]] for row in range(20)])
    for row in range(N):
        values[row, lengths[row] :] = 1e6
    index = np.arange(N) if shared else None
    scale = build(ModalityArrays("sequence", values, lengths=lengths, index=index)).scales["m"]
    np.testing.assert_allclose(scale.mean.flatten().numpy(), real.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scale.std.flatten().numpy(), real.std(0), rtol=1e-4)


def test_rows_shared_through_an_index_are_stored_once():
    rows = RNG.normal(size=(4, 3)).astype(np.float32)
    index = RNG.integers(0, 4, N)
    shared = build(ModalityArrays("vector", rows, index=index))
    assert len(shared.train.columns["m"].values) == 4
    for part, start in (("train", 0), ("val", 20), ("test", 30)):
        scale = shared.scales["m"]
        expected = (rows[index[start : start + 4]] - scale.mean.numpy()) / scale.std.numpy()
        np.testing.assert_allclose(first_batch(shared, part).inputs["m"].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_scale_of_shared_rows_counts_each_training_row_once():
    rows = np.array([[0.0], [2.0], [100.0]])
    index = np.array([0] * 15 + [1] * 5 + [2] * 20)
    scale = build(ModalityArrays("vector", rows, index=index)).scales["m"]
    assert scale.mean.item() == pytest.approx(1.0, rel=1e-6)
    assert scale.std.item() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("task", "targets", "expected", "shape"),
    [
        ("multiclass", LABELS, Task("multiclass", 2), ()),
        ("multilabel", RNG.integers(0, 2, (N, 3)), Task("multilabel", 3), (3,)),
        ("multilabel", RNG.integers(0, 2, (N, 3)).astype(bool), Task("multilabel", 3), (3,)),
        ("regression", RNG.normal(size=N), Task("regression", 1), (1,)),
        ("regression", RNG.normal(size=(N, 2)), Task("regression", 2), (2,)),
    ],
)
def test_targets(task, targets, expected, shape):
    dataset = build(task=task, targets=targets)
    assert dataset.task == expected
    assert dataset.train.targets.shape == (20, *shape)
    assert dataset.train.targets.dtype == (torch.int64 if task == "multiclass" else torch.float32)


def with_cell(value):
    values = VECTOR.copy()
    values[7, 1] = value
    return values


IDS = RNG.integers(0, 7, (N, 4))
STEPS = RNG.normal(size=(N, 5, 3))


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (
            ModalityArrays("vector", np.full((N, 2), "a")),
            "^toy: modality m must hold numbers, got <U1; encode it first",
        ),
        (
            ModalityArrays("vector", VECTOR * 1j),
            "^toy: modality m must hold numbers, got complex128; encode it first",
        ),
        (
            ModalityArrays("vector", np.zeros((N, 0))),
            r"modality m is empty, its shape is \(40, 0\); give at least one row",
        ),
        (ModalityArrays("vector", np.array(3.0)), "modality m has 1 row but there are 40 labels"),
        (
            ModalityArrays("vector", np.zeros((0, 2))),
            r"modality m is empty, its shape is \(0, 2\); give at least one row",
        ),
        (
            ModalityArrays("vector", VECTOR[:-1]),
            "modality m has 39 rows but there are 40 labels; name an index array or align them",
        ),
        (
            ModalityArrays("vector", with_cell(np.nan)),
            r"modality m holds NaN or infinite values in 1 row, the first in row 7, feature \d; clean or impute them",
        ),
        (
            ModalityArrays("vector", with_cell(-np.inf)),
            "holds NaN or infinite values in 1 row, the first in row 7, feature",
        ),
        (
            ModalityArrays("vector", STEPS),
            r"modality m is of kind vector, which must be \(n, F\), got \(40, 5, 3\); change its kind",
        ),
        (
            ModalityArrays("sequence", VECTOR),
            r"is of kind sequence, which must be \(n, T, F\), or \(n, T\) ids with a vocabulary, got \(40, 3\)",
        ),
        (ModalityArrays("image", VECTOR), r"kind image, which must be \(n, H, W\), \(n, H, W, C\) or \(n, C, H, W\)"),
        (ModalityArrays("image", np.zeros((N, 5, 5, 5))), r"with 1, 3 or 4 channels, got \(40, 5, 5, 5\)"),
        (
            ModalityArrays("vector", IDS, vocabulary=7),
            r"modality m has a vocabulary, so it must be integer ids \(n, T\), got \(40, 4\)",
        ),
        (ModalityArrays("sequence", IDS * 1.0, vocabulary=7), "has a vocabulary, so it must be integer ids"),
        (
            ModalityArrays("sequence", np.where(IDS == 0, 9, IDS), vocabulary=7),
            r"modality m must hold ids from 0 to 6, got \d to 9, the first other one in row \d+; fix vocabulary",
        ),
        (
            ModalityArrays("sequence", IDS - 1, vocabulary=7),
            "must hold ids from 0 to 6, got -1 to 5, the first other one in row",
        ),
        (
            ModalityArrays("vector", VECTOR, lengths=np.ones(N, int)),
            "modality m is a vector, only a sequence has lengths; remove lengths",
        ),
        (
            ModalityArrays("sequence", STEPS, lengths=np.full(N, 6)),
            "m, lengths must lie from 0 to 5, got 6 in row 0; corr",
        ),
        (
            ModalityArrays("sequence", STEPS, lengths=np.full(N, -1)),
            "m, lengths must lie from 0 to 5, got -1 in row 0;",
        ),
        (
            ModalityArrays("sequence", STEPS, lengths=np.ones(3, int)),
            r"m, lengths must be 40 integers, got int64 of shape \(3,\)",
        ),
        (ModalityArrays("sequence", STEPS, lengths=np.ones(N)), r"lengths must be 40 integers, got float64 of shape"),
        (
            ModalityArrays("vector", VECTOR[:4], index=np.full(N, 4)),
            "modality m, index must lie from 0 to 3, got 4 in row 0; correct them",
        ),
        (
            ModalityArrays("vector", VECTOR[:4], index=np.zeros(9, int)),
            r"index must be 40 integers, got int64 of shape \(9,\)",
        ),
    ],
)
def test_a_modality_that_breaks_the_contract(arrays, match):
    with pytest.raises(DataError, match=match):
        build(arrays)


@pytest.mark.parametrize(
    ("task", "targets", "match"),
    [
        ("multiclass", np.zeros(0, int), "^toy: the labels are empty; there is nothing to learn from"),
        (
            "multiclass",
            LABELS * 0.5,
            r"the labels must be \(n,\) integers or words for multiclass, got float64 of shape \(40,\)",
        ),
        ("multiclass", np.ones((40, 2), int), r"integers or words for multiclass, got int64 of shape \(40, 2\)"),
        (
            "multiclass",
            LABELS - 1,
            "the labels must be class numbers from 0, got -1 in row 0; renumber them",
        ),
        ("multiclass", LABELS * 0, "the labels hold one class only, got 0 everywhere; there is nothing to learn"),
        (
            "multiclass",
            LABELS * 2,
            "go up to 2 but class 1 never occurs: a label is wrong, or samples of that class are missing; correct the "
            "labels or add samples, or, if no network was trained with these class numbers, renumber the classes "
            "without gaps",
        ),
        ("multiclass", np.array(3), "the labels hold one class only, got 3 everywhere"),
        ("multilabel", LABELS, r"must be \(n, k\) zeros and ones for multilabel, got shape \(40,\)"),
        ("multilabel", LABELS[:, None] * 2, "zeros and ones for multilabel"),
        (
            "regression",
            np.full(N, np.nan),
            r"must be \(n,\) or \(n, k\) finite numbers for regression, got shape \(40,\)",
        ),
        ("regression", np.zeros((N, 2, 2)), r"finite numbers for regression, got shape \(40, 2, 2\)"),
    ],
)
def test_labels_that_break_the_contract(task, targets, match):
    with pytest.raises(DataError, match=match):
        build(task=task, targets=targets)


def test_at_least_one_modality():
    with pytest.raises(DataError, match=r"^toy names no modality; list at least one under data.modalities$"):
        build_dataset("toy", {}, targets=LABELS, task="multiclass")


def test_every_class_needs_a_training_sample():
    labels = LABELS.copy()
    labels[35] = 2
    with pytest.raises(DataError, match=r"^toy: class 2 has no training sample; fix the labels or the split$"):
        build(targets=labels)


def test_the_fingerprint_is_that_of_the_content():
    ids = IDS.reshape(N, 4)
    base = build(ModalityArrays("image", STEPS.astype(np.float32)))
    assert build(ModalityArrays("image", STEPS.astype(np.float32))).fingerprint == base.fingerprint
    changed = STEPS.astype(np.float32)
    changed[39, 0, 0] += 1
    others = [
        build(ModalityArrays("image", changed)),
        build(ModalityArrays("image", STEPS.astype(np.float32).reshape(N, 3, 5))),
        build(ModalityArrays("image", STEPS.astype(np.float32)), targets=1 - LABELS),
        build(ModalityArrays("image", STEPS.astype(np.float32)), splits=np.roll(SPLITS, 1)),
        build(ModalityArrays("image", STEPS.astype(np.float32), index=np.arange(N))),
        build(ModalityArrays("sequence", ids, vocabulary=7)),
        build(ModalityArrays("sequence", ids, vocabulary=7, lengths=np.full(N, 4))),
    ]
    prints = [dataset.fingerprint for dataset in (base, *others)]
    assert len(set(prints)) == len(prints)
    assert all(len(text) == 12 for text in prints)


def test_splits_and_divisions_share_the_values():
    arrays = {
        "v": ModalityArrays("vector", VECTOR),
        "i": ModalityArrays("image", RNG.integers(0, 256, (N, 6, 5)).astype(np.uint8)),
        "q": ModalityArrays("sequence", IDS, vocabulary=7),
    }
    table = build_table("toy", arrays, targets=LABELS, task="multiclass")
    for name, n_bytes in (("v", N * 3 * 4), ("i", N * 30), ("q", N * 4 * 8)):
        divisions = [table.divided(number) for number in range(3)]
        stored = [
            division.split(part).columns[name].values for division in divisions for part in ("train", "val", "test")
        ]
        assert {values.untyped_storage().data_ptr() for values in stored} == {stored[0].data_ptr()}
        assert stored[0].untyped_storage().nbytes() == n_bytes


def test_divisions_gather_their_own_samples_with_their_own_scale():
    table = build_table("toy", {"m": ModalityArrays("vector", VECTOR)}, targets=LABELS, task="multiclass")
    for number in (0, 1):
        rows = divide_into_splits(
            "toy", LABELS, "multiclass", splits=None, groups=None, val_fraction=0.15, division=number
        )
        train = VECTOR[rows["train"]]
        for part, index in rows.items():
            expected = (VECTOR[index] - train.mean(0)) / train.std(0)
            got = first_batch(table.divided(number), part, len(index)).inputs["m"].numpy()
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
