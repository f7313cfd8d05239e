"""Charts of a search: its trials, and its hypervolume."""

from collections.abc import Sequence

from nasfuse.domain.metric import metric_text
from nasfuse.experiment.run_reader import Run
from nasfuse.report.chart import Axis, Chart, Mark, Point, Series, stepped
from nasfuse.search.history import Milestone
from nasfuse.search.spending import KINDS, kind_of
from nasfuse.search.stopped_training import StoppedTraining
from nasfuse.search.trial import TrialView

_MARKS: dict[str, Mark] = {"hand-made": "diamond", "suggested": "circle", "confirmation": "square"}
_COLORS = {"hand-made": 1, "suggested": 0, "confirmation": 3}


def trials_chart(run: Run) -> Chart:
    """Returns the chart of all trainings by kind and state, in their order.

    A training that was stopped is drawn at the metric that it had then, and one without a result at the lower edge.
    """
    metric = run.objectives.metric
    trained = [one for one in run.trials if one.was_trained and not one.is_operating_point]
    complete = [one for one in trained if one.is_complete]
    stopped_at = [one.stopped.metric for one in trained if one.stopped is not None and one.stopped.metric is not None]
    edge = min([*(one.metric for one in complete), *stopped_at], default=0.0)
    stopped = {
        is_out_of_time: [
            _stopped(one, where, metric=metric, edge=edge)
            for one in trained
            if (where := one.stopped) is not None and one.is_out_of_time is is_out_of_time
        ]
        for is_out_of_time in (False, True)
    }
    failed = [Point(one.number, edge, [f"trial {one.number}: failed", one.reason]) for one in trained if one.is_failed]
    by_kind = {
        kind: [
            Point(one.number, one.metric, _text(one, metric, one.metric)) for one in complete if kind_of(one) == kind
        ]
        for kind in KINDS
    }
    series = [
        *(Series(f"{kind}, complete", own, color=_COLORS[kind], mark=_MARKS[kind]) for kind, own in by_kind.items()),
        Series("stopped early", stopped[False], color=2, mark="ring"),
        Series("out of time", stopped[True], color=5, mark="triangle"),
        Series("failed (at the lower edge)", failed, color=4, mark="cross"),
    ]
    return Chart(
        title="Trials",
        description=f"{metric} of every training in the order of the search, by kind and state.",
        x=Axis("trial"),
        y=Axis(f"{metric} (validation)"),
        series=[one for one in series if one.points],
    )


def _stopped(trial: TrialView, where: StoppedTraining, *, metric: str, edge: float) -> Point:
    """Returns the point of a training that was stopped; at the lower `edge` if no epoch had ended."""
    epoch = f"epoch {where.epoch} of {where.epochs}"
    if where.metric is None:
        return Point(trial.number, edge, [f"trial {trial.number} ({kind_of(trial)})", epoch])
    return Point(trial.number, where.metric, [*_text(trial, metric, where.metric), epoch])


def _text(trial: TrialView, metric: str, value: float) -> list[str]:
    return [f"trial {trial.number} ({kind_of(trial)}): {metric} {metric_text(value)}"]


def hypervolume_charts(history: Sequence[Milestone]) -> list[Chart]:
    """Returns the charts of the hypervolume over time and over epochs; none before the first result."""
    if not history:
        return []
    minutes = [_short(one.seconds / 60) for one in history]
    epochs = [float(one.epochs) for one in history]
    return [
        _hypervolume("over time", "minutes in which trainings ran", minutes, history),
        _hypervolume("over epochs", "epochs of all trainings", epochs, history),
    ]


def _hypervolume(name: str, title: str, places: Sequence[float], history: Sequence[Milestone]) -> Chart:
    points = [Point(x, _short(one.hypervolume), _at(one)) for x, one in zip(places, history, strict=True)]
    return Chart(
        title=f"Hypervolume {name}",
        description=f"Hypervolume of the front of single networks after each training, by {title}.",
        x=Axis(title),
        y=Axis("hypervolume"),
        series=[Series("hypervolume", stepped(points), color=0, line="step", mark="dot")],
    )


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _at(one: Milestone) -> list[str]:
    return [
        f"hypervolume {metric_text(one.hypervolume, digits=3)}",
        f"after trial {one.trial}, {one.epochs:,} epochs, {one.seconds / 60:.1f} minutes",
    ]
