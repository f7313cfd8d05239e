"""Routes in words: written, read back, and every mistake in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasfuse.domain.route import ESCALATE, is_dynamic, parse_route, routes_of, streams_of, write_route

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]*", fullmatch=True)
ROUTES = st.dictionaries(NAMES, st.none() | st.integers(0, 99), min_size=1, max_size=5)


@given(ROUTES)
def test_a_written_route_is_read_back_in_its_order(stages):
    again = parse_route(write_route(stages))
    assert again == stages
    assert list(again) == list(stages)


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("image", {"image": None}),
        ("image+audio:1", {"image": None, "audio": 1}),
        (" image + audio:0 ", {"image": None, "audio": 0}),
        ("a-b_2:12", {"a-b_2": 12}),
    ],
)
def test_a_route(text, stages):
    assert parse_route(text) == stages


@pytest.mark.parametrize("text", ["", "+", "image+", "2nd", "a:", "a:x", "a:-1", "a:1.5", "a b", "a>b", "a::1"])
def test_invalid_routes_have_a_message(text):
    with pytest.raises(ValueError, match=r"^a route is written stream\+stream:stages, got '.*'; correct it$"):
        parse_route(text)


def test_a_stream_is_named_once():
    with pytest.raises(ValueError, match=r"^route 'a\+b\+a:1' names a twice; name each stream once$"):
        parse_route("a+b+a:1")


@given(st.lists(ROUTES, min_size=1, max_size=4))
def test_several_routes_are_one_word(routes):
    texts = [write_route(stages) for stages in routes]
    word = ESCALATE.join(texts)
    assert routes_of(word) == texts
    assert is_dynamic(word) is (len(routes) > 1)
    assert streams_of(word) == list(dict.fromkeys(name for stages in routes for name in stages))


def test_spaces_around_the_arrow_do_not_matter():
    assert routes_of("a>a+b:1> a+b") == ["a", "a+b:1", "a+b"]
    assert streams_of("b:2>a + b") == ["b", "a"]
    assert is_dynamic("a>b")
