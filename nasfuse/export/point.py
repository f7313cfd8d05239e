"""Selection of one operating point of a run."""

import math
import re
import shlex

from nasfuse.domain.metric import METRICS, metric_text
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.run_reader import Run
from nasfuse.search.front import Candidate, best
from nasfuse.search.picks import picks


def select_point(
    run: Run,
    *,
    rule: str | None = None,
    trial: str | None = None,
    max_macs: int | None = None,
    max_latency_ms: float | None = None,
    min_metric: float | None = None,
    within: float | None = None,
) -> Candidate:
    """Returns the operating point that meets one criterion; by default the best metric on the front.

    Args:
        run: Run to choose from.
        rule: Member of the front, by its name in `nasfuse.search.picks.picks`.
        trial: Number N of a trial, for its first recorded point, or `N:P` for its point P. The point need not be on the
            front. Those of several, joined by +, are an ensemble of the front.
        max_macs: Upper limit of MACs; the point with the best metric is returned.
        max_latency_ms: Upper limit of the measured latency in milliseconds; the point with the best metric is returned.
        min_metric: Lower limit of the metric (upper limit if it is minimised); the cheapest point is returned.
        within: Percentage of the best metric that may be lost; the cheapest point is returned.

    Raises:
        InvalidInputError: No point meets the criterion; the message gives the available range.
    """
    front = run.progress.front
    if trial is not None:
        return _of_trial(run, trial)
    if not front:
        raise InvalidInputError(f"{run.folder.root} {run.why_empty}; continue its search first")
    if max_macs is not None:
        affordable = [candidate for candidate in run.candidates if candidate.measured.macs <= max_macs]
        if not affordable:
            cheapest = min(candidate.measured.macs for candidate in run.candidates)
            raise InvalidInputError(f"--max-macs {max_macs}: the cheapest network has {cheapest} MACs; raise the limit")
        return best(affordable, run.objectives)
    if max_latency_ms is not None:
        fast = [candidate for candidate in run.candidates if 1e3 * candidate.measured.latency_s <= max_latency_ms]
        if not fast:
            fastest = 1e3 * min(candidate.measured.latency_s for candidate in run.candidates)
            raise InvalidInputError(
                f"--max-latency-ms {max_latency_ms:g}: the fastest network takes {fastest:.3g} ms; raise the limit"
            )
        return best(fast, run.objectives)
    sign, top = METRICS[run.objectives.metric].sign, best(front, run.objectives).measured.metric
    if within is not None:
        limit = sign * top + abs(top) * within / 100
        return next(candidate for candidate in front if sign * candidate.measured.metric <= limit)
    if min_metric is not None:
        if math.isnan(min_metric):
            raise InvalidInputError("--min-metric must be a number, got nan")
        good = [candidate for candidate in front if sign * candidate.measured.metric <= sign * min_metric]
        if not good:
            raise InvalidInputError(
                f"--min-metric {min_metric}: the best network reaches {metric_text(top)}; relax the limit"
            )
        return good[0]
    return picks(front, run.objectives)[rule or "best"].candidate


def _of_trial(run: Run, label: str) -> Candidate:
    ensembles = {c.label: c for c in run.candidates if c.members}
    if label in ensembles:
        return ensembles[label]
    if "+" in label:
        known = f"it has {', '.join(ensembles)}" if ensembles else "it has none"
        raise InvalidInputError(f"--trial {label}: no ensemble of the front has these members; {known}")
    match = re.fullmatch(r"(\d+)(?::(\d+))?", label)
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
    reason = run.progress.reasons.get(number)
    how = " that was trained from scratch" if run.study.inherit else ""
    limit = run.objectives.max_macs
    within = f", or has no operating point of at most max_macs {limit}" if limit is not None else ""
    why = f"it failed: {reason}" if reason else f"it is not a finished trial of this run{how}{within}"
    raise InvalidInputError(
        f"--trial {label}: {why}; `nasfuse pareto {shlex.quote(str(run.folder.root))}` lists the front"
    )
