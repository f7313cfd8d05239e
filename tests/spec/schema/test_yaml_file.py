"""YAML in and out: YAML 1.2 scalars, the line of every key, one text for equal values."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasfuse.errors import ConfigError, MissingFileError
from nasfuse.spec.schema.yaml_file import dotted, read_document, to_yaml

# PyYAML does not read its own writing of three rare line separators.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(CHARACTERS, max_size=20)
WORDS = st.sampled_from(
    [
        "no",
        "on",
        "yes",
        "null",
        "~",
        "1e3",
        "-.5",
        "+.5e1",
        ".inf",
        "-.inf",
        "1_0",
        "0x1f",
        "1:30",
        "2020-01-01",
        "=",
        "<<",
    ]
)
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS, max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="session")
def write(tmp_path_factory):
    path = tmp_path_factory.mktemp("yaml") / "r.yaml"

    def write(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@given(st.dictionaries(WORDS | st.text(CHARACTERS, max_size=4), VALUES, min_size=1, max_size=3))
def test_written_values_are_read_back(write, values):
    assert read_document(write(to_yaml(values))).values == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1.5E+2", 150.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("12", 12),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("2020-01-01", "2020-01-01"),
        ("null", None),
        ("'1e-3'", "1e-3"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(write, text, value):
    got = read_document(write(f"a: {text}")).values["a"]
    assert got == value
    assert type(got) is type(value)


def test_every_key_knows_its_line(write):
    document = read_document(write("a: 1\n# comment\nb:\n  c: {d: 2,\n      e: 3}\n  f:\n    - x\n    - g: 4\n"))
    lines = {("a",): 1, ("b",): 3, ("b", "c"): 4, ("b", "c", "e"): 5, ("b", "f", 1): 8, ("b", "f", 1, "g"): 8}
    assert {path: document.line_of(path) for path in lines} == lines


def test_a_missing_key_has_the_line_of_its_parent(write):
    document = read_document(write("a: 1\nb:\n  c: 2\n"))
    assert document.line_of(("b", "absent", "deeper")) == 2
    assert document.line_of(("absent",)) is None


def test_merged_keys_are_values_and_may_be_given_again(write):
    document = read_document(write("a: &a {b: 1, c: 2}\nd:\n  <<: *a\n  b: 3\n"))
    assert document.values == {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}
    assert [document.line_of(("d", key)) for key in "bc"] == [4, 2], "a merged key has the line of its parent"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"^.*r\.yaml has 1 problem:\n  the file must hold a YAML mapping \(key: value lines\)$"),
        ("- a\n- b", "the file must hold a YAML mapping"),
        ("just words", "the file must hold a YAML mapping"),
        ("a: 1\na: 2", r"line 2: a: this key is given twice; keep one"),
        ("b:\n  c: 1\n  c: 2", r"line 3: b\.c: this key is given twice; keep one"),
        ("a: [1\nb: 2", r"line 2: not valid YAML: expected ',' or '\]', but got ':'"),
        ("a: !thing x", r"line 1: not valid YAML: could not determine a constructor for the tag '!thing'"),
        ("a: !!int x", "not valid YAML: invalid literal for int"),
        ("? [a, b]\n: 1", "line 1: not valid YAML: found unhashable key"),
        ("a: 1\n---\nb: 2", "line 2: not valid YAML: but found another document"),
        ("a: &x [*x]", "line 1: nested too deeply; does an alias contain itself?"),
        (
            "a: &a [x]\n"
            + "\n".join(f"{one}: &{one} [{', '.join(9 * ['*' + before])}]" for before, one in pairwise("abcdefghijk")),
            "it has more than 100,000 entries; do aliases multiply them?",
        ),
        ("a: " + 16_000 * "[" + 16_000 * "]", "nested too deeply"),
        ("a: " + 40_000 * "[", "nested too deeply"),
        (b"\xff\xfe", "not valid YAML: 'utf-8' codec can't decode byte 0xff"),
        ("a: \0", "not valid YAML: unacceptable character"),
    ],
)
def test_files_other_than_mappings_of_plain_values_are_refused(write, text, match):
    with pytest.raises(ConfigError, match=match):
        read_document(write(text))


def test_all_repeated_keys_are_reported_at_once(write):
    with pytest.raises(ConfigError, match="has 2 problems") as caught:
        read_document(write("a: 1\na: 2\nb: 1\nb: 2"))
    assert [problem.line for problem in caught.value.problems] == [2, 4]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"no such file: .*absent\.yaml\. Give the path of an existing"):
        read_document(tmp_path / "absent.yaml")


def test_a_folder_is_not_a_yaml_file(tmp_path):
    with pytest.raises(MissingFileError, match="this is a folder"):
        read_document(tmp_path)


def test_dotted():
    assert dotted(("a", 0, "b")) == "a[0].b"
    assert dotted(()) == ""


def test_keys_keep_their_order_and_short_lists_one_line():
    assert to_yaml({"b": [1, 2], "a": {"d": 1.0, "c": None}}) == "b: [1, 2]\na:\n  d: 1.0\n  c: null\n"
