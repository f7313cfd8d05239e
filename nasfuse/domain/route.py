"""Text form of routes: `image+audio:1` runs all stages of the image stream and one stage of the audio stream."""

import re
from collections.abc import Mapping, Sequence

_PART = re.compile(r"^([A-Za-z_][A-Za-z0-9_-]*)(?::(\d+))?$")

#: Separator of the streams of a route.
JOIN = "+"

#: Separator of the routes of a dynamic network in `network.route`, in the order of their costs.
ESCALATE = " > "


def parse_route(text: str) -> dict[str, int | None]:
    """Returns the number of stages before the fusion by stream name; None stands for all stages.

    Raises:
        ValueError: The text is not of the form `stream+stream:stages`.
    """
    stages: dict[str, int | None] = {}
    for part in text.split(JOIN):
        match = _PART.match(part.strip())
        if match is None:
            raise ValueError(f"a route is written stream{JOIN}stream:stages, got {text!r}; correct it")
        name, count = match.groups()
        if name in stages:
            raise ValueError(f"route {text!r} names {name} twice; name each stream once")
        stages[name] = None if count is None else int(count)
    return stages


def most_stages(depth: int, *, n_streams: int, placement: int) -> int:
    """Returns the number of stages that a stream has on a route.

    >>> [most_stages(3, n_streams=n_streams, placement=2) for n_streams in (1, 2)]
    [3, 2]

    Args:
        depth: Stages of the stream.
        n_streams: Streams of the route; a single one is not fused and runs all its stages.
        placement: Stages before the fusion.
    """
    return depth if n_streams == 1 else min(placement, depth)


def write_route(stages: Mapping[str, int | None]) -> str:
    """Returns the text form of a route, the inverse of `parse_route`."""
    return JOIN.join(name if count is None else f"{name}:{count}" for name, count in stages.items())


def extends(route: Mapping[str, int | None], other: Mapping[str, int | None]) -> bool:
    """Returns whether `route` has all streams of `other` and at least as many stages of each.

    >>> extends(parse_route("image+audio:1"), parse_route("image")), extends(parse_route("audio"), parse_route("image"))
    (True, False)
    """
    return all(
        name in route and (route[name] is None or (count is not None and route[name] >= count))  # type: ignore[operator]
        for name, count in other.items()
    )


def streams_of(text: str) -> list[str]:
    """Returns the streams of a route, or of all routes of a dynamic network, each once.

    >>> streams_of("image > image+audio:1")
    ['image', 'audio']
    """
    parts = [part for route in text.split(ESCALATE.strip()) for part in route.split(JOIN)]
    return list(dict.fromkeys(part.strip().split(":")[0] for part in parts))


def is_dynamic(text: str) -> bool:
    """Returns whether the word stands for several routes."""
    return ESCALATE.strip() in text


def routes_of(text: str) -> Sequence[str]:
    """Returns the routes of a dynamic network written as one word."""
    return [route.strip() for route in text.split(ESCALATE.strip())]
