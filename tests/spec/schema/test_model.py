"""Problems without a file, and of models of the tests' own."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from nasfuse.errors import ConfigError
from nasfuse.spec.schema.model import Model


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
    with pytest.raises(ConfigError, match=r"sizes\[1\]: must be a valid integer, got '2'"):
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
    with pytest.raises(ConfigError, match="must be an object, got"):
        Box.parse(values)


def test_plain_values_give_the_equal_object_back():
    box = Box.parse({"colour": {"kind": "blue"}})
    assert Box.parse(box.to_plain()) == box
    assert box.to_plain() == {"colour": {"kind": "blue", "depth": 1.0}, "sizes": []}
