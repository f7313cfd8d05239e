"""Routes and starred paths for the modalities of one data set."""

import pytest

from nasfuse.config.modality import Modality
from nasfuse.search.streams import Streams, stream_of

STREAMS = Streams([Modality("v", "vector", (3,)), Modality("s", "sequence", (4, 2)), Modality("i", "image", (1, 8, 8))])


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        ("network.streams.v.width", "v"),
        ("network.streams.*.reducer.kind", "*"),
        ("network.streams", None),
        ("network.streams.v", None),
        ("training.lr", None),
    ],
)
def test_the_stream_of_a_path(path, stream):
    assert stream_of(path) == stream


def test_a_starred_path_stands_for_every_stream():
    assert STREAMS.paths("network.streams.*.width") == [f"network.streams.{name}.width" for name in "vsi"]
    assert STREAMS.paths("network.streams.*.width", ["image", "vector"]) == [
        "network.streams.v.width",
        "network.streams.i.width",
    ]
    assert STREAMS.paths("network.streams.s.width") == ["network.streams.s.width"]
    assert STREAMS.paths("training.lr") == ["training.lr"]


@pytest.mark.parametrize(
    ("path", "value", "suits"),
    [
        ("network.streams.v.encoder", "mlp", True),
        ("network.streams.v.encoder", "conv", False),
        ("network.streams.i.encoder", "conv", True),
        ("network.streams.v.width", 3, True),
        ("network.streams.*.encoder", "conv", True),
        ("training.lr", 3, True),
    ],
)
def test_an_encoder_suits_its_kind(path, value, suits):
    assert STREAMS.suits(path, value) is suits


@pytest.mark.parametrize("value", ["i+v", ["i", "v"], ("v", "i"), "i + v"])
def test_a_route_is_one_word_in_the_order_of_the_data(value):
    assert STREAMS.route(value) == "v+i"


def test_all_is_every_modality():
    assert STREAMS.route("all") == "v+s+i"
    assert STREAMS.strangers("all") == []


def test_strangers():
    assert STREAMS.strangers("v+x+y") == ["x", "y"]
    assert STREAMS.strangers([1]) == ["1"]


def test_every_route():
    assert STREAMS.routes() == ["v", "s", "i", "v+s", "v+i", "s+i", "v+s+i"]
