"""Commented studies for data that nobody has described."""

import numpy as np
import pandas as pd
import pytest
import yaml

from nasfuse.data.draft import draft_data
from nasfuse.data.sources.function import as_raw
from nasfuse.experiment.study_draft import study_text
from nasfuse.spec.study import StudyConfig

N = 60


def text(n_rows=N, target=None, **columns):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"price: €": rng.normal(size=n_rows), "shop": ["n", "s"] * (n_rows // 2), "id": np.arange(n_rows), **columns}
    )
    raw = as_raw(frame if "y" in frame else frame.assign(y=["yes", "no"] * (n_rows // 2)), name="mine.csv")
    return study_text(raw, draft_data(raw, target=target), name="mine", source="mine.csv")


def test_the_study_is_valid_and_says_what_was_assumed(tmp_path):
    (tmp_path / "mine.yaml").write_text(text(), encoding="utf-8")
    study = StudyConfig.load(tmp_path / "mine.yaml")
    assert study.data.modalities["table"].columns == {"price: €": "number", "shop": "category"}
    assert study.metric == "accuracy"
    assert study.data.validation.folds == 5
    found = text()
    assert "  # left out:\n  #   id: its name and its values identify rows\n" in found
    assert "  # no column split with train, val and test: rows are divided 80/10/10\n" in found
    assert "        shop: category  # 2 categories\n" in found


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"y": ["a"] * 50 + ["b"] * 10}, "metric: macro_f1  # the classes have from 10 to 50 samples"),
        ({"y": np.random.default_rng(0).normal(size=N)}, "metric: r2  # share of the variance"),
        ({"title": [f"a text of {row} words" for row in range(N)]}, "    title: text  # 5 words on average\n"),
        (
            {"two words": [f"a b {row}" for row in range(N)]},
            "    two_words: {kind: text, column: two words}  # 3 words",
        ),
        ({"split": ["train"] * 40 + ["test"] * 20}, "  split: split\n  validation: {folds: 5}"),
        ({"split": ["train", "dev", "test"] * 20}, "  split: split\n  # left out:"),
        ({"a\nb: 1": ["x", "y", "z"] * 20}, '        "a\\nb: 1": category  # 3 categories\n'),
        ({"y": [-1, 0, 1] * 20}, "  classes: ['-1', '0', '1']  # in this order\n"),
        ({"patient": [f"p{row // 4}" for row in range(N)]}, "  group: patient  # rows of one group are never divided"),
    ],
)
def test_lines(columns, expected):
    found = text(**columns)
    assert expected in found
    assert StudyConfig.parse({**yaml.safe_load(found), "space": {"fields": {"training.lr": {"choices": [0.01, 0.02]}}}})


@pytest.mark.parametrize(
    ("cat", "expected"),
    [
        (np.arange(N) / 7, "  target: [cat, dog]  # 2 real numbers\n  task: regression\n"),
        (np.arange(N) % 3 == 0, "  target: [cat, dog]  # 2 labels\n  task: multilabel\n"),
        ([None, None, *[1, 0] * 29], "metric: accuracy  # the classes have from 29 to 29 samples\n"),
    ],
)
def test_several_targets(cat, expected):
    found = text(target=["cat", "dog"], cat=cat, dog=[0, 1] * (N // 2))
    assert expected in found
    assert yaml.safe_load(found)["data"]["target"] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("column", "entry"), [("colour", "text"), ("two words", {"kind": "text", "column": "two words"})]
)
def test_a_category_can_be_read_as_text(column, entry):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"price": rng.normal(size=N), "shop_id": [1, 2, 3] * 20, column: ["dark red", "blue"] * 30})
    raw = as_raw(frame.assign(y=["yes", "no"] * 30), name="mine.csv")
    found = study_text(raw, draft_data(raw), name="mine", source="mine.csv")
    hint = found.partition("  # to read a category as text, ")[2].splitlines()[1]
    modality = yaml.safe_load(hint.removeprefix("  #   "))
    assert list(modality.values()) == [entry]
    study = yaml.safe_load(found)
    del study["data"]["modalities"]["table"]["columns"][column]
    study["data"]["modalities"] |= modality
    assert StudyConfig.parse({**study, "space": {"fields": {"training.lr": {"choices": [0.01, 0.02]}}}})


def test_numbers_that_name_something_are_no_texts():
    frame = pd.DataFrame({"price": np.random.default_rng(0).normal(size=N), "shop_id": [1, 2, 3] * 20})
    raw = as_raw(frame.assign(y=["yes", "no"] * 30), name="mine.csv")
    assert "as text" not in study_text(raw, draft_data(raw), name="mine", source="mine.csv")


def test_a_frozen_encoder_can_be_taken_instead():
    found = text(
        title=[f"a text of {row} words" for row in range(N)], **{"two words": [f"a b {row}" for row in range(N)]}
    )
    title, *lines, after = found.partition("  # with a pretrained encoder")[2].splitlines()[:4]
    assert title.endswith("(docs/data.md, Frozen encoders):")
    assert not after.startswith("  #   ")
    modalities = yaml.safe_load("\n".join(line.removeprefix("  #   ") for line in lines))
    assert modalities == {
        "title": {"kind": "text_features", "folder": "FOLDER"},
        "two_words": {"kind": "text_features", "column": "two words", "folder": "FOLDER"},
    }
    study = yaml.safe_load(found)
    study["data"]["modalities"] |= modalities
    assert StudyConfig.parse({**study, "space": {"fields": {"training.lr": {"choices": [0.01, 0.02]}}}})


def test_data_without_texts_and_images_have_no_frozen_encoder():
    assert "Frozen encoders" not in text()


def test_large_data_are_not_cross_validated():
    assert "validation" not in text(1200)


def test_the_metric_ignores_rows_without_a_label():
    found = text(y=["a"] * 30 + ["b"] * 28 + [None, ""])
    assert "metric: accuracy  # the classes have from 28 to 30 samples\n" in found
    assert "# 2 classes; 2 of 60 rows have no label: remove these rows\n" in found
