"""Pickles without code: what plain ones hold is read exactly, and nothing that another one names is called."""

import os
import pickle
import re
from collections import OrderedDict
from datetime import date

import numpy as np
import pytest

from nasfuse.data.sources.restricted_pickle import read_plain_pickle
from nasfuse.errors import DataError

PLAIN = {
    "numbers": np.arange(6, dtype=np.float32).reshape(2, 3),
    "big": np.arange(4, dtype=">i2"),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "half": np.array([0.5, np.nan, -np.inf], np.float16),
    "words": np.array(["größer", "b"]),
    "codes": np.array([b"ab", b"c"]),
    "nothing": np.zeros((0, 3)),
    "single": np.array(3.0),
    "number": np.float64(2.5),
    "flags": np.array([True, False]),
    "rest": [1, "a", b"c", None, 2.5, (1, True), {"x"}, frozenset({3}), 10**30, 1 + 2j],
    "ordered": OrderedDict(a=np.int64(3)),
}


def same(first, second):
    """Whether two trees of containers and arrays are equal, their types and shapes included."""
    if isinstance(second, np.ndarray):
        equal = np.array_equal(first, second, equal_nan=second.dtype.kind == "f")
        return isinstance(first, np.ndarray) and equal and first.dtype == second.dtype and first.shape == second.shape
    if isinstance(second, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in second)
    return type(first) is type(second) and first == second


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "x.pkl").write_bytes(content)
        return read_plain_pickle(tmp_path / "x.pkl")

    return read


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_plain_containers_of_every_protocol(read, protocol):
    assert same(read(pickle.dumps(PLAIN, protocol)), PLAIN)


def test_object_arrays_keep_their_order(read):
    values = np.array([["video", 1.5], [np.array([3, 4]), None]], dtype=object)
    for array in (values, np.asfortranarray(values)):
        found = read(pickle.dumps(array))
        assert found.shape == (2, 2)
        assert found[0, 0] == "video" and found[0, 1] == 1.5 and found[1, 1] is None
        assert found[1, 0].tolist() == [3, 4]


def test_a_file_of_python_2(read):
    """The same bytes as Python 2 and its numpy wrote: byte strings, also for the content of arrays."""
    content = (
        b"\x80\x02}q\x00U\x01xq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK"
        b"\x00tb\x89U\x08\x00\x00\x80?\x00\x00\x00\xc0tbs."
    )
    found = read(content)
    assert found["x"].dtype == np.float32
    assert found["x"].tolist() == [1.0, -2.0]


class Runs:
    """Writes a file when it is unpickled in the ordinary way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_is_executed(read, tmp_path, protocol):
    content = pickle.dumps({"train": Runs(tmp_path / "harm")}, protocol)
    with pytest.raises(
        DataError,
        match=r"x\.pkl holds (posix|nt)\.mkdir, and only numpy arrays, numbers, text and plain containers are read "
        r"from a pickle; convert the file to \.npz in a program that you trust$",
    ):
        read(content)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (pickle.dumps(date(2026, 1, 2)), r"holds datetime\.date, and only"),
        (pickle.dumps(np.random.default_rng(0)), r"holds numpy\.random\._pickle\.__generator_ctor, and only"),
        (b"cbuiltins\neval\n(V1+1\ntR.", r"holds builtins\.eval, and only"),
        (b"cnumpy\nload\n(Vx\ntR.", r"holds numpy\.load, and only"),
        (
            b"cnumpy.testing._private.utils\nrunstring\n(VX\n}tR.",
            r"holds numpy\.testing\._private\.utils\.runstring, an",
        ),
        (b"ccollections.abc\nset\n.", r"holds collections\.abc\.set, and only"),
        (b"cbuiltins\nset\n.", r"is no pickle that can be read: it holds a number type or a function outside"),
        (b"cbuiltins\nset\n}(V_make\nNub.", r"is no pickle that can be read: a function has no state"),
        (b"Pid\n.", r"is no pickle that can be read: A load persistent id instruction was encountered"),
        (pickle.dumps(np.zeros(2, [("a", "f8")])), r"is no pickle that can be read: (arrays of V8|structured arrays)"),
        (pickle.dumps(np.array(["2026-01-02"], "M8[D]")), r"is no pickle that can be read: arrays of M8 are not supp"),
        (pickle.dumps(PLAIN)[:-40], r"is no pickle that can be read: .*truncated|Ran out of input"),
        (b"", r"is no pickle that can be read: Ran out of input; download or write it again$"),
        (b"rubbish", r"is no pickle that can be read: "),
        (b"\x80\x04]q\x00h\x00a.", r"is nested too deeply, or holds itself; convert it to an \.npz file$"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(read, content, match):
    with pytest.raises(DataError, match=match) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_the_bytes_of_an_array_must_fill_its_shape(read):
    content = pickle.dumps(np.arange(3.0), 2)
    start = re.search(rb"K\x03\x85", content).start() + 1
    with pytest.raises(
        DataError, match=r"an array of float64 of shape \(4,\) has 24 bytes; download or write it again"
    ):
        read(content[:start] + b"\x04" + content[start + 1 :])
