"""Suggestions: what the sampler of a study, or the rule that repeats trainings, wants to be trained next."""

import math
import time
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import Trial

from nasfuse.search.budget import Budget
from nasfuse.search.confirmation import next_repetition
from nasfuse.search.front import Objectives
from nasfuse.search.network_costs import NetworkCosts
from nasfuse.search.optuna_internals import forget_cached_trials, trial_id_of
from nasfuse.search.samplers import Domain, Known, make_sampler
from nasfuse.search.space import Space
from nasfuse.search.trial import TrialWriter, enqueue_repetition, trials_of
from nasfuse.search.unvisited import Unvisited
from nasfuse.search.write_through import Mirror
from nasfuse.seeds import derive_seed
from nasfuse.spec.study import StudyConfig

#: How often a sampler that suggests what was suggested before is asked again, before chance takes its place.
_REDRAWS = 4

Draw = tuple[Trial, dict[str, Any]]


class Suggestions:
    """Draws the trials of a study, each depending on its number and on what the storage shows of those before it."""

    def __init__(
        self, study: optuna.Study, mirror: Mirror, config: StudyConfig, space: Space, *, costs: NetworkCosts
    ) -> None:
        """Draws for `study`, which lives in `mirror`."""
        self._study = study
        self._mirror = mirror
        self._config = config
        self._space = space
        self._budget = Budget.from_config(config.budget)
        self._costs = costs
        self._domain = Domain(space.parameters, known=space.known)
        self._unvisited = Unvisited(self._domain, costs, max_macs=config.max_macs)

    def draw(self, objectives: Objectives, *, seconds: float) -> Draw | None:
        """Returns the next trial and its parameters: a hand-made design, a repetition if it is time, or a suggestion.

        None where every network of the space was handed out.

        Args:
            objectives: Of the study.
            seconds: That the search has taken.
        """
        trials = trials_of(self._study)
        trainings = sum(trial.was_handed_out for trial in trials)
        waits = any(trial.is_waiting for trial in trials)
        is_time = not waits and self._budget.is_for_confirming(trainings=trainings, seconds=seconds)
        if waits or (is_time and self._enqueue_repetition(objectives)):
            return self._ask()
        self._unvisited.update(trials)
        if self._unvisited.is_exhausted():
            return None
        return self._suggest(objectives, number=len(trials))

    def repeat(self, objectives: Objectives) -> Draw | None:
        """Returns a further training of an unconfirmed member of the front; None where all are confirmed."""
        return self._ask() if self._enqueue_repetition(objectives) else None

    def _enqueue_repetition(self, objectives: Objectives) -> bool:
        trials = trials_of(self._study)
        found = next_repetition(trials, objectives, repeats=self._budget.repeats)
        if found is None:
            return False
        first, split = found
        enqueue_repetition(self._study, first, split=split)
        return True

    def _suggest(self, objectives: Objectives, *, number: int) -> Draw:
        """Returns what the sampler suggests; if all it suggests was handed out before, an unvisited network by chance.

        Only where none is found either, a recipe is suggested again.
        """
        start = time.perf_counter()
        known = self._known(objectives)
        # The known-cost sampler leaves out by itself what was visited: it would suggest the same again.
        n_draws = 1 if self._config.sampler == "known_cost" else 1 + _REDRAWS
        trial: Trial | None = None
        for redraw in range(n_draws):
            self._study.sampler = make_sampler(
                self._config.sampler, self._config.seed, number=number, redraw=redraw, known=known
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
        self._writer(trial).suggestion_s(time.perf_counter() - start)
        return trial, parameters

    def _writer(self, trial: Trial) -> TrialWriter:
        return TrialWriter(self._mirror, trial_id_of(trial))

    def _ask(self) -> Draw:
        trial = self._study.ask()
        return trial, self._space.suggest(trial)

    def _ask_again(self, trial: Trial, *, fixed: Mapping[str, Any] | None = None) -> Draw:
        """Draws the parameters of a trial anew, or sets them."""
        self._mirror.reset_draft(trial_id_of(trial), fixed=fixed)
        forget_cached_trials(self._study)
        again = Trial(self._study, trial_id_of(trial))
        return again, self._space.suggest(again)

    def _known(self, objectives: Objectives) -> Known:
        """Returns what the known-cost sampler may know of the study before any training."""
        metric, cost = objectives.reference
        limit = self._config.max_macs
        return Known(
            domain=self._domain,
            cost_of=self._costs.log_cost,
            least_cost_of=self._costs.log_least,
            max_cost=None if limit is None else math.log10(limit),
            reference=(metric, math.log10(max(cost, 1e-9))),
            is_visited=self._unvisited.is_visited,
        )
