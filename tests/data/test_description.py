"""Raw data as a configuration describes them."""

import numpy as np
import pandas as pd
import pytest
import torch

from nasfuse.data.description import described_table
from nasfuse.data.sources.function import as_raw
from nasfuse.errors import DataError
from nasfuse.spec.data import DataConfig, expand_modalities
from nasfuse.testing import SourceSuite

N = 60


def frame(**changes):
    rng = np.random.default_rng(0)
    columns = {
        "price": rng.normal(size=N),
        "shop": ["north", "south", "west"] * (N // 3),
        "title": [f"a title {row % 7}" for row in range(N)],
        "y": ["yes", "no"] * (N // 2),
    }
    return pd.DataFrame({**columns, **changes})


def described(data, **changes):
    plain = {
        "source": "mine.csv",
        "modalities": {"table": {"kind": "table", "columns": ["price", "shop"]}, "title": "text"},
        **changes,
    }
    return described_table(as_raw(data, name="mine.csv"), DataConfig.parse(expand_modalities({"data": plain})["data"]))


class TestTable(SourceSuite):
    @pytest.fixture
    def load(self):
        raw = as_raw(frame())
        plain = {"source": "x", "modalities": {"t": {"kind": "table", "columns": ["price", "shop"]}, "title": "text"}}
        config = DataConfig.parse(expand_modalities({"data": plain})["data"])
        return lambda *, scales: described_table(raw, config, scales=scales)


def test_modalities_and_class_names():
    dataset = described(frame()).divided(0)
    assert [str(modality) for modality in dataset.modalities] == [
        "table: vector 4",
        "title: sequence 3, ids below 11",
    ]
    assert dataset.class_names == ("no", "yes")
    assert dataset.preprocessing.transforms.keys() == {"table", "title"}


@pytest.mark.parametrize(
    ("changes", "outside"),
    [({}, ["test"]), ({"validation": {"folds": 2}}, ["test"]), ({"split": "part"}, ["val", "test"])],
    ids=["divided", "folds", "fixed"],
)
def test_only_training_samples_are_fitted(changes, outside):
    data = frame(part=["train"] * 40 + ["val"] * 10 + ["test"] * 10)
    table = described(data, **changes)
    hidden = np.concatenate([table.rows[part].numpy() for part in outside])
    data["title"] = data["title"].astype(object)
    data.loc[hidden, "title"] = "unheard words"
    words = described(data, **changes).preprocessing.transforms["title"].vocabulary.words
    assert "unheard" not in words
    assert "title" in words


def test_words_of_val_are_known_where_val_changes():
    data = frame()
    table = described(data)
    data.loc[table.rows["val"].numpy(), "title"] = "unheard words"
    assert "unheard" in described(data).preprocessing.transforms["title"].vocabulary.words


def test_groups_and_splits_as_words():
    data = frame(patient=[f"p{row // 6}" for row in range(N)], split=["train"] * 48 + ["test"] * 12)
    dataset = described(data, group="patient").divided(0)
    assert len(dataset.test) == 12
    assert not set(dataset.train.groups.tolist()) & set(dataset.val.groups.tolist())


def test_other_words_for_val():
    data = frame(split=["train"] * 40 + ["dev"] * 5 + ["validation"] * 5 + ["test"] * 10)
    assert [len(described(data).rows[part]) for part in ("train", "val", "test")] == [40, 10, 10]


def test_regression_of_several_columns():
    data = frame(height=np.arange(N) * 1.0, width=np.arange(N) ** 2)
    dataset = described(data, target=["height", "width"], task="regression").divided(0)
    assert dataset.task.n_outputs == 2
    assert dataset.class_names == ("height", "width")
    assert dataset.train.targets.dtype == torch.float32


@pytest.mark.parametrize(
    ("data", "changes", "match"),
    [
        (frame(), {"modalities": {}}, r"^mine\.csv needs data\.modalities .* Columns: price, shop, title, y$"),
        (frame(), {"target": "z"}, r"^mine\.csv has no column 'z' \(data\.target\); Known: price, shop"),
        (frame(), {"modalities": {"photo": "image"}}, r"has no column 'photo' \(data\.modalities\.photo\)"),
        (
            frame(),
            {"modalities": {"shop": "vector"}},
            r"^column shop of mine\.csv holds no lists of numbers, so it is no",
        ),
        (frame(who=["a", None] * 30), {"group": "who"}, r"^column who of mine\.csv, row 1: the group is missing"),
        (frame(split=["train", ""] * 30), {}, r"the split array must contain train, val and test only, got ''"),
    ],
)
def test_refusals(data, changes, match):
    with pytest.raises(DataError, match=match):
        described(data, **changes)
