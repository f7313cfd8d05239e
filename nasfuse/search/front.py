"""Pareto front of a study: candidates, the non-dominated ones among them, and their hypervolume."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import optuna
from numpy.typing import NDArray

from nasfuse.domain.cost import COSTS
from nasfuse.domain.knob import parted
from nasfuse.domain.metric import METRICS, metric_text
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.errors import RunFolderError
from nasfuse.pareto import hypervolume
from nasfuse.search.fold import Fold
from nasfuse.search.growing_front import GrowingFront
from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.trial import TrialView

#: Loss of the metric that a recommended point may have where trainings were not repeated, as a share of what the best
#: point gains over a constant prediction.
STATED_LOSS = 0.01


@dataclass(frozen=True)
class Candidate:
    """One measured operating point of one recipe, averaged over all trainings of the recipe.

    Attributes:
        trial: Number of the first training.
        point: Index of the operating point among those of a training.
        measured: The operating point. Metric and MACs are means over the trainings, the latency is their median, the
            threshold is that of the first training, and a route is given only if all trainings have the same.
        summary: The network in one line, with its setting.
        baseline: Name of the hand-made design; None for a suggestion.
        trainings: Numbers of all trials with this recipe that were trained from scratch.
        metric_sd: Standard deviation of the metric over the trainings; None for a single one.
        members: Networks of an ensemble, of which `trial` and `point` are those of the first; empty for one network.
    """

    trial: int
    point: int
    measured: OperatingPoint
    summary: str
    baseline: str | None = None
    trainings: tuple[int, ...] = ()
    metric_sd: float | None = None
    members: "tuple[Candidate, ...]" = ()

    @cached_property
    def rows(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Rows of `Objectives.costs` that were computed, by metric and cost; a search asks for them many times."""
        return {}

    @property
    def label(self) -> str:
        """Identifier that `nasfuse export --trial` takes.

        `trial`, or `trial:point` for other points than the first; of an ensemble, those of its members: `12+7:3`.
        """
        if self.members:
            return "+".join(member.label for member in self.members)
        return f"{self.trial}:{self.point}" if self.point else str(self.trial)

    @property
    def spread(self) -> str:
        """Standard deviation of the metric as text, if there is one, with the number of trainings in parentheses."""
        count = f"({len(self.trainings)})"
        return count if self.metric_sd is None else f"{metric_text(self.metric_sd, digits=3)} {count}"


@dataclass(frozen=True)
class Objectives:
    """The two objectives of a study, their fixed reference point, and the limit on MACs.

    Attributes:
        metric: Name of the metric that networks are selected by.
        cost: Name of the cost, one of `nasfuse.domain.cost.COSTS`.
        reference: Reference point (metric, cost) of the hypervolume; every useful network is better in both.
        max_macs: Largest number of MACs of an operating point that may be on the front; None for no limit.
        robust_metric: Value that the metric of a point on the front must reach where a modality is missing; None for no
            limit.
        reported: Name of the metric that is reported beside `metric`; None if there is one metric.
    """

    metric: str
    cost: str
    reference: tuple[float, float]
    max_macs: int | None = None
    robust_metric: float | None = None
    reported: str | None = None

    @classmethod
    def from_study(cls, study: optuna.Study) -> "Objectives":
        """Returns the objectives stored in `study`.

        Raises:
            RunFolderError: The study has not started.
        """
        attributes = StudyAttributes(study)
        names, reference = study.metric_names, attributes.reference
        if names is None or reference is None:
            raise RunFolderError("the study has not started yet; run the search first")
        return cls(
            metric=names[0],
            cost=names[1].removeprefix("log10_"),
            reference=reference,
            max_macs=attributes.max_macs,
            robust_metric=attributes.robust_metric,
            reported=attributes.reported,
        )

    def costs(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
        """Returns the objectives to minimise, shape (n, 2): the metric, negated if larger is better, and log10 cost.

        The logarithm makes halving the cost worth the same for networks of all sizes.
        """
        key = (self.metric, self.cost)
        rows = [candidate.rows.get(key) or self._add_row(candidate) for candidate in candidates]
        return np.fromiter(itertools.chain.from_iterable(rows), np.float64, 2 * len(rows)).reshape(-1, 2)

    def are_useful(self, costs: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns for each row of `costs` whether the metric is better than that of a constant prediction."""
        found: NDArray[np.bool_] = costs[:, 0] < METRICS[self.metric].sign * self.reference[0]
        return found

    def is_robust(self, candidate: Candidate) -> bool:
        """Returns whether the metric reaches `robust_metric` without any one modality; always, without a limit."""
        if self.robust_metric is None:
            return True
        found, sign = candidate.measured.robust_metric, METRICS[self.metric].sign
        return found is not None and sign * found <= sign * self.robust_metric

    def hypervolume(self, candidates: Sequence[Candidate]) -> float:
        """Returns the area between the front and the reference point, in metric x decades of cost."""
        if not candidates:
            return 0.0
        return float(hypervolume(self.costs(candidates), reference=np.array(self._row(*self.reference))))

    def _add_row(self, candidate: Candidate) -> tuple[float, float]:
        row = self._row(candidate.measured.metric, candidate.measured.cost(self.cost))
        candidate.rows[self.metric, self.cost] = row
        return row

    def _row(self, metric: float, cost: float) -> tuple[float, float]:
        return METRICS[self.metric].sign * metric, math.log10(max(cost, 1e-9))


def allowed_candidates(
    trials: Sequence[TrialView], objectives: Objectives, *, with_inherited: bool = False
) -> list[Candidate]:
    """Returns the candidates of `candidates_of` that keep to the limits of the objectives."""
    found = candidates_of(trials, max_macs=objectives.max_macs, with_inherited=with_inherited)
    if objectives.robust_metric is None:
        return found
    return [candidate for candidate in found if objectives.is_robust(candidate)]


def candidates_of(
    trials: Sequence[TrialView], *, max_macs: int | None = None, with_inherited: bool = False
) -> list[Candidate]:
    """Returns the operating points of the complete trainings, averaged over the trainings of each recipe.

    Trials that are operating points are skipped, because their training already lists them. Trainings that started
    from inherited weights are skipped, because they have had more epochs than their recipe says.

    Args:
        trials: All trials of the study.
        max_macs: Largest number of MACs of a point, in each training; None for no limit.
        with_inherited: Whether to include recipes that were only trained from inherited weights, with the results of
            these trainings. Their `trainings` are empty.
    """
    trained = _trained(max_macs).of(trials)
    if not with_inherited or all(trial.recipe_hash in trained.from_scratch for trial in trained.inherited):
        return trained.candidates.copy()
    of_recipe: dict[str, list[TrialView]] = {}
    for trial in filter(_is_complete_training, trials):
        if not trial.is_inherited or trial.recipe_hash not in trained.from_scratch:
            of_recipe.setdefault(trial.recipe_hash, []).append(trial)
    return [candidate for trainings in of_recipe.values() for candidate in _of_recipe(trainings, max_macs)]


@dataclass(frozen=True)
class _Trained:
    """The complete trainings among trials.

    Attributes:
        from_scratch: Hash of a recipe to its trainings from scratch, in the order of the first ones.
        candidates: Candidates of these trainings, in the same order.
        spans: Hash of a recipe to the places of its candidates among them.
        inherited: Trainings that started from inherited weights.
    """

    from_scratch: dict[str, list[TrialView]] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    spans: dict[str, slice] = field(default_factory=dict)
    inherited: tuple[TrialView, ...] = ()


@lru_cache(maxsize=16)
def _trained(max_macs: int | None) -> Fold[TrialView, _Trained]:
    """Returns the fold of trials to their trainings; candidates have at most `max_macs`."""

    def extend(before: _Trained, trials: Sequence[TrialView]) -> _Trained:
        complete = list(filter(_is_complete_training, trials))
        if not complete:
            return before
        from_scratch = dict(before.from_scratch)
        for trial in complete:
            if not trial.is_inherited:
                from_scratch[trial.recipe_hash] = [*from_scratch.get(trial.recipe_hash, ()), trial]
        names = dict.fromkeys(trial.recipe_hash for trial in complete if not trial.is_inherited)
        candidates, spans = _replaced(before, {name: _of_recipe(from_scratch[name], max_macs) for name in names})
        inherited = (*before.inherited, *(trial for trial in complete if trial.is_inherited))
        return _Trained(from_scratch, candidates, spans, inherited)

    return Fold(_Trained(), extend)


def _replaced(before: _Trained, of_recipes: dict[str, list[Candidate]]) -> tuple[list[Candidate], dict[str, slice]]:
    """Returns the candidates of all recipes after those of some are replaced or added, and the places of each."""
    candidates, spans = before.candidates.copy(), dict(before.spans)
    for name, found in of_recipes.items():
        place = spans.setdefault(name, slice(len(candidates), len(candidates) + len(found)))
        if len(found) != place.stop - place.start:  # a point does not hold in all trainings of the recipe
            every = {other: before.candidates[span] for other, span in before.spans.items()}
            return _replaced(_Trained(), {**every, **of_recipes})
        candidates[place] = found
    return candidates, spans


def _is_complete_training(trial: TrialView) -> bool:
    return trial.is_complete and not trial.is_operating_point


#: Candidates of a recipe by its first training, with the trainings and the limit for which they were computed. A search
#: asks for all candidates several times per trial, and those of one recipe have changed.
_known: WeakKeyDictionary[TrialView, tuple[list[TrialView], int | None, list[Candidate]]] = WeakKeyDictionary()


def _of_recipe(trainings: list[TrialView], max_macs: int | None) -> list[Candidate]:
    """Returns the candidates of the trainings of one recipe."""
    first = trainings[0]
    known = _known.get(first)
    if known is not None and known[0] == trainings and known[1] == max_macs:
        return known[2]
    groups: dict[tuple[int, frozenset[tuple[str, float]]], list[tuple[TrialView, OperatingPoint]]] = {}
    places: dict[frozenset[tuple[str, float]], int] = {}
    for trial in trainings:
        for index, point in enumerate(trial.points):
            # Points are the same in all trainings of a recipe, except for thresholds; other versions may differ.
            setting = frozenset(item for item in point.settings.items() if item[0] != "threshold")
            # Which sub-networks are measured depends on the training, so their settings alone say which are the same.
            place = places.setdefault(setting, index) if parted(point.settings)[0] else index
            groups.setdefault((place, setting), []).append((trial, point))
    # A setting must hold and stay within max_macs in all trainings; otherwise its mean would cover some of them only.
    candidates = [
        _candidate(index, group)
        for (index, _), group in groups.items()
        if all(measured.holds and measured.is_within(max_macs) for _, measured in group)
    ]
    _known[first] = trainings, max_macs, candidates
    return candidates


def _candidate(index: int, group: list[tuple[TrialView, OperatingPoint]]) -> Candidate:
    first, point = group[0]
    metrics = [measured.metric for _, measured in group]
    macs = statistics.fmean(measured.macs for _, measured in group)
    outside_macs = statistics.fmean(measured.outside_macs for _, measured in group)
    latency_s = statistics.median(measured.latency_s for _, measured in group)
    knobs = dict(point.knobs)
    if len({measured.knobs.get("route") for _, measured in group}) > 1:  # static in some trainings only
        knobs.pop("route", None)
    mean = replace(
        point,
        metric=statistics.fmean(metrics),
        macs=round(macs),
        outside_macs=round(outside_macs),
        latency_s=latency_s,
        knobs=knobs,
        reported_metric=_mean([measured.reported_metric for _, measured in group]),
        robust_metric=_mean([measured.robust_metric for _, measured in group]),
    )
    return Candidate(
        trial=first.number,
        point=index,
        measured=mean,
        summary=f"{first.summary} | {mean.setting}" if knobs else first.summary,
        baseline=first.baseline,
        trainings=tuple(trial.number for trial, _ in group if not trial.is_inherited),
        metric_sd=statistics.stdev(metrics) if len(metrics) > 1 else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean of the values; None if one was not measured."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def front_of(candidates: Sequence[Candidate], objectives: Objectives) -> list[Candidate]:
    """Returns the non-dominated candidates that are better than a constant prediction, cheapest first."""
    front = _growing(objectives).of(candidates)
    return sorted(front, key=lambda candidate: candidate.measured.cost(objectives.cost))


@lru_cache(maxsize=16)
def _growing(objectives: Objectives) -> GrowingFront[Candidate]:
    return GrowingFront(objectives.costs, are_useful=objectives.are_useful)


def is_perfect(candidate: Candidate, objectives: Objectives) -> bool:
    """Returns whether no metric of predicted classes can be better, because every validation sample is predicted."""
    classes = {name for name, metric in METRICS.items() if "regression" not in metric.tasks}
    return objectives.metric in classes - {"log_loss"} and candidate.measured.metric == 1.0


def best(candidates: Sequence[Candidate], objectives: Objectives) -> Candidate:
    """Returns the candidate with the best metric; of equals, the cheapest."""
    costs = objectives.costs(candidates)
    return candidates[int(np.lexsort((costs[:, 1], costs[:, 0]))[0])]


@dataclass(frozen=True)
class Knee:
    """The member of a front that is recommended; `nasfuse.search.picks.KNEE` defines it.

    Attributes:
        candidate: The member.
        loss: Largest loss of the metric against the best member that was accepted.
        is_standard_error: Whether `loss` is the standard error of the best member; otherwise too few trainings were
            repeated, and it is `STATED_LOSS` of what the best member gains over a constant prediction.
    """

    candidate: Candidate
    loss: float
    is_standard_error: bool

    @property
    def reason(self) -> str:
        """Why this member is recommended, as a phrase."""
        if self.is_standard_error:
            accepted = f"one standard error ({self.loss:.2g}) of the best"
        else:
            accepted = f"{self.loss:.2g} of the best ({STATED_LOSS:.0%} of its lead over a constant)"
        return f"the cheapest point within {accepted}"


def knee_of(front: Sequence[Candidate], objectives: Objectives) -> Knee:
    """Returns the cheapest member whose metric is within one standard error of the best one (Breiman et al., 1984).

    The standard error of the best member is the standard deviation of trainings over the square root of the number of
    its trainings. The standard deviation is pooled over all repeated members of the front, because that of two or three
    trainings says little. Where no member was repeated, `STATED_LOSS` of the gain over a constant prediction is
    accepted.

    Args:
        front: Members of a front, at least one, cheapest first.
        objectives: Objectives of the front.
    """
    sign = METRICS[objectives.metric].sign
    top = best(front, objectives)
    repeated = [(len(one.trainings) - 1, one.metric_sd) for one in front if one.metric_sd is not None]
    freedom = sum(count for count, _ in repeated)
    if freedom:
        pooled = math.sqrt(sum(count * sd**2 for count, sd in repeated) / freedom)
        loss = pooled / math.sqrt(max(len(top.trainings), 1))
    else:
        loss = STATED_LOSS * abs(top.measured.metric - objectives.reference[0])
    accepted = sign * top.measured.metric + loss
    chosen = next(one for one in front if sign * one.measured.metric <= accepted or one is top)
    return Knee(chosen, loss, is_standard_error=freedom > 0)


#: Keys of the rows that `to_row` returns.
COLUMNS = (
    "trial",
    "point",
    "members",
    "metric",
    "metric_sd",
    "reported_metric",
    "robust_metric",
    "trainings",
    *COSTS,
    "setting",
    "figure",
    "baseline",
    "summary",
)


def to_row(candidate: Candidate) -> dict[str, Any]:
    """Returns the candidate as a flat row for tables and CSV files; None for what does not apply or was not measured.

    An ensemble has the labels of its `members`; `trial` and `point` are those of the first.
    """
    measured = candidate.measured
    values = {
        **vars(measured),
        "total_macs": measured.total_macs,
        **measured.costs,
        **vars(candidate),
        "setting": measured.setting,
        "figure": measured.figure,
        "trainings": len(candidate.trainings),
        "members": candidate.label if candidate.members else None,
    }
    return {name: values.get(name) for name in COLUMNS}
