"""Places in the computation of the streams: after how many stages, and after which sites of a fusion."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.stream import Stage, Stream
from nasfuse.nn.tokens import Extent


class Taken(NamedTuple):
    """What the main stream takes in at a site.

    Attributes:
        site: Number of the site.
        streams: Names of the streams that take part.
    """

    site: int
    streams: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A stream; the main stream of a fusion at sites is another line after each combination of sites.

    Attributes:
        stream: Name of the stream.
        taken: What it has taken in so far, in the order of the sites.
    """

    stream: str
    taken: tuple[Taken, ...] = ()

    @property
    def before(self) -> "Line":
        """The line before the last site."""
        return Line(self.stream, self.taken[:-1])

    @property
    def name(self) -> str:
        """Name in the notation `rgb&0.thermal`: the stream, and each site with the streams that take part."""
        return "&".join((self.stream, *(f"{number}.{'.'.join(streams)}" for number, streams in self.taken)))


@dataclass(frozen=True)
class Place:
    """The tokens of a line after a number of stages.

    Attributes:
        line: Line.
        n_stages: Number of stages of its stream; those before the last site belong to earlier lines.
    """

    line: Line
    n_stages: int


class SiteCosts(Protocol):
    """What is known about the sites of a network without running them."""

    def inputs(self, line: Line) -> tuple[Place, dict[str, Place]]:
        """Returns what the last site of `line` reads: of the main stream, and of the others by name."""

    def macs(self, line: Line, main: Extent, others: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the last site of `line`."""


def streams_at(n_stages: Mapping[str, int]) -> tuple[Place, ...]:
    """Returns the places after a number of stages of each stream."""
    return tuple(Place(Line(name), count) for name, count in n_stages.items())


def with_sources(places: Iterable[Place], sites: SiteCosts | None) -> frozenset[Place]:
    """Returns `places` and all that the sites on the way to them read."""
    found: set[Place] = set()
    left = list(places)
    while left:
        place = left.pop()
        if place in found:
            continue
        found.add(place)
        if place.line.taken:
            assert sites is not None, "only sites make further lines"
            main, others = sites.inputs(place.line)
            left += [main, *others.values()]
    return frozenset(found)


def places_macs(
    streams: PerStream[Stream] | Mapping[str, Stream],
    places: Iterable[Place],
    lengths: Mapping[str, int],
    *,
    sites: SiteCosts | None = None,
) -> tuple[int, dict[Place, Extent]]:
    """Returns the multiply-accumulates of all that leads to `places`, each part once, and the extents of their tokens.

    Args:
        streams: Streams of the network.
        places: Places.
        lengths: Number of steps of the sample by sequence.
        sites: Sites of the network, if it has some.
    """
    total = 0
    known: dict[Place, Extent] = {}

    def visit(place: Place) -> Extent:
        nonlocal total
        if place in known:
            return known[place]
        line, stream = place.line, streams[place.line.stream]
        begin: Place | None = None
        if line.taken:
            assert sites is not None, "only sites make further lines"
            begin, others = sites.inputs(line)
        if place.n_stages > (0 if begin is None else begin.n_stages):
            before = visit(Place(line, place.n_stages - 1))
            stage: Stage = stream.stages[place.n_stages - 1]  # type: ignore[assignment]
            total += stage.macs(before)
            extent = stage.extent(before)
        elif begin is not None:
            assert sites is not None
            extent = visit(begin)
            read = {name: visit(other) for name, other in others.items()}
            total += sites.macs(line, extent, read)
        else:
            own, extent = stream.macs(lengths.get(line.stream, 0), n_stages=0)
            total += own
        known[place] = extent
        return extent

    extents = {place: visit(place) for place in places}
    return total, extents
