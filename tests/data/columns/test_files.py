"""Reading of files."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nasfuse.data.columns.base import Problem
from nasfuse.data.columns.files import files_read_once, read_files
from nasfuse.data.progress import reporting
from nasfuse.data.raw_table import RawTable


@pytest.fixture
def raw(tmp_path):
    """Rows of three files, of which one is named twice, one that does not exist, and none."""
    for name in "abc":
        (tmp_path / name).write_text(name)
    paths = np.array(["a", "b", "./a", "absent", None, "c"], dtype=object)
    return RawTable("t", "t.csv", {"file": paths}, len(paths), tmp_path)


@pytest.fixture
def read(raw):
    """Returns a function that reads rows as texts, with the number of times that each file was read."""
    counts = Counter()

    def load(path: Path) -> str:
        counts[path.name] += 1
        return path.read_text()

    def call(rows=None, way="text", check=None):
        rows = None if rows is None else np.array(rows)
        return read_files(raw, "file", "key", load=load, rows=rows, way=way, check=check)

    call.counts = counts
    return call


def texts_of(found):
    return [one.message if isinstance(one, Problem) else one for one in found]


def test_rows_in_their_order(read, tmp_path):
    absent = f"column file of t.csv, row 3: there is no file {tmp_path}/absent; correct the path"
    assert texts_of(read()) == ["a", "b", "a", absent, None, "c"]
    assert read([5, 0]) == ["c", "a"]


def test_what_a_fit_has_read_is_not_read_again(read):
    with files_read_once():
        assert read([0, 1]) == ["a", "b"]
        assert texts_of(read())[:3] == ["a", "b", "a"]
        assert read.counts == {"a": 2, "b": 1, "c": 1}, "./a is read as another path"
        read()
        assert read.counts["b"] == 2, "nothing is kept after all rows were read"
    read([1])
    read()
    assert read.counts["b"] == 4, "nothing is kept elsewhere"


@pytest.mark.parametrize("ways", [("one", "another"), (None, None)])
def test_what_is_read_in_another_way_is_read_again(read, ways):
    with files_read_once():
        read([1], way=ways[0])
        read(way=ways[1])
    assert read.counts["b"] == 2


def test_what_was_kept_is_checked(read, tmp_path):
    def check(text):
        if text == "b":
            raise ValueError("it is b")

    with files_read_once():
        read([0, 1])
        found = read(check=check)
    place = "column file of t.csv, row 1"
    assert found[1].message == f"{place}: {tmp_path}/b cannot be read: it is b; replace the file"


def test_progress(read):
    told = []
    with reporting(lambda *progress: told.append(progress)):
        read([0, 1])
    assert told == [("reading file", done, 2) for done in range(3)]
