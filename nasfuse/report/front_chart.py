"""The interactive chart of a front."""

from collections.abc import Sequence

from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import METRICS, metric_text
from nasfuse.errors import counted
from nasfuse.experiment.point_details import RouteLines
from nasfuse.experiment.run_reader import Run
from nasfuse.report.chart import DASHES, Axis, Chart, Label, Point, Series
from nasfuse.report.hover import hover_lines
from nasfuse.report.units import with_prefix
from nasfuse.report.window import metric_window
from nasfuse.search.front import Candidate, front_of
from nasfuse.search.picks import Pick


def front_chart(run: Run, picks: Sequence[Pick], lines: Sequence[RouteLines]) -> Chart:
    """Returns the chart of all operating points of a run, with the hand-made designs, routes without router and picks.

    Args:
        run: The run.
        picks: Members of the front to name.
        lines: Routes of trainings without their router; they are left out if the cost of the study is not MACs.
    """
    objectives = run.objectives
    front = run.progress.front
    on_front = {one.label for one in front}
    hand_made = [one for one in run.candidates if one.baseline]
    suggested = [one for one in run.candidates if not one.baseline and not one.members and one.label not in on_front]
    series = [
        Series("suggested", _points(suggested, run), color=2, mark="ring"),
        *(_route_series(lines, objectives.metric) if objectives.cost == "macs" else ()),
        Series("hand-made designs", _points(hand_made, run), color=1, mark="diamond"),
        Series(
            "front of the hand-made designs",
            _points(front_of(hand_made, objectives), run),
            color=1,
            line="step",
            dash=DASHES[1],
        ),
        Series("front", _points(front, run, with_sd=True), color=0, mark="circle", line="step"),
    ]
    window = metric_window(run.candidates, front, metric=objectives.metric)
    better = "higher" if METRICS[objectives.metric].direction == "maximize" else "lower"
    return Chart(
        title=f"{objectives.metric} and cost of {run.study.name}",
        description=(
            f"Every point is a network at one setting: further left is cheaper, {better} is better. "
            f"The front has {counted(len(front), 'point')}."
        ),
        x=Axis(COSTS[objectives.cost].title, is_log=True),
        y=Axis(f"{objectives.metric} (validation)", limits=window[0] if window else None),
        series=[one for one in series if one.points],
        labels=_labels(picks, run),
    )


def _points(candidates: Sequence[Candidate], run: Run, *, with_sd: bool = False) -> list[Point]:
    cost, metric = run.objectives.cost, run.objectives.metric
    return [
        Point(
            one.measured.cost(cost),
            one.measured.metric,
            hover_lines(one, metric),
            sd=one.metric_sd if with_sd else None,
            id=one.label,
        )
        for one in sorted(candidates, key=lambda one: one.measured.cost(cost))
    ]


def _route_series(lines: Sequence[RouteLines], metric: str) -> list[Series]:
    """Returns the routes of trainings, mixed at random and in a cascade by confidence."""
    by_name = {
        "random mix of routes": [(one.trial, one.random_mix) for one in lines],
        "confidence cascade of routes": [(one.trial, one.cascade) for one in lines],
    }
    return [
        Series(name, _line(name, found, metric), color=3 + number, line="straight", dash=DASHES[2 + number])
        for number, (name, found) in enumerate(by_name.items())
    ]


def _line(name: str, found: Sequence[tuple[int, list[tuple[float, float]]]], metric: str) -> list[Point]:
    return [
        Point(macs, value, [f"{name}, trial {trial}: {metric} {metric_text(value)}", _cost(macs)], starts=number == 0)
        for trial, line in found
        for number, (macs, value) in enumerate(line)
    ]


def _cost(macs: float) -> str:
    return f"{with_prefix(macs, 'MACs')}, first training"


def _labels(picks: Sequence[Pick], run: Run) -> list[Label]:
    """Returns a label for each point that is picked, with the names of its rules."""
    names: dict[str, list[str]] = {}
    points: dict[str, Candidate] = {}
    for pick in picks:
        names.setdefault(pick.candidate.label, []).append(pick.rule)
        points[pick.candidate.label] = pick.candidate
    cost = run.objectives.cost
    return [
        Label(points[label].measured.cost(cost), points[label].measured.metric, ", ".join(rules))
        for label, rules in names.items()
    ]
