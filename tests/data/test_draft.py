"""What columns are taken for."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nasfuse.data.draft import draft_data, guess_kind, guess_task
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.function import as_raw
from nasfuse.errors import DataError
from nasfuse.spec.data import DataConfig

N = 40


def draft(target=None, **columns):
    return draft_data(as_raw(pd.DataFrame({"y": ["a", "b"] * (N // 2), **columns})), target=target)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(N) * 0.5, "number"),
        (["1", "2"] * (N // 2), "number"),
        ([True, None] * (N // 2), "number"),
        (["red", "blue"] * (N // 2), "category"),
        (["2026-01-01", "2026-02-01"] * (N // 2), "date"),
        (pd.date_range("2026-01-01", periods=N), "date"),
        ([f"a chair of kind {row}" for row in range(N)], "text"),
        ([f"{'ab'[row % 2]} {'efg'[row % 3]} chair" for row in range(N)], "category"),  # 6 values of 6 words
        ([f"{'abcd'[row % 4]} {'efg'[row % 3]} chair" for row in range(N)], "text"),  # 12 values of 8 words
        (["owner with mortgage", "no fixed abode"] * (N // 2), "category"),
        ([f"p/{row}.JPG" for row in range(N)], "image_files"),
        ([f"{row}.flac" for row in range(N)], "audio_files"),
        ([f"{row}.npy" for row in range(N)], "array_files"),
        ([[1.0, 2.0]] * N, "vector"),
        ([np.zeros((row % 3 + 1, 2)) for row in range(N)], "sequence"),
        ([np.zeros((2, 2, 3))] * N, "image"),
        ([f"A{row}" for row in range(N)], "none"),
        ([[]] * N, "none"),
        ([["a", "b"], ["c"]] * (N // 2), "none"),
        ([np.zeros((row % 3 + 1, 2, 3)) for row in range(N)], "none"),
        (pd.to_timedelta(np.arange(N) % 7, unit="s"), "number"),
    ],
)
def test_kinds(values, expected):
    assert guess_kind(as_raw(pd.DataFrame({"x": values})), "x")[0] == expected


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("currency", ["EUR"] * N, r"it is constant \(EUR\)"),
        ("empty", [None] * N, "all values are missing"),
        ("product_id", np.random.default_rng(0).permutation(10**6)[:N], "its name and its values identify rows"),
        ("row", np.arange(N) + 7, "it numbers the rows"),
        ("Unnamed: 0", np.arange(N), "its name and its values identify rows"),
        ("code", [f"A{row}" for row in range(N)], "40 different values in 40 rows, so it identifies rows"),
        ("asked", [f"{row}.50 EUR" for row in range(N)], r"numbers with 'EUR', such as '0\.50 EUR': write them alone"),
        (
            "paid",
            [f"$1,{row:03}.00" for row in range(N)],
            r"numbers with '\$', such as '\$1,000\.00': write them alone",
        ),
        ("height", [f"{row}cm" for row in range(N)], "numbers with 'cm', such as '0cm': write them alone"),
        ("wave", np.arange(N) * 1j, "its type complex128 is not supported"),
        (
            "size",
            [f"{row}.5" if row != 7 else "unknown" for row in range(N)],
            "39 of 40 values are numbers; row 7 is 'unknown': correct it or leave it empty",
        ),
        (
            "since",
            ["", *["31.01.2024"] * (N - 2), "soon"],
            "38 of 39 values are dates; row 39 is 'soon': correct it or leave it empty",
        ),
        ("blank", np.zeros((N, 3)).tolist(), "it is constant"),
    ],
)
def test_what_is_left_out(name, values, reason):
    found = draft(price=np.random.default_rng(1).normal(size=N), **{name: values})
    assert list(found.modalities) == ["table"]
    assert found.left_out.keys() == {name}
    assert re.fullmatch(reason, found.left_out[name])


def test_columns_of_numbers_and_categories_are_one_table():
    found = draft(
        price=np.arange(N) * 0.3, shop=["n", "s"] * (N // 2), **{"two words": [f"a b {row}" for row in range(N)]}
    )
    assert found.modalities == {
        "table": {"kind": "table", "columns": {"price": "number", "shop": "category"}},
        "two_words": {"kind": "text", "column": "two words"},
    }
    DataConfig.parse({"source": "x", "modalities": found.modalities})


@pytest.mark.parametrize(
    ("targets", "classes"),
    [([0, 2], ("0", "2")), ([-1, 0, 1, 0], ("-1", "0", "1")), ([1, 2], None), ([0, 1], None), (["a", "b"], None)],
)
def test_whole_numbers_that_need_a_list_of_classes(targets, classes):
    frame = pd.DataFrame({"x": np.arange(N) * 0.3, "y": targets * (N // len(targets))})
    assert draft_data(as_raw(frame)).classes == classes


def test_identifiers_that_repeat_are_categories():
    assert draft(store_id=np.arange(N) % 7).modalities["table"]["columns"] == {"store_id": "category"}


def test_ids_in_lists_and_kinds_of_files(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 2)))
    columns = {
        "words": as_raw({"x": [[1, 2], [3], [0, 4, 1]]}).columns["x"],
        "track": np.array(["gone.npy", "a.npy", "a.npy"], dtype=object),
        "y": np.array(["a", "b", "a"], dtype=object),
    }
    found = draft_data(RawTable("t", "t.csv", columns, 3, tmp_path))
    assert found.modalities == {
        "words": {"kind": "sequence", "array": "words", "vocabulary": 5},
        "track": {"kind": "array_files", "column": "track", "contents": "sequence"},
    }


def test_splits_and_groups():
    rows = {"split": ["train"] * 30 + ["test"] * 10, "patient_id": [f"p{row // 4}" for row in range(N)]}
    found = draft(price=np.arange(N) * 0.3, **rows)
    assert (found.split, found.group) == ("split", None)  # some patients are in train and in test
    rows["patient_id"] = [f"p{row // 5}" for row in range(N)]
    found = draft(price=np.arange(N) * 0.3, **rows)
    assert (found.split, found.group) == ("split", "patient_id")
    assert found.left_out == {}


@pytest.mark.parametrize(
    ("targets", "task"),
    [
        (np.array(["a", "b"]), "multiclass"),
        (np.array([True, False]), "multiclass"),
        (np.arange(20.0), "multiclass"),
        (np.arange(50), "regression"),
        (np.arange(5000) % 60, "multiclass"),
        (np.array([0.5, np.nan]), "regression"),
        (np.eye(3), "multiclass"),
        (np.ones((2, 3)), "multilabel"),
        (np.array([[0.5, 1.0]]), "regression"),
    ],
)
def test_tasks(targets, task):
    assert guess_task(targets)[0] == task


def test_the_target_is_found_by_name():
    frame = pd.DataFrame({"Label": ["a", "b"] * 20, "y": np.arange(40) * 0.5})
    assert draft_data(as_raw(frame)).target == "Label"
    assert draft_data(as_raw(frame), target="y").task == "regression"
    with pytest.raises(
        DataError, match=r"^data has no column called target, label, class, y or labels; name the target "
    ):
        draft_data(as_raw(frame.rename(columns={"Label": "kind", "y": "price"})))
    with pytest.raises(DataError, match=r"^data has no column 'lable' \(--target\); did you mean 'Label'"):
        draft_data(as_raw(frame), target="lable")


@pytest.mark.parametrize("targets", [np.array(3), np.zeros((0, 2))])
def test_a_target_without_rows(targets):
    with pytest.raises(DataError, match=r"^array y of t\.npz must hold one target per row, got shape \((0, 2)?\)"):
        draft_data(RawTable("t", "t.npz", {"x": np.zeros((3, 2)), "y": targets}, None))


def test_nothing_to_predict_from():
    with pytest.raises(
        DataError, match=r"has no column from which y could be predicted \(currency: it is constant \(EUR\)\)"
    ):
        draft(currency=["EUR"] * N)


def test_arrays_of_a_file():
    arrays = {"x": np.random.default_rng(0).normal(size=(N, 3)), "y": np.arange(N) % 2, "who": np.arange(7)}
    found = draft_data(RawTable("t", "t.npz", arrays, None))
    assert (found.modalities, found.task) == ({"x": "vector"}, "multiclass")
    assert found.left_out == {"who": f"int64 of shape (7,), which is not a row for each of the {N} of y"}
    alone = {"x": arrays["x"][:5], "y": arrays["y"]}
    with pytest.raises(DataError, match=rf"x: float64 of shape \(5, 3\), which is not a row for each of the {N} of y"):
        draft_data(RawTable("t", "t.npz", alone, None))


@pytest.mark.parametrize(
    ("height", "weight", "task", "note"),
    [
        (np.arange(N) / 3, np.arange(N), "regression", "2 real numbers"),
        (np.arange(N) % 2, np.arange(N) % 3 == 0, "multilabel", "2 labels"),
        (np.arange(N) % 2, (np.arange(N) + 1) % 2, "multiclass", "one-hot rows of 2 classes"),
        (np.arange(N) / 3, [None, *range(N - 1)], "regression", "2 real numbers; 1 of 40 rows have no label: remove t"),
    ],
)
def test_several_targets(height, weight, task, note):
    found = draft(["height", "weight"], height=height, weight=weight, size=np.arange(N) * 0.7)
    assert (found.target, found.task, found.classes) == (("height", "weight"), task, None)
    assert found.notes["height"].startswith(note)
    assert found.modalities["table"]["columns"] == {"y": "category", "size": "number"}
    assert draft(["size"], size=np.arange(N) * 0.7).target == "size"


@pytest.mark.parametrize(
    ("target", "match"),
    [
        ([], r"^target must be the name of a column, or a list of such names, got \[\]$"),
        (["x", 3], r"^target must be the name of a column, or a list of such names, got \['x', 3\]$"),
        (["x", "y"], r"^column y of data must hold one number or boolean per row to be one of several targets, got"),
        (["x", "z"], r"^data has no column 'z' \(--target\)"),
        (["x", "w"], r"^data has no row with all of x, w; name other ones$"),
    ],
)
def test_several_targets_that_cannot_be_used(target, match):
    half = np.where(np.arange(N) % 2, np.nan, 1.0)
    with pytest.raises(DataError, match=match):
        draft(target, x=half, w=np.where(np.isnan(half), 1.0, np.nan))


def test_several_targets_with_other_rows():
    arrays = {"x": np.zeros((3, 2)), "a": np.zeros(3), "b": np.zeros(4)}
    with pytest.raises(DataError, match=r"^array b of t\.npz has 4 rows and a has 3; targets must have the same rows$"):
        draft_data(RawTable("t", "t.npz", arrays, None), target=["a", "b"])


def test_images_in_folders(tmp_path):
    from nasfuse.data.sources.folder import read_folder

    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for row in range(3):
            Image.new("RGB", (3, 3)).save(tmp_path / kind / f"{row}.png")
    found = draft_data(read_folder(tmp_path))
    assert found.modalities == {"image": {"kind": "image_files", "column": "image"}}
    assert found.target == "y"


@pytest.mark.parametrize(("labels", "why"), [(["a", "b"], "2 classes"), ([0.5, 1.5], "real numbers")])
def test_rows_without_a_label_are_no_class(labels, why):
    frame = pd.DataFrame({"x": np.arange(N) * 0.3, "y": [None, *(labels * N)[: N - 1]]})
    found = draft_data(as_raw(frame))
    assert found.notes["y"] == f"{why}; 1 of 40 rows have no label: remove these rows"
    with pytest.raises(DataError, match=r"column y of .* has no value; name another one"):
        draft_data(as_raw(frame.assign(y=None)))
