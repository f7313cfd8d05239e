"""Findings about a data set."""

import numpy as np
import pandas as pd
import pytest

from nasfuse.data.audit import audit
from nasfuse.data.description import described_table
from nasfuse.data.sources.digits import load_digits
from nasfuse.data.sources.function import as_raw
from nasfuse.data.sources.registry import divided
from nasfuse.spec.data import DataConfig, expand_modalities

N = 120


def findings(target="y", task="multiclass", *, metric="accuracy", **changes):
    rng = np.random.default_rng(0)
    columns = {
        "price": rng.normal(size=N),
        "shop": rng.choice(["n", "s", "w"], N),
        "y": ["a", "b"] * (N // 2),
        **changes,
    }
    options = {"validation": columns.pop("validation", None)}
    raw = as_raw(pd.DataFrame(columns))
    targets = (target,) if isinstance(target, str) else target
    used = [name for name in columns if name not in (*targets, "split")]
    plain = {"source": "x", "modalities": {"t": {"kind": "table", "columns": used}}, "target": target, "task": task}
    config = DataConfig.parse(expand_modalities({"data": {**plain, **options}})["data"])
    dataset = divided(described_table(raw, config), config, division=0)
    return audit(dataset, raw=raw, config=config, metric=metric)


def test_good_data_have_no_findings():
    assert findings() == []
    assert audit(load_digits(), raw=None, config=DataConfig(source="digits")) == []


def test_a_metric_that_sees_rare_classes_is_not_advised_again():
    (finding,) = findings(y=["a"] * 100 + ["b"] * 20, metric="macro_f1")
    assert finding == "the classes have from 18 (b) to 90 (a) samples outside test"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"y": ["a"] * 100 + ["b"] * 20},
            "the classes have from 18 (b) to 90 (a) samples outside test; accuracy hides rare classes, so consider "
            "metric: macro_f1",
        ),
        (
            {"y": ["a"] * 60 + ["b"] * 55 + ["c"] * 5, "validation": {"folds": 10}},
            "1 class with fewer samples than the 10 folds: c",
        ),
        ({"price": [np.nan] * 12 + [0.1 * row for row in range(108)]}, "column price: 12 values are missing (10 %)"),
        ({"unit": ["cm"] * N}, "modality t: 1 of 5 features is constant in train"),
        (
            {"kind": ["x", "z"] * (N // 2)},
            "column kind has a value of its own for every value of y, so it may be the target in other words; remove "
            "it if it is not known when a prediction is needed",
        ),
        (
            {"shop": ["East", "east"] * (N // 4) + ["West"] * (N // 2)},
            "column shop of data: categories that differ only in case or spaces are different ones: 'East' (30 rows) "
            "and 'east' (30 rows); write them alike if they mean the same",
        ),
    ],
    ids=["imbalance", "folds", "missing", "constant", "leak", "spellings"],
)
def test_findings(changes, expected):
    assert expected in findings(**changes)


def test_samples_in_two_splits_are_counted():
    split = ["train"] * 80 + ["val"] * 20 + ["test"] * 20
    price = np.random.default_rng(0).normal(size=N)
    price[100:110] = price[:10]
    shop = np.random.default_rng(1).choice(["n", "s"], N)
    shop[100:110] = shop[:10]
    assert findings(split=split, price=price, shop=shop) == [
        "10 of 20 samples of test are equal to samples of train or val in all modalities, so that memorising them is "
        "rewarded; remove them, or name a group"
    ]


def test_a_column_with_the_number_to_predict():
    weight = np.random.default_rng(1).normal(size=N)
    (found,) = findings(
        target="weight", task="regression", weight=weight, grams=1000 * weight, y=["a"] * 60 + ["b"] * 60
    )
    assert found.startswith("column grams has a value of its own for every value of weight")


def test_a_column_with_one_of_several_numbers_to_predict():
    weight, height = np.random.default_rng(1).normal(size=(2, N))
    config = {"target": ("height", "weight"), "task": "regression"}
    (found,) = findings(**config, weight=weight, height=height, grams=1000 * weight, y=["a"] * 60 + ["b"] * 60)
    assert found.startswith("column grams has a value of its own for every value of weight")


def test_samples_that_lack_a_modality_are_told_once():
    """Here, or by a warning when they were read, which names the first row."""
    values = np.random.default_rng(0).normal(size=(N, 3))
    values[:30] = np.nan
    raw = as_raw({"v": values, "y": np.arange(N) % 2})
    config = DataConfig.parse(expand_modalities({"data": {"source": "x", "modalities": {"v": "vector"}}})["data"])
    dataset = divided(described_table(raw, config), config, division=0)
    assert "modality v is missing in 30 of 120 samples (25 %)" in audit(dataset, raw=raw, config=config)
    assert not any("missing" in one for one in audit(dataset, raw=raw, config=config, told_missing={"v"}))
