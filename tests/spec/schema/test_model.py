"""Problems without a file, and of models of the tests' own."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from nasfuse.errors import ConfigError
from nasfuse.spec.schema.model import Model, matching


class Red(Model):
    kind: Literal["red"]
    shade: int = 1


class Blue(Model):
    kind: Literal["blue"]
    depth: float = 1.0


class Box(Model):
    colour: Annotated[Red | Blue, Field(discriminator="kind")]
    sizes: tuple[int, ...] = ()


def test_a_tuple_takes_a_list():
    assert Box.parse({"colour": {"kind": "red"}, "sizes": [1, 2]}).sizes == (1, 2)


def test_types_are_strict():
    with pytest.raises(ConfigError, match=r"sizes\[1\]: must be an integer, got '2'"):
        Box.parse({"colour": {"kind": "red"}, "sizes": [1, "2"]})


def test_an_integer_is_a_real_number():
    assert Box.parse({"colour": {"kind": "blue", "depth": 2}}).colour.depth == 2.0


def test_without_a_file_the_source_is_named_and_there_are_no_lines():
    with pytest.raises(ConfigError, match=r"^the box has 1 problem:\n  colour: this key is required; add it$"):
        Box.parse({}, source="the box")


def test_the_keys_of_the_chosen_kind_are_listed():
    with pytest.raises(ConfigError, match=r"colour\.shad: unknown key; did you mean 'shade'\? Known: kind, shade$"):
        Box.parse({"colour": {"kind": "red", "shad": 1}})


@pytest.mark.parametrize("values", [None, 3, "text", ["a"]])
def test_anything_but_a_mapping_is_refused(values):
    with pytest.raises(ConfigError, match=r"must be a mapping .keys with values., got"):
        Box.parse(values)


def test_plain_values_give_the_equal_object_back():
    box = Box.parse({"colour": {"kind": "blue"}})
    assert Box.parse(box.to_plain()) == box
    assert box.to_plain() == {"colour": {"kind": "blue", "depth": 1.0}, "sizes": []}


class Own(Model):
    """A kind with an option of its own name."""

    kind: Literal["own"]
    own: Red | None = None
    size: Annotated[float, Field(ge=1e-6, le=9)] = 1


class Name(Model):
    name: Annotated[str, Field(max_length=100), matching(r"[a-z]+", "have small letters only")] = "x"
    pair: tuple[int, int] = (1, 2)
    some: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    on: bool = True
    kind: Annotated[Own | Blue, Field(discriminator="kind")] = Blue(kind="blue")


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"name": "A b"}, ["name: must have small letters only, got 'A b'"]),
        ({"name": 3}, ["name: must be text, got 3"]),
        ({"name": "x" * 101}, ["name: must have a length of at most 100, got 'xxx"]),
        ({"pair": [1]}, ["pair[1]: this entry of the list is missing; add it"]),
        ({"pair": [1, 2, 3]}, ["pair: must have a length of at most 2, got [1, 2, 3]"]),
        ({"pair": "1, 2"}, ["pair: must be a list, got '1, 2'"]),
        ({"some": []}, ["some: must have a length of at least 1, got []"]),
        ({"some": ["a"]}, ["some[0]: must be an integer, got 'a'"]),
        ({"share": 0}, ["share: must be greater than 0, got 0"]),
        ({"share": 1}, ["share: must be less than 1, got 1"]),
        ({"share": float("nan")}, ["share: must be a finite number, got nan"]),
        ({"share": "x"}, ["share: must be a number, got 'x'"]),
        ({"share": 10**500}, ["share: must be a finite number, got 1000000000"]),
        ({"on": "yes"}, ["on: must be true or false, got 'yes'"]),
        ({"kind": 3}, ["kind: must be a mapping (keys with values), got 3"]),
        ({"kind": {"kind": "own", "size": 0}}, ["kind.size: must be at least 1e-06, got 0"]),
        ({"kind": {"kind": "own", "size": 10}}, ["kind.size: must be at most 9, got 10"]),
        (
            {"kind": {"kind": "own", "size": "x", "own": {"size": 3}}},
            ["own.kind: this key", "own.size: unk", "kind.size: m"],
        ),
        (
            {"kind": {"kind": "own", "own": {"kind": "red", "shade": "x"}}},
            ["kind.own.shade: must be an integer, got 'x'"],
        ),
    ],
)
def test_every_rule_is_a_plain_sentence_under_the_key_of_the_user(values, problems):
    with pytest.raises(ConfigError, match="problem") as raised:
        Name.parse(values)
    found = [str(problem) for problem in raised.value.problems]
    assert len(found) == len(problems)
    assert all(len(text) < 200 for text in found)
    for expected in problems:
        assert any(expected in text for text in found), found
