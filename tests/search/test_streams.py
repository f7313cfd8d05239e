"""Routes and starred paths for the modalities of one data set."""

import pytest

from nasfuse.domain.modality import Modality
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


def test_unknown_streams_are_listed():
    assert STREAMS.strangers("v+x+y") == ["x", "y"]
    assert STREAMS.strangers([1]) == ["1"]


def test_every_route():
    assert STREAMS.routes() == ["v", "s", "i", "v+s", "v+i", "s+i", "v+s+i"]


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("i > all", "i > v+s+i"),
        ("i>i+v:1>all", "i > v:1+i > v+s+i"),
        ("s:0 > i + s", "s:0 > s+i"),
        ("v:1", "v:1"),
    ],
)
def test_several_routes_are_one_word_too(value, word):
    assert STREAMS.route(value) == word


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("all > v+s+i", r"two routes of 'all > v\+s\+i' come to the same; name each once"),
        ("v > v > s", "two routes of 'v > v > s' come to the same"),
        ("v > v+all", r"all is every stream and stands alone in a route, got 'v\+all'; name streams instead"),
    ],
)
def test_invalid_routes(value, message):
    with pytest.raises(ValueError, match=message):
        STREAMS.route(value)


def test_names_that_are_no_modality_are_left_out_of_every_route():
    assert STREAMS.route("v+x > x > s:1+v") == "v > v+s:1"
    assert STREAMS.strangers("v+x > all > x+y:1") == ["x", "y"]


@pytest.mark.parametrize("value", ["v > s:x", "v > ", "v++s"])
def test_invalid_routes_have_a_message(value):
    with pytest.raises(ValueError, match=r"^a route is written stream"):
        STREAMS.route(value)


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("all", {None: "all"}),
        ("v > all", {None: "v > all"}),
        (3, {None: 3}),
        ("each", {"v": "v", "s": "s", "i": "i"}),
        ("each > all", {name: f"{name} > all" for name in "vsi"}),
        ("each:1 > each", {name: f"{name}:1 > {name}" for name in "vsi"}),
        (
            "each > each+others:1 > all",
            {"v": "v > v+s:1+i:1 > all", "s": "s > s+v:1+i:1 > all", "i": "i > i+v:1+s:1 > all"},
        ),
        ("each > others", {"v": "v > s+i", "s": "s > v+i", "i": "i > v+s"}),
    ],
)
def test_each_is_one_modality_and_others_are_the_rest(value, expanded):
    assert STREAMS.expand(value) == expanded


@pytest.mark.parametrize("names", [("reach", "each_one"), ("x-each", "each-x"), ("brothers", "x-others")])
def test_a_modality_called_almost_each_or_others_stands_for_itself(names):
    streams = Streams([Modality(name, "vector", (3,)) for name in names])
    one, other = names
    assert streams.expand(f"{one} > {other}") == {None: f"{one} > {other}"}
    assert streams.route(f"{one} > {other}") == f"{one} > {other}"
    assert streams.expand(f"each > {one}+{other}") == {name: f"{name} > {one}+{other}" for name in names}


def test_one_modality_alone_needs_no_others():
    streams = Streams([Modality("v", "vector", (3,))])
    assert streams.expand("each > each+others:1 > all") == {}
    assert streams.expand("each") == {"v": "v"}
