"""Suggestions: the parameters of the next trial, from the sampler or from the confirmation of the front."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import Trial

from nasfuse.search.budget import Budget, End
from nasfuse.search.computed_costs import ComputedCosts
from nasfuse.search.confirmation import next_repetition
from nasfuse.search.counts import n_waiting
from nasfuse.search.front import Objectives
from nasfuse.search.hand_made_designs import HandMadeDesigns
from nasfuse.search.optuna_internals import forget_cached_trials, trial_id_of
from nasfuse.search.samplers import Domain, SamplerContext, make_sampler
from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.coverage import Coverage, suggested_rows
from nasfuse.search.space import Space
from nasfuse.search.trial import TrialView, TrialWriter, enqueue_baseline, enqueue_repetition
from nasfuse.search.unvisited import Unvisited
from nasfuse.search.views import trials_of
from nasfuse.search.visibility import handed_out
from nasfuse.search.write_through import WriteThroughStorage
from nasfuse.seeds import derive_seed
from nasfuse.spec.study import StudyConfig

#: Times that a sampler is asked again when it suggests a visited recipe, before an unvisited one is drawn at random.
_REDRAWS = 4

Draw = tuple[Trial, dict[str, Any]]


class Suggestions:
    """Draws the trials of a study; each depends only on its number and on the trials that the storage shows."""

    def __init__(
        self,
        study: optuna.Study,
        storage: WriteThroughStorage,
        config: StudyConfig,
        space: Space,
        *,
        costs: ComputedCosts,
    ) -> None:
        """Draws for `study`, which lives in `storage`."""
        self._study = study
        self._storage = storage
        self._config = config
        self._space = space
        self._budget = Budget.from_config(config.budget)
        self._costs = costs
        self._domain = Domain(space.parameters, constants=space.constants)
        self._unvisited = Unvisited(self._domain, costs, max_macs=config.max_macs)
        self.designs = HandMadeDesigns(
            space, costs, self._budget, max_macs=config.max_macs, takes_offers=config.sampler == "known_cost"
        )

    def draw(self, objectives: Objectives, *, seconds: float) -> Draw | None:
        """Returns the next trial and its parameters; None if every network of the space was handed out.

        That is a training that failed and is tried again; else a hand-made design while their share of the budget
        lasts; else, in the last part of the budget, a repetition of a member of the front; else what the sampler
        suggests.

        Args:
            objectives: Objectives of the study.
            seconds: Wall-clock time that the search has taken.
        """
        trials = trials_of(self._study)
        if n_waiting(trials):
            return self._ask()
        if self._is_time_to_confirm(objectives, trials, seconds=seconds) and self._enqueue_repetition(
            objectives, within_s=self._budget.left_s(End.SHORTENED, seconds=seconds)
        ):
            return self._ask()
        design = self.designs.first(trials, seconds=seconds)
        if design is not None:
            enqueue_baseline(self._study, self._space.baselines[design], name=design)
            return self._ask()
        self._unvisited.update(trials)
        if self._unvisited.is_exhausted():
            return None
        return self._suggest(objectives, trials, seconds=seconds)

    def _is_time_to_confirm(self, objectives: Objectives, trials: Sequence[TrialView], *, seconds: float) -> bool:
        """Returns whether a repetition comes before a suggestion.

        While the known-cost sampler has not tried every family twice, only the best point is confirmed.
        """
        trainings = len(handed_out(trials))
        if not self._budget.is_for_confirming(trainings=trainings, seconds=seconds):
            return False
        if self._config.sampler != "known_cost" or self._budget.is_for_the_best(trainings=trainings, seconds=seconds):
            return True
        context = self._context(objectives)
        costs = Costs(
            self._domain, cost_of=context.cost_of, least_cost_of=context.least_cost_of, max_cost=context.max_cost
        )
        return Coverage(self._domain, costs, suggested_rows(trials, self._domain)).is_complete

    def repeat(self, objectives: Objectives) -> Draw | None:
        """Returns a repetition of an unconfirmed member of the front; None if all are confirmed."""
        return self._ask() if self._enqueue_repetition(objectives) else None

    def _enqueue_repetition(self, objectives: Objectives, *, within_s: float | None = None) -> bool:
        """Enqueues a repetition of a training that took at most `within_s`, if any; returns whether there is one."""
        trials = trials_of(self._study)

        def fits(first: TrialView) -> bool:
            return within_s is None or first.record is None or first.record.get("wall_s", 0.0) <= within_s

        found = next_repetition(trials, objectives, repeats=self._budget.repeats, fits=fits)
        if found is None:
            return False
        first, division = found
        enqueue_repetition(self._study, first, division=division)
        return True

    def _suggest(self, objectives: Objectives, trials: Sequence[TrialView], *, seconds: float) -> Draw:
        """Returns what the sampler suggests, or a random unvisited network if all its suggestions were visited.

        If no unvisited network is found either, a recipe is suggested again.
        """
        start = time.perf_counter()
        number = len(trials)
        context = self._context(objectives, offered=self.designs.offered(trials), seconds=seconds)
        # The known-cost sampler excludes visited recipes itself; asked again, it would return the same suggestion.
        n_draws = 1 if self._config.sampler == "known_cost" else 1 + _REDRAWS
        trial: Trial | None = None
        for redraw in range(n_draws):
            self._study.sampler = make_sampler(
                self._config.sampler, self._config.seed, number=number, redraw=redraw, context=context
            )
            trial, parameters = self._ask() if trial is None else self._ask_again(trial)
            if not self._unvisited.is_visited(parameters):
                break
        else:
            assert trial is not None
            chosen = self._unvisited.pick(seed=derive_seed(self._config.seed, "unvisited", number))
            if chosen is not None:
                trial, parameters = self._ask_again(trial, fixed=chosen)
                self._writer(trial).fallback("the sampler suggested what was trained before; drawn at random")
        design = self.designs.name_of(parameters)
        if design is not None:
            self._writer(trial).baseline(design)
        self._writer(trial).suggestion_s(time.perf_counter() - start)
        return trial, parameters

    def _writer(self, trial: Trial) -> TrialWriter:
        return TrialWriter(self._storage, trial_id_of(trial))

    def _ask(self) -> Draw:
        trial = self._study.ask()
        return trial, self._space.suggest(trial)

    def _ask_again(self, trial: Trial, *, fixed: Mapping[str, Any] | None = None) -> Draw:
        """Draws the parameters of a trial anew, or sets them to `fixed`."""
        self._storage.reset_draft(trial_id_of(trial), fixed=fixed)
        forget_cached_trials(self._study)
        again = Trial(self._study, trial_id_of(trial))
        return again, self._space.suggest(again)

    def _context(
        self, objectives: Objectives, *, seconds: float = 0.0, offered: Sequence[Mapping[str, Any]] = ()
    ) -> SamplerContext:
        """Returns what the known-cost sampler is told about the study, `seconds` after its start."""
        metric, cost = objectives.reference
        limit = self._config.max_macs
        return SamplerContext(
            domain=self._domain,
            cost_of=self._costs.log_cost,
            least_cost_of=self._costs.log_least,
            max_cost=None if limit is None else math.log10(limit),
            reference=(metric, math.log10(max(cost, 1e-9))),
            is_visited=self._unvisited.is_visited,
            offered=offered,
            covers=self._budget.is_for_covering(seconds=seconds),
            seconds_of=self._costs.seconds if self._costs.estimates_seconds else None,
            budget_s=math.inf if self._budget.seconds is None else self._budget.seconds,
        )
