"""The front of a study: its non-dominated operating points, and how much they are worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from nasfuse.config.measurement import OperatingPoint
from nasfuse.config.metric import METRICS
from nasfuse.pareto import hypervolume, knee, non_dominated


@dataclass(frozen=True)
class Candidate:
    """One operating point of one finished trial.

    Attributes:
        trial: Number of the trial.
        point: Which of the trial's points.
        measured: The point itself.
        summary: The network in one line.
        baseline: Name of the hand-made design, None for a suggestion.
    """

    trial: int
    point: int
    measured: OperatingPoint
    summary: str
    baseline: str | None = None


@dataclass(frozen=True)
class Objectives:
    """The two objectives of a study and their fixed reference point.

    Attributes:
        metric: Name of the metric.
        cost: `macs`, `params`, `latency_s` or `peak_bytes`.
        reference: (metric, cost) that every useful network beats.
    """

    metric: str
    cost: str
    reference: tuple[float, float]

    def costs(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
        """Returns (n, 2) to be minimised: the metric (its sign turned if larger is better), log10 of the cost.

        The logarithm, because a network of half the MACs is worth the same at every size.
        """
        rows = [self._row(c.measured.metric, getattr(c.measured, self.cost)) for c in candidates]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def hypervolume(self, candidates: Sequence[Candidate]) -> float:
        """Returns the area between the front and the reference point, in metric x decades of cost."""
        if not candidates:
            return 0.0
        return float(hypervolume(self.costs(candidates), reference=np.array(self._row(*self.reference))))

    def _row(self, metric: float, cost: float) -> tuple[float, float]:
        return METRICS[self.metric].sign * metric, math.log10(max(cost, 1e-9))


def candidates_of(trials: Sequence[FrozenTrial]) -> list[Candidate]:
    """Returns every operating point of the completed trials."""
    found = []
    for trial in trials:
        if trial.state is TrialState.COMPLETE:
            for index, plain in enumerate(trial.user_attrs["points"]):
                found.append(
                    Candidate(
                        trial.number,
                        index,
                        OperatingPoint(**plain),
                        trial.user_attrs["summary"],
                        trial.user_attrs.get("baseline"),
                    )
                )
    return found


def front_of(candidates: Sequence[Candidate], objectives: Objectives) -> list[Candidate]:
    """Returns the non-dominated candidates, cheapest first."""
    if not candidates:
        return []
    keep = non_dominated(objectives.costs(candidates))
    front = [candidate for candidate, kept in zip(candidates, keep, strict=True) if kept]
    return sorted(front, key=lambda candidate: float(getattr(candidate.measured, objectives.cost)))


def best(candidates: Sequence[Candidate], objectives: Objectives) -> Candidate:
    """Returns the candidate with the best metric; the cheapest of equals."""
    costs = objectives.costs(candidates)
    return candidates[int(np.lexsort((costs[:, 1], costs[:, 0]))[0])]


def knee_of(front: Sequence[Candidate], objectives: Objectives) -> Candidate:
    """Returns the member of a front beyond which more cost buys least (in log cost)."""
    return front[knee(objectives.costs(front))]


def to_row(candidate: Candidate) -> dict[str, Any]:
    """Returns the candidate as one flat row, for tables and CSV."""
    measured = candidate.measured
    return {
        "trial": candidate.trial,
        "point": candidate.point,
        "metric": measured.metric,
        "macs": measured.macs,
        "params": measured.params,
        "latency_s": measured.latency_s,
        "peak_bytes": measured.peak_bytes,
        "baseline": candidate.baseline,
        "summary": candidate.summary,
    }
