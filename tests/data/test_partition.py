"""Cuts: disjoint, complete, repeatable, stratified, and never through a group."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.data.partition import divide_into_splits
from nasfuse.errors import DataError, DataWarning


def divide(labels, task="multiclass", *, splits=None, groups=None, val_fraction=0.15, number=0, **options):
    rows = divide_into_splits(
        "toy", labels, task, splits=splits, groups=groups, val_fraction=val_fraction, division=number, **options
    )
    return {part: index.numpy() for part, index in rows.items()}


def assert_is_partition(rows, n_samples):
    assert list(rows) == ["train", "val", "test"]
    assert np.array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(n_samples))
    assert all((np.diff(index) > 0).all() for index in rows.values())


@settings(max_examples=25)
@given(st.integers(2, 5), st.integers(60, 200), st.integers(0, 9))
def test_without_a_split_array_80_10_10_is_divided_stratified(n_classes, n_samples, seed):
    labels = np.sort(np.random.default_rng(seed).permutation(np.arange(n_samples) % n_classes))
    rows = divide(labels)
    assert_is_partition(rows, n_samples)
    for part, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        assert abs(len(rows[part]) - share * n_samples) <= 2
        counts = np.bincount(labels[rows[part]], minlength=n_classes)
        assert np.abs(counts - share * np.bincount(labels)).max() <= 2


def test_a_division_is_always_the_same():
    labels = np.arange(60) % 3
    first, second = divide(labels), divide(labels)
    assert all(np.array_equal(first[part], second[part]) for part in first)


WORDS = np.array(["train"] * 80 + ["test"] * 20)
WITH_VAL = np.array(["train"] * 64 + ["val"] * 16 + ["test"] * 20)


@pytest.mark.parametrize(
    "options",
    [{}, {"splits": WORDS}, {"groups": np.arange(100) // 2}, {"splits": WITH_VAL, "groups": np.arange(100) // 2}],
)
def test_other_divisions_change_train_and_val_and_leave_test(options):
    labels = np.arange(100) % 2
    divisions = [divide(labels, number=number, **options) for number in range(4)]
    for rows in divisions:
        assert_is_partition(rows, 100)
        assert np.array_equal(rows["test"], divisions[0]["test"])
        assert abs(len(rows["val"]) - len(divisions[0]["val"])) <= 2
        if "groups" in options:
            assert not set(rows["train"] // 2) & set(rows["val"] // 2)
    assert len({tuple(rows["val"]) for rows in divisions}) == 4


def test_a_val_that_the_file_names_is_the_same_in_every_division():
    rows = divide(np.arange(100) % 2, splits=WITH_VAL, number=3)
    assert all((WITH_VAL[index] == part).all() for part, index in rows.items())


@settings(max_examples=25)
@given(st.integers(0, 99), st.integers(10, 30), st.booleans())
def test_a_group_is_never_divided(seed, n_groups, with_splits):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.arange(120) % n_groups)
    splits = np.where(groups < n_groups // 3, "test", "train") if with_splits else None
    rows = divide(rng.integers(0, 2, 120), splits=splits, groups=groups)
    assert_is_partition(rows, 120)
    sides = [set(groups[index].tolist()) for index in rows.values()]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_given_splits_are_kept():
    splits = np.array(["train", "test", "val", "train"] * 5)
    rows = divide(np.arange(20) % 2, splits=splits)
    assert all((splits[index] == part).all() for part, index in rows.items())


def test_val_is_taken_from_train_where_the_file_has_none():
    splits = np.array(["train"] * 80 + ["test"] * 20)
    rows = divide(np.arange(100) % 2, splits=splits, val_fraction=0.25)
    assert_is_partition(rows, 100)
    assert len(rows["val"]) == 20
    assert rows["test"].tolist() == list(range(80, 100))


@pytest.mark.parametrize(("task", "labels"), [("regression", np.zeros((40, 1))), ("multilabel", np.zeros((40, 2)))])
def test_other_tasks_are_divided_without_strata(task, labels):
    assert_is_partition(divide(labels, task), 40)


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
            "the split array must contain train, val and test only, got 'dev' in row 2; correct it$",
        ),
        (
            np.arange(4) % 2,
            {"splits": np.array(["train", "val"] * 2)},
            "the test split is empty; mark some samples as 'test' in the split array$",
        ),
        (np.arange(4) % 2, {"splits": np.array(["val", "test"] * 2)}, "the train split is empty; mark some samples as"),
        (
            np.arange(2),
            {},
            "2 samples cannot be divided: no class has more than 2; name another target, or add samples$",
        ),
        (np.arange(30), {}, "30 samples cannot be divided: no class has more than 2; name"),
        (
            np.arange(20) % 2,
            {"groups": np.zeros(20)},
            "20 samples cannot be divided: every group contains all samples of a class; use another ",
        ),
    ],
)
def test_data_that_cannot_be_divided(labels, options, match):
    with pytest.raises(DataError, match=match):
        divide(labels, **options)


def shares_of_val(rows, labels):
    """Share of each class of train and val that is in val."""
    pool = np.concatenate([rows["train"], rows["val"]])
    return np.bincount(labels[rows["val"]], minlength=labels.max() + 1) / np.bincount(labels[pool])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("share", [0.02, 0.1, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("size", ["equal", "random"])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_groups_make_up_the_share_asked_for(share, size, task):
    rng = np.random.default_rng(0)
    sizes = np.full(200, 5) if size == "equal" else rng.integers(1, 20, 200)
    groups = np.repeat(np.arange(200), sizes)
    labels = rng.integers(0, 3, len(groups))
    splits = np.where(groups < 160, "train", "test")
    for number in range(3):
        rows = divide(
            labels if task == "multiclass" else labels[:, None] * 1.0,
            task,
            splits=splits,
            groups=groups,
            val_fraction=share,
            number=number,
        )
        given = len(rows["val"]) / (splits == "train").sum()
        assert abs(given - share) < 0.01
        if task == "multiclass":
            assert np.abs(shares_of_val(rows, labels) - share).max() < 0.03


def test_groups_of_one_class_each_are_stratified():
    groups = np.arange(400) // 4
    labels = (groups % 10 == 0).astype(int)  # ten groups of the rarer class
    rows = divide(labels, splits=np.where(groups < 90, "train", "test"), groups=groups, val_fraction=1 / 3)
    np.testing.assert_allclose(shares_of_val(rows, labels), 1 / 3, atol=0.03)


def test_a_share_that_groups_cannot_make_up_is_reported():
    groups = np.repeat(np.arange(3), 40)
    splits = np.array(["train"] * 100 + ["test"] * 20)
    groups[100:] = 3
    with pytest.warns(
        DataWarning, match=r"^toy: val has a share of 0\.2 instead of 0\.1, because groups are not divided$"
    ):
        rows = divide(np.arange(120) % 2, splits=splits, groups=groups, val_fraction=0.1)
    assert len(rows["val"]) == 20


def test_without_a_split_array_groups_make_up_80_10_10():
    groups = np.arange(300) // 5
    rows = divide(np.arange(300) % 3, groups=groups)
    assert [len(rows[part]) for part in ("train", "val", "test")] == [240, 30, 30]


@pytest.mark.parametrize("n_rare", [1, 2])
@pytest.mark.parametrize("splits", [None, np.array(["train"] * 250 + ["test"] * 50)], ids=["80/10/10", "val only"])
def test_a_class_too_rare_to_divide_stays_in_train(n_rare, splits):
    labels = np.arange(300) % 2
    labels[[7, 9][:n_rare]] = 2
    word = "sample" if n_rare == 1 else "samples"
    for number in (0, 1):
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            rows = divide(labels, splits=splits, number=number)
        assert [str(one.message) for one in noted] == [
            "toy: some classes have at most 2 samples each, too few to divide; all their samples stay in train: "
            f"class 2 ({n_rare} {word})"
        ] * (number == 0)
        assert_is_partition(rows, 300)
        assert (labels[rows["train"]] == 2).sum() == n_rare
        assert np.ptp(np.bincount(labels[rows["val"]])) <= 1


def test_warnings_name_classes():
    labels = np.arange(300) % 2
    labels[7] = 2
    with pytest.warns(DataWarning, match=r"stay in train: class elk \(1 sample\)$"):
        divide(labels, class_names=("cat", "dog", "elk"))


@pytest.mark.parametrize("seed", range(3))
def test_a_long_tail_of_classes(seed):
    """Classes of every size: all of them are trained, and the share is kept."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.concatenate([np.full(2**k, k) for k in range(10)]))
    with pytest.warns(DataWarning, match=r"class 0 \(1 sample\), 1 \(2 samples\)$"):
        rows = divide(labels)
    assert_is_partition(rows, 1023)
    assert set(labels[rows["train"]]) == set(range(10))
    assert abs(len(rows["val"]) - 102) <= 2


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.8])
def test_a_part_with_fewer_samples_than_classes(share):
    """50 classes of five samples: a part takes at most ceil(share * 5) of each, and train keeps one of each."""
    labels = np.random.default_rng(0).permutation(np.arange(300) % 60)
    splits = np.array(["train"] * 300)
    splits[:20] = "test"
    rows = divide(labels, splits=splits, val_fraction=share)
    assert_is_partition(rows, 300)
    assert set(labels[rows["train"]]) == set(range(60))
    assert abs(len(rows["val"]) / 280 - share) < 0.03
    assert np.bincount(labels[rows["val"]]).max() <= np.ceil(share * 5) + 1


def test_a_share_that_leaves_too_few_training_samples_is_reported():
    labels = np.arange(300) % 60
    splits = np.array(["train"] * 240 + ["test"] * 60)
    with pytest.warns(
        DataWarning, match=r"has a share of 0\.75 instead of 0\.95, because every class keeps samples in"
    ):
        rows = divide(labels, splits=splits, val_fraction=0.95)
    assert np.bincount(labels[rows["train"]]).min() == 1


def test_a_class_of_one_group_stays_in_train():
    groups = np.arange(300) // 5
    labels = np.arange(300) % 2
    labels[groups == 7] = 2
    with pytest.warns(
        DataWarning,
        match=r"^toy: some classes have all their samples in one group each, and groups are not divided; all their "
        r"samples stay in train: class 2 \(5 samples\)$",
    ):
        rows = divide(labels, groups=groups)
    assert (labels[rows["train"]] == 2).sum() == 5


def test_many_rare_classes_are_counted():
    labels = np.concatenate([np.zeros(50, int), np.arange(1, 31)])
    with pytest.warns(DataWarning, match=r"class 1 \(1 sample\), .*10 \(1 sample\) and 20 more$"):
        divide(labels)


def test_a_group_without_a_name_is_refused():
    """NaN equals no NaN, so a group of that name could not be kept whole."""
    groups = np.arange(100, dtype=float) // 5
    groups[7] = np.nan
    with pytest.raises(DataError, match="toy: the group array must be finite, got nan in row 7; name the group"):
        divide(np.arange(100) % 2, groups=groups)
