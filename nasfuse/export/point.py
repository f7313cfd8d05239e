"""Selection of one operating point of a run, and why it is chosen."""

import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

from nasfuse.domain.metric import METRICS, metric_text
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.run_reader import Run
from nasfuse.search.front import Candidate, Objectives, best, front_of, knee_of

#: Ways to choose a point among those within all limits.
PICKS = ("best", "knee", "cheapest")


@dataclass(frozen=True)
class Choice:
    """A chosen operating point.

    Attributes:
        candidate: The point.
        reason: Why it is chosen, as a clause that follows its name.
    """

    candidate: Candidate
    reason: str


@dataclass(frozen=True)
class _Limit:
    """A limit that points must keep.

    Attributes:
        phrase: What points that keep it have, after "with".
        excess: Returns how far a point is above it; at most 0 if it keeps the limit.
        shown: Returns the value of a point that the limit is about.
    """

    phrase: str
    excess: Callable[[Candidate], float]
    shown: Callable[[Candidate], str]


def select_point(
    run: Run,
    *,
    pick: str | None = None,
    trial: str | int | None = None,
    max_macs: int | None = None,
    max_latency_ms: float | None = None,
    min_metric: float | None = None,
    within: float | None = None,
) -> Choice:
    """Returns the operating point that `pick` chooses among those within all limits.

    Without limits these are the points of the front. Otherwise they are the front of the measured points within them.

    Args:
        run: Run to choose from.
        pick: `best` metric, `knee` (see `knee_of`) or `cheapest`. Default: `cheapest` with `min_metric` or `within`,
            which say how good a point must be, else `best`.
        trial: Number N of a trial, for its first recorded point, or `N:P` for its point P. The point need not be on the
            front. Those of several, joined by +, are an ensemble of the front. There is nothing else to choose then.
        max_macs: Upper limit of MACs.
        max_latency_ms: Upper limit of the measured latency in milliseconds.
        min_metric: Lower limit of the metric (upper limit if it is minimised).
        within: Percentage of the best metric within the other limits that may be lost, from 0 to 100.

    Raises:
        InvalidInputError: A criterion is invalid, `trial` is not alone, or no point is within the limits; the message
            then names the nearest.
    """
    if pick is not None and not (isinstance(pick, str) and pick in PICKS):
        raise InvalidInputError(f"--pick must be one of {', '.join(PICKS)}, got {pick!r}; correct it")
    limits_given = {"max_macs": max_macs, "max_latency_ms": max_latency_ms, "min_metric": min_metric, "within": within}
    for name, value in limits_given.items():
        option = f"--{name.replace('_', '-')}"
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value)):
            raise InvalidInputError(f"{option} must be a number, got {value!r}; correct it")
    if within is not None and not 0 <= within <= 100:
        raise InvalidInputError(f"--within must be a percentage from 0 to 100, got {within:g}; correct it")
    objectives = run.objectives
    if trial is not None:
        if any(value is not None for value in (pick, max_macs, max_latency_ms, min_metric, within)):
            raise InvalidInputError("--trial names one point, so no other criterion applies; leave the others out")
        return Choice(_of_trial(run, str(trial)), "is the one that was asked for")
    if not run.progress.front:
        raise InvalidInputError(f"{run.folder.root} {run.why_empty}; continue its search first")
    limits = _limits(objectives, max_macs=max_macs, max_latency_ms=max_latency_ms, min_metric=min_metric)
    front = _within(run, limits)
    phrases = [limit.phrase for limit in limits]
    if within is not None:
        top = best(front, objectives)
        front = [one for one in front if _loss(objectives, one, top) <= abs(top.measured.metric) * within / 100]
        leader = f"the best{' of these' if limits else ''} ({metric_text(top.measured.metric)})"
        phrases.append(f"{objectives.metric} at most {within:g} % worse than {leader}")
    points = f"points with {' and '.join(phrases)}" if phrases else "points of the front"
    if pick is None:
        pick = "best" if min_metric is None and within is None else "cheapest"
    if pick == "knee":
        knee = knee_of(front, objectives)
        return Choice(knee.candidate, f"is the knee of the {points}, {knee.reason}")
    if pick == "cheapest":
        return Choice(front[0], f"is the cheapest of the {points}")
    return Choice(best(front, objectives), f"has the best {objectives.metric} of the {points}")


def _limits(
    objectives: Objectives, *, max_macs: int | None, max_latency_ms: float | None, min_metric: float | None
) -> list[_Limit]:
    name, sign = objectives.metric, METRICS[objectives.metric].sign
    found = []
    if max_macs is not None:
        found.append(
            _Limit(
                f"at most {max_macs:,} MACs",
                lambda one: one.measured.macs - max_macs,
                lambda one: f"{one.measured.macs:,} MACs",
            )
        )
    if max_latency_ms is not None:
        found.append(
            _Limit(
                f"at most {max_latency_ms:g} ms",
                lambda one: 1e3 * one.measured.latency_s - max_latency_ms,
                lambda one: f"{1e3 * one.measured.latency_s:.3g} ms",
            )
        )
    if min_metric is not None:
        found.append(
            _Limit(
                f"{name} of at {'least' if sign < 0 else 'most'} {min_metric:g}",
                lambda one: sign * (one.measured.metric - min_metric),
                lambda one: f"{name} {metric_text(one.measured.metric)}",
            )
        )
    return found


def _within(run: Run, limits: Sequence[_Limit]) -> list[Candidate]:
    """Returns the front of the points that keep all limits.

    Raises:
        InvalidInputError: There are none. For each limit, the message names the point that is nearest to it among
            those that keep the others.
    """

    def keeping(kept: Sequence[_Limit]) -> list[Candidate]:
        found = [one for one in run.candidates if all(limit.excess(one) <= 0 for limit in kept)]
        return front_of(found, run.objectives)

    front = keeping(limits) if limits else run.progress.front
    if front:
        return front
    nearest = []
    for limit in limits:
        others = [other for other in limits if other is not limit]
        if points := keeping(others):
            one = min(points, key=limit.excess)
            where = f"with {' and '.join(other.phrase for other in others)}, " if others else ""
            nearest.append(f"{where}the nearest is trial {one.label} with {limit.shown(one)}")
    wanted = " and ".join(limit.phrase for limit in limits)
    raise InvalidInputError(f"no point has {wanted}; {'; '.join(nearest) or 'relaxing one limit is not enough'}")


def _loss(objectives: Objectives, one: Candidate, top: Candidate) -> float:
    return METRICS[objectives.metric].sign * (one.measured.metric - top.measured.metric)


def _of_trial(run: Run, label: str) -> Candidate:
    ensembles = {c.label: c for c in run.candidates if c.members}
    if label in ensembles:
        return ensembles[label]
    if "+" in label:
        known = f"it has {', '.join(ensembles)}" if ensembles else "it has none"
        raise InvalidInputError(f"--trial {label}: no ensemble of the front has these members; {known}")
    match = re.fullmatch(r"([0-9]{1,18})(?::([0-9]{1,18}))?", label)
    if match is None:
        raise InvalidInputError(f"--trial must be the number N of a trial, or N:P for its point P, got {label!r}")
    number = int(match[1])
    points = {c.point: c for c in run.candidates if not c.members and number in (c.trial, *c.trainings)}
    point = int(match[2]) if match[2] else min(points, default=0)
    if point in points:
        return points[point]
    if points:
        known = ", ".join(str(one) for one in sorted(points))
        raise InvalidInputError(f"--trial {label}: trial {number} has the points {known}; choose one of them")
    raise InvalidInputError(
        f"--trial {label}: {_why_no_point(run, number)}; `nasfuse pareto {shlex.quote(str(run.folder.root))}` lists "
        "the front"
    )


def _why_no_point(run: Run, number: int) -> str:
    """Returns why a trial has no point to choose, as a clause."""
    numbers = [trial.number for trial in run.trials if not trial.is_operating_point]
    if number not in numbers:
        last = f", the last is trial {max(numbers)}" if numbers else ""
        return f"there is no such trial in this run{last}"
    if reason := run.progress.reasons.get(number):
        return f"it failed: {reason}"
    how = " that was trained from scratch" if run.study.inherit else ""
    limit = run.objectives.max_macs
    within = f", or has no operating point of at most max_macs {limit}" if limit is not None else ""
    return f"it is not a finished trial of this run{how}{within}"
