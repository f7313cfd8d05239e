"""Fields as dotted paths: those that are listed exist, and take what a recipe may say."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.schema.fields import accepts, known_paths, types_at
from nasfuse.spec.schema.model import Model


def test_every_known_path_exists():
    paths = known_paths(Recipe)
    assert len(paths) == len(set(paths)) > 40
    for path in paths:
        assert types_at(Recipe, path.replace("*", "any_name")), path


@pytest.mark.parametrize(
    "path", ["training.lr", "network.fusion.kind", "network.streams.*.reducer.keep_ratio", "data.modalities.*.kind"]
)
def test_some_known_paths(path):
    assert path in known_paths(Recipe)


@pytest.mark.parametrize(
    "path", ["training.lrr", "network.streams", "training.lr.deeper", "", "network.fusion.heads.x"]
)
def test_paths_that_are_no_plain_field(path):
    assert path not in known_paths(Recipe)


@pytest.mark.parametrize("path", ["training.lrr", "training.lr.deeper", "nothing"])
def test_unknown_paths_have_no_type(path):
    assert types_at(Recipe, path) == ()


@pytest.mark.parametrize(
    ("path", "value", "fits"),
    [
        ("training.lr", 0.1, True),
        ("training.lr", 1, True),
        ("training.lr", 0, False),
        ("training.lr", "0.1", False),
        ("training.epochs", 2.5, False),
        ("training.epochs", True, False),
        ("network.fusion.kind", "gated", True),
        ("network.fusion.kind", "gatedd", False),
        ("network.fusion.rank", 4, True),
        ("network.fusion.rank", 0, False),
        ("network.streams.left.width", 16, True),
        ("network.streams.left.reducer.kind", "average", True),
        ("network.streams.left.reducer.keep_ratio", 0.0, False),
        ("network.route", ["a", "b"], True),
        ("network.route", [1], False),
        ("nothing", 1, False),
    ],
)
def test_accepts(path, value, fits):
    assert accepts(Recipe, path, value) is fits


def test_a_tag_selects_its_member():
    (conv,) = types_at(NetworkConfig, "streams.left.conv")
    assert "stride" in conv.model_fields
    assert types_at(NetworkConfig, "streams.left.mlp.stride") == ()


class Plain(Model):
    kind: Literal["plain"]


class Blend(Model):
    kind: Literal["blend"]
    blend: float
    share: int


class Holder(Model):
    reducer: Annotated[Plain | Blend, Field(discriminator="kind")]


def test_an_option_may_have_the_name_of_its_kind():
    assert accepts(Holder, "reducer.blend", 0.5)
    assert accepts(Holder, "reducer.blend.share", 2)
    assert types_at(Holder, "reducer.plain.share") == ()
