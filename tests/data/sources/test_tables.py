"""Tables of every kind of file: the same columns, whatever the file; what is wrong is told in one sentence."""

import sys

import numpy as np
import pandas as pd
import pytest

from nasfuse.data.sources.frame import raw_of_frame
from nasfuse.data.sources.function import as_raw, raw_of_function
from nasfuse.data.sources.registry import READERS, load_raw
from nasfuse.errors import DataError, MissingFileError

FRAME = pd.DataFrame(
    {
        "price": [1.5, None, 3.0],
        "count": [1, 2, 3],
        "is_new": [True, False, True],
        "größe": ["klein", None, "groß, breit"],
    }
)
LISTS = FRAME.assign(
    values=[[1.0, 2.0]] * 3, steps=[[1], [], [1, 2]], pixels=[[[[1, 2, 3]], [[4, 5, 6]]]] * 3, odd=[[[1], [1, 2]]] * 3
)

WRITERS = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, sep="\t", index=False),
    ".parquet": lambda frame, path: frame.to_parquet(path),
    ".feather": lambda frame, path: frame.to_feather(path),
    ".arrow": lambda frame, path: frame.to_feather(path),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True, force_ascii=False),
}
WITH_LISTS = [".parquet", ".feather", ".jsonl"]


def test_every_kind_of_table_is_tested():
    assert READERS.keys() == WRITERS.keys() | {".npz", ".h5", ".hdf5", ".pkl", ".pickle"}


class TestSeparatedValues:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (["00012", "10115"], ["00012", "10115"]),
            (["007", ""], ["007", None]),
            (["0", "12"], [0, 12]),
            (["0.5", "12"], [0.5, 12.0]),
            (["-1", "12"], [-1, 12]),
        ],
    )
    def test_whole_numbers_that_begin_with_0_stay_text(self, tmp_path, values, expected):
        (tmp_path / "mine.csv").write_text("code,n\n" + "".join(f"{value},1\n" for value in values))
        assert load_raw(str(tmp_path / "mine.csv")).columns["code"].tolist() == expected

    @pytest.mark.parametrize(("ending", "separator"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
    def test_two_columns_of_one_name(self, tmp_path, ending, separator):
        lines = [["price", "shop", "price"], ["1", "2", "3"]]
        (tmp_path / f"mine{ending}").write_text("\n".join(separator.join(line) for line in lines))
        with pytest.raises(
            DataError, match=r"mine\.\w+ has several columns called 'price'; give them different names$"
        ):
            load_raw(str(tmp_path / f"mine{ending}"))


@pytest.mark.parametrize("ending", WRITERS)
class TestTables:
    def test_columns(self, tmp_path, ending):
        WRITERS[ending](FRAME, tmp_path / f"mine{ending}")
        raw = load_raw(str(tmp_path / f"mine{ending}"))
        assert (raw.name, raw.origin, raw.n_rows, raw.folder) == ("mine", f"mine{ending}", 3, tmp_path)
        assert raw.columns["price"].tolist()[::2] == [1.5, 3.0]
        assert np.isnan(raw.columns["price"][1])
        assert raw.columns["count"].tolist() == [1, 2, 3]
        assert raw.columns["is_new"].dtype == bool
        assert raw.columns["größe"].tolist() == ["klein", None, "groß, breit"]

    def test_a_damaged_file(self, tmp_path, ending):
        path = tmp_path / f"bad{ending}"
        path.write_bytes(b'{"a": 1\n\x81\xff,,"\n')
        with pytest.raises(
            DataError, match=r"bad\.\w+ is no(t UTF-8 text| .*that can be read:) .+; (save|write|correct)"
        ):
            load_raw(str(path))

    def test_an_empty_file(self, tmp_path, ending):
        (tmp_path / f"empty{ending}").write_bytes(b"")
        with pytest.raises(DataError, match=rf"empty\{ending} is empty; write "):
            load_raw(str(tmp_path / f"empty{ending}"))

    def test_a_table_without_rows(self, tmp_path, ending):
        WRITERS[ending](FRAME[:0], tmp_path / f"none{ending}")
        with pytest.raises(DataError, match=r"none\.\w+ has no rows; give at least one"):
            load_raw(str(tmp_path / f"none{ending}"))


@pytest.mark.parametrize("ending", WITH_LISTS)
def test_lists_in_cells(tmp_path, ending):
    WRITERS[ending](LISTS, tmp_path / f"mine{ending}")
    columns = load_raw(str(tmp_path / f"mine{ending}")).columns
    assert columns["values"].tolist() == [[1.0, 2.0]] * 3
    assert [cell.tolist() for cell in columns["steps"]] == [[1], [], [1, 2]]
    assert columns["pixels"].shape == (3, 2, 1, 3)
    assert [cell.tolist() for cell in columns["odd"]] == [[None]] * 3


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,2\n3,4,5\n", r"bad\.csv is no table that can be read: Expected 2 fields in line 3, saw 3; correct"),
        (
            'a,b\n1,"2\n',
            r"bad\.csv is no table that can be read: .*EOF inside string starting at row 1; correct the file",
        ),
    ],
)
def test_damaged_lines_are_named(tmp_path, text, match):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(DataError, match=match):
        load_raw(str(tmp_path / "bad.csv"))


def test_semicolons_and_a_byte_order_mark(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffgröße;y\n1,5;a\n2;b\n".encode())
    columns = load_raw(str(tmp_path / "a.csv")).columns
    assert list(columns) == ["größe", "y"]
    assert columns["größe"].tolist() == [1.5, 2.0]


def test_types_of_data_frames():
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None], dtype="Int64"),
            "full": pd.array([1, 2], dtype="Int64"),
            "level": pd.Categorical(["low", "high"]),
            "when": pd.to_datetime(["2026-01-01T12:00+02:00", "2026-01-02T12:00+02:00"]),
            "half": np.array([1, 2], np.float16),
            "matrix": [np.eye(2), np.ones((2, 2))],
        }
    )
    columns = raw_of_frame(frame, name="d", origin="d", folder=None).columns
    assert np.isnan(columns["whole"][1])
    assert columns["full"].dtype == np.int64
    assert columns["level"].tolist() == ["low", "high"]
    assert columns["when"].astype("datetime64[h]").astype(str).tolist() == ["2026-01-01T10", "2026-01-02T10"]
    assert columns["half"].dtype == np.float16
    assert columns["matrix"].shape == (2, 2, 2)


def test_two_columns_of_one_name():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(DataError, match=r"^d has two columns 'a'; rename one$"):
        raw_of_frame(frame, name="d", origin="d", folder=None)


class TestObjects:
    def test_a_mapping_of_arrays(self):
        raw = as_raw({"x": np.zeros((3, 2)), "y": ["a", "b", "a"], "z": [1, None, 2]})
        assert raw.n_rows == 3
        assert raw.columns["x"].shape == (3, 2)
        assert raw.columns["y"].tolist() == ["a", "b", "a"]
        assert raw.columns["z"].tolist()[::2] == [1.0, 2.0]
        assert as_raw({"x": np.zeros((3, 2)), "which": np.zeros(5, int)}).n_rows is None

    def test_samples_of_a_torch_data_set(self):
        import torch
        from torch.utils.data import Dataset

        class Samples(Dataset):
            def __len__(self):
                return 4

            def __getitem__(self, index):
                return {"x": torch.full((2,), float(index)), "label": "ab"[index % 2], "n": index}

        raw = as_raw(Samples())
        assert raw.columns["x"].tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
        assert raw.columns["label"].tolist() == ["a", "b", "a", "b"]
        assert raw.columns["n"].tolist() == [0, 1, 2, 3]

    def test_samples_as_tuples(self):
        from PIL import Image

        raw = as_raw([(Image.new("RGB", (2, 3)), kind) for kind in (0, 1, 0)])
        assert raw.columns["x"].shape == (3, 3, 2, 3)
        assert raw.columns["y"].tolist() == [0, 1, 0]
        assert as_raw([(1.0, 2.0, "a")]).columns.keys() == {"x0", "x1", "y"}

    @pytest.mark.parametrize("data", [3, "text", np.zeros(3), None, [1, 2]])
    def test_other_objects(self, data):
        with pytest.raises(
            DataError, match=r"^data must be a pandas DataFrame, a mapping from names to arrays, or a seq"
        ):
            as_raw(data)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({}, "^data names no array; give at least one$"),
            ([], "^data has no rows; give at least one$"),
            ({"x": np.zeros(0), "y": []}, "^data has no rows; give at least one$"),
        ],
    )
    def test_nothing(self, data, message):
        with pytest.raises(DataError, match=message):
            as_raw(data)


class TestFunctions:
    def test_of_a_file(self, tmp_path):
        (tmp_path / "mine.py").write_text("def load():\n    return {'x': [1.0, 2.0], 'y': ['a', 'b']}\n")
        raw = load_raw(f"{tmp_path}/mine.py:load")
        assert (raw.name, raw.folder) == ("mine", tmp_path)
        assert raw.columns["x"].tolist() == [1.0, 2.0]

    def test_of_a_module(self, tmp_path, monkeypatch):
        (tmp_path / "my_rows.py").write_text("import pandas\ndef load():\n    return pandas.DataFrame({'x': [1, 2]})\n")
        monkeypatch.syspath_prepend(tmp_path)
        assert load_raw("my_rows:load").columns["x"].tolist() == [1, 2]
        sys.modules.pop("my_rows")

    @pytest.mark.parametrize(
        ("source", "error", "match"),
        [
            ("absent.py:load", MissingFileError, r"^no file absent\.py with the function load; correct data\.source$"),
            ("no_such_module:load", DataError, r"^data\.source no_such_module:load: No module named"),
            ("math:load", DataError, r"^data\.source math:load: .*no attribute 'load'; name a function"),
            ("os:getcwd", DataError, r"^os must be a pandas DataFrame, a mapping"),
            ("os:fork_exec_absent", DataError, r"name a function of an importable module or file"),
            ("math:sqrt", DataError, r"^data\.source math:sqrt failed: TypeError: .*; correct the function$"),
        ],
    )
    def test_what_is_wrong_is_told(self, source, error, match):
        with pytest.raises(error, match=match):
            raw_of_function(source)
