"""Folds: disjoint, complete, repeatable, stratified, and never through a group."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.data import ModalityArrays, load_dataset
from nasfuse.data.arrays import build_table
from nasfuse.data.partition import divide_into_folds
from nasfuse.data.sources.registry import divided
from nasfuse.errors import DataError, DataWarning
from nasfuse.spec.data import DataConfig


def folds_of(labels, task="multiclass", *, groups=None, rows=None, n_folds=5, division=0):
    """(train, val) of all folds of one division."""
    rows = np.arange(len(labels)) if rows is None else rows
    numbers = range(division * n_folds, (division + 1) * n_folds)
    found = [
        divide_into_folds("toy", labels, task, rows=rows, groups=groups, n_folds=n_folds, number=number)
        for number in numbers
    ]
    return [(train.numpy(), val.numpy()) for train, val in found]


@settings(max_examples=25)
@given(st.integers(2, 4), st.integers(40, 120), st.integers(2, 6), st.integers(0, 3))
def test_every_sample_is_in_one_fold_and_no_fold_is_trained_on_itself(n_classes, n_samples, n_folds, division):
    labels = np.arange(n_samples) % n_classes
    rows = np.arange(5, n_samples)
    folds = folds_of(labels, rows=rows, n_folds=n_folds, division=division)
    assert np.array_equal(np.sort(np.concatenate([val for _, val in folds])), rows)
    for train, val in folds:
        assert np.array_equal(np.union1d(train, val), rows)
        assert not np.intersect1d(train, val).size
        counts = np.bincount(labels[val], minlength=n_classes)
        assert np.abs(counts - np.bincount(labels[rows]) / n_folds).max() <= 1


def test_divisions_differ_and_are_repeatable():
    labels = np.arange(60) % 2
    divisions = [folds_of(labels, division=number) for number in (0, 1, 0)]
    vals = [[tuple(val) for _, val in folds] for folds in divisions]
    assert vals[0] == vals[2]
    assert not set(vals[0]) & set(vals[1])


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("division", [0, 1])
def test_a_group_is_never_divided(task, division):
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.arange(120) % 17)
    labels = rng.integers(0, 2, 120) if task == "multiclass" else rng.normal(size=120)
    folds = folds_of(labels, task, groups=groups, division=division)
    assert np.array_equal(np.sort(np.concatenate([val for _, val in folds])), np.arange(120))
    for train, val in folds:
        assert len(val)
        assert not set(groups[train]) & set(groups[val])


def test_divisions_of_groups_differ():
    labels, groups = np.arange(120) % 2, np.arange(120) // 4
    first, second = ({tuple(val) for _, val in folds_of(labels, groups=groups, division=k)} for k in (0, 1))
    assert first != second


def test_rare_classes_stay_in_train_and_a_warning_lists_them():
    labels = np.array([0] * 20 + [1] * 20 + [2] * 2 + [3] * 3)
    with pytest.warns(DataWarning, match=r"at most 2 samples each.*stay in train: class 2 \(2 samples\)$") as caught:
        folds = folds_of(labels)
    assert len(caught) == 1, "by the first fold alone"
    for train, val in folds:
        assert (labels[train] == 2).sum() == 2
        assert 2 not in labels[val]
        assert 3 in labels[train]
    assert sum((labels[val] == 3).sum() for _, val in folds) == 3


def test_a_group_with_all_samples_of_a_class_stays_in_train():
    labels = np.concatenate([np.arange(40) % 2, [2] * 4, [0, 1]])
    groups = np.concatenate([np.arange(40) // 4, [99] * 6])
    with pytest.warns(DataWarning, match=r"all their samples in one group each.*class 2 \(4 samples\)"):
        folds = folds_of(labels, groups=groups)
    assert all(set(range(40, 46)) <= set(train) for train, _ in folds)
    assert np.array_equal(np.sort(np.concatenate([val for _, val in folds])), np.arange(40))


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        (
            np.array([0, 0, 0, 1, 1, 1]),
            None,
            r"toy: the largest class has 3 samples outside test, fewer than data.validation.folds 5; lower",
        ),
        (np.array([0.0, 1.0, 2.0]), None, r"toy: 3 samples can be divided into at most 3 folds, got .*folds 5; lower"),
        (np.arange(40) % 2, np.arange(40) // 10, r"toy: 4 groups can be divided into at most 4 folds, got"),
    ],
)
def test_too_few_samples_for_the_folds(labels, groups, message):
    with pytest.raises(DataError, match=message):
        folds_of(labels, "multiclass" if labels.dtype.kind == "i" else "regression", groups=groups)


class TestDatasets:
    """Folds of a table."""

    def table(self, **options):
        rng = np.random.default_rng(0)
        values = np.arange(100, dtype=np.float64)[:, None] * [1.0, -1.0]
        splits = np.array(["train"] * 70 + ["val"] * 10 + ["test"] * 20)
        return build_table(
            "toy",
            {"v": ModalityArrays("vector", values)},
            targets=rng.permutation(np.arange(100) % 2),
            task="multiclass",
            **{"splits": splits, **options},
        )

    def config(self, **validation):
        return DataConfig(source="toy.npz", validation=validation)

    def test_folds_cover_train_and_val_and_leave_test(self):
        table = self.table()
        plain = table.divided(0)
        folds = [divided(table, self.config(folds=4), division=number) for number in range(4)]
        indices = [fold.val.columns["v"].index for fold in folds]
        assert sorted(int(row) for index in indices for row in index) == list(range(80))
        for fold in folds:
            assert not set(fold.train.columns["v"].index.tolist()) & set(fold.val.columns["v"].index.tolist())
            assert fold.test.columns["v"].index.equal(plain.test.columns["v"].index)
        assert len({fold.fingerprint for fold in (*folds, plain)}) == 5

    def test_scales_are_those_of_the_training_samples_of_the_fold(self):
        table = self.table()
        fold = table.fold(3, n_folds=4)
        rows = fold.train.columns["v"].index.numpy()
        assert fold.scales["v"].mean[0, 0].item() == pytest.approx(rows.mean())

    def test_undivided_data_train_on_everything_outside_test(self):
        whole = divided(self.table(), self.config(folds=4), division=None)
        assert whole.train.columns["v"].index.tolist() == list(range(80))
        assert len(whole.val) == 0
        assert whole.scales["v"].mean[0, 0].item() == pytest.approx(39.5)

    def test_folds_after_a_division_without_split_array(self):
        table = self.table(splits=None, groups=np.arange(100) // 5)
        test = set(table.divided(0).test.columns["v"].index.tolist())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            folds = [table.fold(number, n_folds=3) for number in range(3)]
        found = {int(row) for fold in folds for row in fold.val.columns["v"].index}
        assert found == set(range(100)) - test

    def test_shipped_data_have_folds(self):
        plain = load_dataset(DataConfig(source="digits"))
        fold = load_dataset(DataConfig(source="digits", validation={"folds": 4}), division=6)
        assert len(fold.test) == len(plain.test)
        assert abs(len(fold.val) - (len(plain.train) + len(plain.val)) / 4) < 10
