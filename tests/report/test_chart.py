"""Charts of the pages, and their data in a page."""

import json

from nasfuse.report.chart import Axis, Chart, Point, Series, stepped
from nasfuse.report.environment import make_environment


def test_a_step_line_needs_its_corners_only():
    line = [Point(x, y) for x, y in enumerate([1, 1, 1, 2, 2, 2, 3])]
    assert [point.x for point in stepped(line)] == [0, 2, 3, 5, 6]
    assert stepped(line[:1]) == line[:1]
    assert stepped([]) == []


def test_a_table_has_all_points():
    series = [Series("a", [Point(1, 2), Point(3, 4)], color=0), Series("b", [Point(5, 6)], color=1)]
    chart = Chart("title", "text", Axis("x"), Axis("y"), series)
    assert [(name, point.x, point.y) for name, point in chart.rows] == [("a", 1, 2), ("a", 3, 4), ("b", 5, 6)]


def test_data_are_json_that_is_no_markup():
    data = {"numbers": [1.5, float("nan"), float("inf")], "text": "</script>&'\"", "pair": (1, 2)}
    written = make_environment().from_string("{{ data | island }}").render(data=data)
    assert not set("<>&'") & set(written)
    assert json.loads(written) == {"numbers": [1.5, None, None], "text": "</script>&'\"", "pair": [1, 2]}
