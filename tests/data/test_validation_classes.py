"""Validation samples of one class."""

import numpy as np
import pytest

from nasfuse.data.arrays import build_table
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.sources.registry import divided
from nasfuse.data.validation_classes import check_validation_classes
from nasfuse.errors import DataError
from nasfuse.spec.data import DataConfig

N = 100


def check(targets, *, task="multiclass", splits=None, groups=None, folds=None):
    values = np.random.default_rng(0).normal(size=(N, 2))
    modalities = {"v": ModalityArrays("vector", values)}
    table = build_table("toy", modalities, targets=np.array(targets), task=task, splits=splits, groups=groups)
    config = DataConfig.parse({"source": "x", "validation": None if folds is None else {"folds": folds}})
    check_validation_classes(lambda number: divided(table, config, division=number), config)


@pytest.mark.filterwarnings("ignore:toy. some classes have")
@pytest.mark.parametrize("groups", [None, np.arange(N) // 4])
@pytest.mark.parametrize("folds", [None, 5])
def test_a_class_that_stays_in_train_as_a_whole(folds, groups):
    match = (
        r"^toy: validation has \d+ samples of class a and none of another one, so no network can be better than a "
        r"constant prediction; add samples of other classes, or correct the split$"
    )
    with pytest.raises(DataError, match=match):
        check(["a"] * (N - 1) + ["b"], folds=folds, groups=groups)
    check(["a", "b"] * (N // 2), folds=folds, groups=groups)


def test_a_split_of_the_file():
    splits = np.array(["train"] * 60 + ["val"] * 20 + ["test"] * 20)
    with pytest.raises(DataError, match=r"^toy: validation has 20 samples of class 1 and none of another one"):
        check([0] * 30 + [1] * 70, splits=splits)


def test_a_class_of_which_some_folds_have_no_sample():
    check(["a"] * (N - 3) + ["b"] * 3, folds=5)


def test_other_tasks():
    check(np.arange(N) / 3, task="regression")
    check(np.eye(N)[:, :2], task="multilabel")
