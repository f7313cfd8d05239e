"""Folders in the layout of MOGONET."""

import numpy as np
import pytest

from nasfuse.data.sources.registry import load_raw, load_table
from nasfuse.errors import DataError
from nasfuse.spec.data import DataConfig


@pytest.fixture
def folder(tmp_path):
    """Two views of 12 training and 4 test samples, written as the authors do: `%.18e`, labels as floats."""
    for part, n_rows in {"tr": 12, "te": 4}.items():
        for view, width in {1: 3, 2: 2}.items():
            values = np.arange(n_rows * width).reshape(n_rows, width) / 7 + view
            np.savetxt(tmp_path / f"{view}_{part}.csv", values, delimiter=",")
        np.savetxt(tmp_path / f"labels_{part}.csv", np.arange(n_rows) % 2, delimiter=",")
    (tmp_path / "1_featname.csv").write_text("ENSG1|A\nENSG2|B\nENSG3|C\n")
    return tmp_path


def test_views_labels_and_splits(folder):
    raw = load_raw(str(folder))
    assert raw.columns.keys() == {"view1", "view2", "labels", "split"}
    assert raw.columns["view1"].shape == (16, 3)
    assert raw.columns["view2"][12].tolist() == [2.0, 1 / 7 + 2]
    assert raw.columns["split"].tolist() == ["train"] * 12 + ["test"] * 4
    modalities = {"view1": {"kind": "vector"}, "view2": {"kind": "vector"}}
    config = {"source": str(folder), "modalities": modalities, "target": "labels", "val_fraction": 0.25}
    dataset = load_table(DataConfig.parse(config)).divided(0)
    assert [len(dataset.split(part)) for part in ("train", "val", "test")] == [9, 3, 4]
    assert dataset.task.n_outputs == 2


@pytest.mark.parametrize(
    ("file", "text", "match"),
    [
        ("2_te.csv", None, r" has no 2_te\.csv, which the layout of MOGONET needs; add it \(some copies of BRCA lack"),
        ("labels_te.csv", None, r" has no labels_te\.csv, which the layout of MOGONET needs"),
        ("labels_te.csv", "0\n1\n0\n", r"1_te\.csv has 4 rows and labels_te\.csv 3; align them$"),
        ("labels_te.csv", "0,1\n" * 4, r"labels_te\.csv must have one column, got 2; correct it$"),
        (
            "1_te.csv",
            "1,2\n" * 4,
            r"array view1 must have rows of one shape, got \(3,\) in train, \(2,\) in test; align",
        ),
        (
            "1_te.csv",
            "1,2,3\n1,x,3\n1,2,3\n1,2,3\n",
            r"1_te\.csv: row 1, column 1 must be a finite number, got 'x'; corr",
        ),
        (
            "1_te.csv",
            "1,2,3\n1,2,3\n1,2,\n1,2,3\n",
            r"1_te\.csv: row 2, column 2 must be a finite number, got 'nan'; corr",
        ),
        (
            "1_te.csv",
            "1,2,3\n1,2,3,4\n",
            r"1_te\.csv is no table of numbers: Expected 3 fields in line 2, saw 4; correct",
        ),
        ("1_te.csv", "", r"1_te\.csv is no table of numbers: No columns to parse from file; correct the file$"),
    ],
)
def test_what_is_wrong_is_named(folder, file, text, match):
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)
    with pytest.raises(DataError, match=match):
        load_raw(str(folder))


def test_labels_alone_are_no_data(tmp_path):
    (tmp_path / "labels_tr.csv").write_text("0\n")
    with pytest.raises(DataError, match=r"has labels and no view 1_tr\.csv; add the files of the views$"):
        load_raw(str(tmp_path))
