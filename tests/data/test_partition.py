"""Cuts: disjoint, complete, repeatable, stratified, and never through a group."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.data.partition import cut_splits
from nasfuse.errors import DataError


def cut(labels, task="multiclass", *, splits=None, groups=None, val_fraction=0.15, number=0):
    rows = cut_splits("toy", labels, task, splits=splits, groups=groups, val_fraction=val_fraction, cut=number)
    return {part: index.numpy() for part, index in rows.items()}


def assert_is_partition(rows, n_samples):
    assert list(rows) == ["train", "val", "test"]
    assert np.array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(n_samples))
    assert all((np.diff(index) > 0).all() for index in rows.values())


@settings(max_examples=25)
@given(st.integers(2, 5), st.integers(60, 200), st.integers(0, 9))
def test_without_a_split_array_80_10_10_is_cut_stratified(n_classes, n_samples, seed):
    labels = np.sort(np.random.default_rng(seed).permutation(np.arange(n_samples) % n_classes))
    rows = cut(labels)
    assert_is_partition(rows, n_samples)
    for part, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        assert abs(len(rows[part]) - share * n_samples) <= 2
        counts = np.bincount(labels[rows[part]], minlength=n_classes)
        assert np.abs(counts - share * np.bincount(labels)).max() <= 2


def test_a_cut_is_always_the_same():
    labels = np.arange(60) % 3
    first, second = cut(labels), cut(labels)
    assert all(np.array_equal(first[part], second[part]) for part in first)


WORDS = np.array(["train"] * 80 + ["test"] * 20)
WITH_VAL = np.array(["train"] * 64 + ["val"] * 16 + ["test"] * 20)


@pytest.mark.parametrize(
    "options",
    [{}, {"splits": WORDS}, {"groups": np.arange(100) // 2}, {"splits": WITH_VAL, "groups": np.arange(100) // 2}],
)
def test_other_cuts_divide_train_and_val_anew_and_leave_test(options):
    labels = np.arange(100) % 2
    cuts = [cut(labels, number=number, **options) for number in range(4)]
    for rows in cuts:
        assert_is_partition(rows, 100)
        assert np.array_equal(rows["test"], cuts[0]["test"])
        assert abs(len(rows["val"]) - len(cuts[0]["val"])) <= 2
        if "groups" in options:
            assert not set(rows["train"] // 2) & set(rows["val"] // 2)
    assert len({tuple(rows["val"]) for rows in cuts}) == 4


def test_a_val_that_the_file_names_is_the_same_in_every_cut():
    rows = cut(np.arange(100) % 2, splits=WITH_VAL, number=3)
    assert all((WITH_VAL[index] == part).all() for part, index in rows.items())


@settings(max_examples=25)
@given(st.integers(0, 99), st.integers(10, 30), st.booleans())
def test_a_group_is_never_cut(seed, n_groups, with_splits):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.arange(120) % n_groups)
    splits = np.where(groups < n_groups // 3, "test", "train") if with_splits else None
    rows = cut(rng.integers(0, 2, 120), splits=splits, groups=groups)
    assert_is_partition(rows, 120)
    sides = [set(groups[index].tolist()) for index in rows.values()]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_given_splits_are_kept():
    splits = np.array(["train", "test", "val", "train"] * 5)
    rows = cut(np.arange(20) % 2, splits=splits)
    assert all((splits[index] == part).all() for part, index in rows.items())


def test_val_is_cut_from_train_where_the_file_has_none():
    splits = np.array(["train"] * 80 + ["test"] * 20)
    rows = cut(np.arange(100) % 2, splits=splits, val_fraction=0.25)
    assert_is_partition(rows, 100)
    assert len(rows["val"]) == 20
    assert rows["test"].tolist() == list(range(80, 100))


@pytest.mark.parametrize(("task", "labels"), [("regression", np.zeros((40, 1))), ("multilabel", np.zeros((40, 2)))])
def test_other_tasks_are_cut_without_strata(task, labels):
    assert_is_partition(cut(labels, task), 40)


@pytest.mark.parametrize(
    ("labels", "options", "match"),
    [
        (np.arange(9) % 2, {"splits": np.array(["train"] * 8)}, r"^toy: the split array must have one entry per label"),
        (
            np.arange(9) % 2,
            {"groups": np.zeros((9, 1))},
            r"the group array must have one entry per label, got shape \(9,",
        ),
        (
            np.arange(3) % 2,
            {"splits": np.array(["train", "test", "dev"])},
            "the split array must say train, val or test, got 'dev'$",
        ),
        (
            np.arange(4) % 2,
            {"splits": np.array(["train", "val"] * 2)},
            "the test split is empty; mark some samples as 'test' in the split array$",
        ),
        (np.arange(4) % 2, {"splits": np.array(["val", "test"] * 2)}, "the train split is empty; mark some samples as"),
        (np.arange(2), {}, "2 samples are too few to cut a split from: "),
        (np.arange(30), {}, "30 samples are too few to cut a split from: "),
        (np.arange(20) % 2, {"groups": np.zeros(20)}, "20 samples are too few to cut a split from: "),
    ],
)
def test_what_cannot_be_cut(labels, options, match):
    with pytest.raises(DataError, match=match):
        cut(labels, **options)
