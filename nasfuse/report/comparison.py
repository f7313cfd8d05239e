"""Comparison of the fronts of several runs on one reference point."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nasfuse.domain.metric import METRICS
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.run_reader import Run
from nasfuse.search.front import Candidate, Objectives, front_of


@dataclass(frozen=True)
class Span:
    """A range of costs in which the same runs have the best metric.

    Attributes:
        low: Smallest cost.
        high: Cost from which other runs lead; None for the last range.
        leaders: Names of the runs whose best point of at most this cost is the best of all; several if they are equal.
    """

    low: float
    high: float | None
    leaders: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Fronts of several runs.

    Attributes:
        objectives: Metric, cost and the reference point of all: the worst metric and the largest cost of those of the
            runs.
        fronts: Name of each run to its front, cheapest first.
        hypervolumes: Name of each run to its hypervolume, in metric x decades of cost.
        spans: Ranges of cost by the runs that lead, cheapest first.
        has_other_data: Whether the data of the runs, with their division, are described differently.
    """

    objectives: Objectives
    fronts: dict[str, list[Candidate]]
    hypervolumes: dict[str, float]
    spans: list[Span]
    has_other_data: bool


def compare(runs: Sequence[Run]) -> Comparison:
    """Returns the comparison of two or more runs with the same metric and cost.

    Raises:
        InvalidInputError: There are fewer than two runs, one is named twice, one has no front, or objectives differ.
    """
    folders = [run.folder.root.resolve() for run in runs]
    if len(set(folders)) < 2 or len(set(folders)) < len(folders):
        raise InvalidInputError("compare needs two or more different runs; name their folders")
    first = runs[0].objectives
    for run in runs:
        own = run.objectives
        if (own.metric, own.cost) != (first.metric, first.cost):
            raise InvalidInputError(
                f"{run.folder.root} has {own.metric} against {own.cost}, and {runs[0].folder.root} {first.metric} "
                f"against {first.cost}; compare runs with the same metric and cost"
            )
        if not run.progress.front:
            raise InvalidInputError(f"{run.folder.root} {run.why_empty}; continue its search first")
    worst = max if METRICS[first.metric].sign > 0 else min
    reference = (
        worst(run.objectives.reference[0] for run in runs),
        max(run.objectives.reference[1] for run in runs),
    )
    objectives = replace(first, reference=reference)
    names = _names(runs)
    fronts = {name: front_of(run.candidates, run.objectives) for name, run in zip(names, runs, strict=True)}
    return Comparison(
        objectives=objectives,
        fronts=fronts,
        hypervolumes={name: objectives.hypervolume(front) for name, front in fronts.items()},
        spans=_spans(fronts, objectives),
        has_other_data=len({run.study.data.model_dump_json() for run in runs}) > 1,
    )


def _names(runs: Sequence[Run]) -> list[str]:
    """Returns the names of the run folders, or their paths where names repeat."""
    short = [run.folder.root.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.folder.root) for run in runs]


def _spans(fronts: dict[str, list[Candidate]], objectives: Objectives) -> list[Span]:
    sign, cost = METRICS[objectives.metric].sign, objectives.cost
    spans: list[Span] = []
    for low in sorted({one.measured.cost(cost) for front in fronts.values() for one in front}):
        best = {
            name: min(sign * one.measured.metric for one in front if one.measured.cost(cost) <= low)
            for name, front in fronts.items()
            if front[0].measured.cost(cost) <= low
        }
        top = min(best.values())
        leaders = tuple(name for name, value in best.items() if value == top)
        if spans and spans[-1].leaders == leaders:
            continue
        if spans:
            spans[-1] = replace(spans[-1], high=low)
        spans.append(Span(low, None, leaders))
    return spans
