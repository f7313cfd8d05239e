"""Choosing one operating point of a run."""

import math
import re

from nasfuse.domain.metric import METRICS, metric_text
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.run_reader import Run
from nasfuse.search.front import Candidate, best, knee_of


def pick(
    run: Run,
    *,
    rule: str | None = None,
    trial: str | None = None,
    max_macs: int | None = None,
    min_metric: float | None = None,
) -> Candidate:
    """Returns the operating point that a user asks for.

    Args:
        run: To choose from.
        rule: `best` (metric), `knee` or `cheapest` member of the front.
        trial: The main point of this trial (the first that is not above `max_macs`), on the front or not; `N:P`
            is its point P.
        max_macs: The best metric among points of at most so many MACs.
        min_metric: The cheapest point whose metric is at least as good.

    Raises:
        InvalidInputError: Nothing fits, saying what there is.
    """
    front = run.progress.front
    if trial is not None:
        return _of_trial(run, trial)
    if not front:
        raise InvalidInputError(f"{run.folder.root} has no finished trial yet; let the search run on")
    if max_macs is not None:
        affordable = [candidate for candidate in run.candidates if candidate.measured.macs <= max_macs]
        if not affordable:
            cheapest = min(candidate.measured.macs for candidate in run.candidates)
            raise InvalidInputError(f"--max-macs {max_macs}: the cheapest network has {cheapest} MACs; allow more")
        return best(affordable, run.objectives)
    if min_metric is not None:
        if math.isnan(min_metric):
            raise InvalidInputError("--min-metric must be a number, got nan")
        sign = METRICS[run.objectives.metric].sign
        good = [candidate for candidate in front if sign * candidate.measured.metric <= sign * min_metric]
        if not good:
            top = best(front, run.objectives).measured.metric
            raise InvalidInputError(
                f"--min-metric {min_metric}: the best network reaches {metric_text(top)}; ask for less"
            )
        return good[0]
    if rule == "knee":
        return knee_of(front, run.objectives)
    return front[0] if rule == "cheapest" else best(front, run.objectives)


def _of_trial(run: Run, label: str) -> Candidate:
    match = re.fullmatch(r"(\d+)(?::(\d+))?", label)
    if match is None:
        raise InvalidInputError(f"--trial must be a trial's number, or N:P for its point P, got {label!r}")
    number = int(match[1])
    points = {c.point: c for c in run.candidates if number in (c.trial, *c.trainings)}
    point = int(match[2]) if match[2] else min(points, default=0)
    if point in points:
        return points[point]
    if points:
        known = ", ".join(str(one) for one in sorted(points))
        raise InvalidInputError(f"--trial {label}: trial {number} has the points {known}; name one of them")
    reason = run.progress.reasons.get(number)
    how = " that was trained from scratch" if run.study.inherit else ""
    why = f"it failed: {reason}" if reason else f"it is not a finished trial of this run{how}"
    raise InvalidInputError(f"--trial {label}: {why}; `nasfuse pareto {run.folder.root}` lists the front")
