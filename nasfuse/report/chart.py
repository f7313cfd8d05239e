"""Charts of the HTML pages, which the script `templates/chart.js` draws as SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

#: Forms of markers, which differ without colour.
Mark = Literal["dot", "ring", "circle", "diamond", "square", "triangle", "star", "cross"]

#: Marks and dash patterns of series without a meaning of their own, by their number.
MARKS: tuple[Mark, ...] = ("circle", "diamond", "square", "triangle", "star")
DASHES = ("", "8 4", "2 3", "8 3 2 3")


@dataclass(frozen=True)
class Point:
    """A point of a series.

    Attributes:
        x: Horizontal coordinate.
        y: Vertical coordinate.
        text: Lines that are shown under the pointer and read by screen readers; none for a corner of a line.
        sd: Half of the length of a vertical bar; None for none.
        id: What is shown when the point is chosen; None if it cannot be chosen.
        starts: Whether a new line starts here, in a series of several lines.
    """

    x: float
    y: float
    text: Sequence[str] = ()
    sd: float | None = None
    id: str | None = None
    starts: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one kind, which can be hidden together.

    Attributes:
        name: Name in the legend.
        points: The points, from left to right where there is a line.
        color: Number of the colour, from 0 to 6.
        mark: Form of the markers; None for a line without markers.
        line: `step` holds a value up to the next point; None for points without a line.
        dash: Dash pattern of the line, as of SVG; empty for a solid line.
        is_shown: Whether it is visible at first.
    """

    name: str
    points: Sequence[Point]
    color: int
    mark: Mark | None = None
    line: Literal["step", "straight"] | None = None
    dash: str = ""
    is_shown: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        title: What it shows, with the unit.
        is_log: Whether it is logarithmic; values that are not positive are then left out.
        limits: Limits; None for those of the points.
    """

    title: str
    is_log: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Label:
    """A text beside a point of a chart, which is circled."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: Name of the chart, for screen readers and above it.
        description: What it shows, in a sentence.
        x: Horizontal axis.
        y: Vertical axis.
        series: Series, of which later ones are drawn over earlier ones.
        labels: Texts beside points.
    """

    title: str
    description: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    labels: Sequence[Label] = field(default_factory=tuple)

    @property
    def rows(self) -> Iterator[tuple[str, Point]]:
        """Yields the name of the series and each of its points, for a table."""
        for series in self.series:
            yield from ((series.name, point) for point in series.points)


def stepped(points: Sequence[Point]) -> list[Point]:
    """Returns points for a `step` line without those that repeat the value of both neighbours."""
    inner = [
        point
        for before, point, after in zip(points, points[1:], points[2:], strict=False)
        if not before.y == point.y == after.y
    ]
    return [*points[:1], *inner, *points[1:][-1:]]
