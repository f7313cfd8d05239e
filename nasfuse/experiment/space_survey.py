"""Survey of the networks of a space before the first training."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
import torch
from optuna.samplers import RandomSampler

from nasfuse.cost import expected_macs, measure_cost
from nasfuse.cost.network_macs import mean_macs
from nasfuse.data import Dataset
from nasfuse.errors import ConfigError, InvalidInputError, NasfuseError
from nasfuse.experiment.weightless import weightless_network
from nasfuse.nn import RoutedNetwork
from nasfuse.search.space import Space
from nasfuse.search.storage import quieten_optuna
from nasfuse.seeds import derive_seed
from nasfuse.spec.ensemble import AnyRecipe
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig
from nasfuse.train import check_network, check_training

_N_DRAWS = 128


class SpaceSurvey:
    """Hand-made designs and random draws of a space, with the checks that a training makes before its first step.

    Attributes:
        recipes: Recipes that can be trained.
        designs: Those of the hand-made designs, by name.
        left_out: Names of the hand-made designs that cannot be trained, by reason.
    """

    def __init__(self, study: StudyConfig, space: Space, dataset: Dataset) -> None:
        """Draws recipes and checks them.

        Raises:
            InvalidInputError: No recipe can be trained, or all have more MACs than `max_macs` of the study.
        """
        self.recipes: list[Recipe] = []
        self.designs: dict[str, Recipe] = {}
        self.left_out: dict[str, list[str]] = {}
        self._space = space
        self._dataset = dataset
        self._macs: list[int] = []
        self._problems: Counter[str] = Counter()
        for name, parameters in space.baselines.items():
            problem = self._problem_of(parameters)
            if problem is None:
                self.designs[name] = self.recipes[-1]
            else:
                self.left_out.setdefault(problem, []).append(name)
        for parameters in _draws(space, seed=study.seed):
            self._problem_of(parameters)
        self._check_any_can_be_trained(study)
        self._check_limit(study)

    def _problem_of(self, parameters: Mapping[str, Any]) -> str | None:
        """Returns the reason why parameters cannot be trained, which is counted; None if they can."""
        try:
            recipe = self._space.recipe(parameters)
            check_training(recipe, self._dataset)
            self._macs.append(macs_of(recipe, self._dataset))
        except NasfuseError as error:
            problem = _one_line(error)
            self._problems[problem] += 1
            return problem
        self.recipes.append(recipe)
        return None

    def _check_any_can_be_trained(self, study: StudyConfig) -> None:
        if self.recipes:
            return
        (problem, _), *others = self._problems.most_common()
        place = _fixed_at(problem, study)
        raise InvalidInputError(
            f"none of {self._problems.total()} networks drawn from the space of study {study.name} can be trained; "
            f"{'the most frequent' if others else 'the'} reason: {place}{problem}"
        )

    def _check_limit(self, study: StudyConfig) -> None:
        limit = study.max_macs
        if limit is not None and min(self._macs) > limit:
            raise InvalidInputError(
                f"max_macs: no network of at most {limit} MACs was found in the space, the cheapest of "
                f"{_N_DRAWS} draws and the baselines has {min(self._macs)}; raise it"
            )


def _draws(space: Space, *, seed: int) -> Iterator[dict[str, Any]]:
    quieten_optuna()
    study = optuna.create_study(sampler=RandomSampler(seed=derive_seed(seed, "reference")))
    for _ in range(_N_DRAWS):
        yield space.suggest(study.ask())


def _one_line(error: NasfuseError) -> str:
    problems = error.problems if isinstance(error, ConfigError) else [error]
    return " ".join("; ".join(str(problem) for problem in problems).split())


def _fixed_at(problem: str, study: StudyConfig) -> str:
    """Returns where the field at the start of a problem is fixed, as text; empty if it is not fixed."""
    path, *_ = problem.split(":")
    for place, fixed in (("fixed", study.fixed), ("space.fixed", study.space.fixed)):
        if any(re.fullmatch(re.escape(key).replace(r"\*", "[^.]+"), path) for key in fixed):
            return f"{place}: "
    return ""


def macs_of(recipe: AnyRecipe, dataset: Dataset, *, route: int | None = None) -> int:
    """Returns the expected MACs of a recipe without training it or allocating its weights.

    For a routed network, they are those of the given `route`, or by default of the one that all samples take
    (`router.always`), or of the cheapest route, its lower limit.

    Raises:
        InvalidInputError: The network is invalid for the data, or `router.macs` is below the cheapest route.
    """
    network = weightless_network(recipe, dataset)
    if isinstance(recipe, Recipe):
        check_network(recipe, network, dataset)
    return expected_macs(network, dataset, route=route)


def training_macs_of(recipe: Recipe, dataset: Dataset) -> int:
    """Returns the expected MACs of a recipe per sample of a training step, forwards, without training it.

    A step of a routed network computes all routes, which share streams and have a fusion, a head and a decoder each.
    With `training.routing.routes_per_step: one`, it is the mean of the routes, which most steps are.

    Raises:
        InvalidInputError: As for `macs_of`.
    """
    network = weightless_network(recipe, dataset)
    check_network(recipe, network, dataset)
    if not isinstance(network, RoutedNetwork):
        return expected_macs(network, dataset)
    routing = recipe.training.routing
    if routing is not None and routing.routes_per_step == "one":
        return round(float(mean_macs(network.static_macs, network, dataset).mean()))
    return round(float(mean_macs(lambda lengths: [network.all_routes_macs(lengths)], network, dataset)[0]))


def known_cost_of(recipe: Recipe, dataset: Dataset, cost: str) -> float:
    """Returns the cost called `cost` of a recipe, one that is known before training; of several routes the costliest.

    Raises:
        InvalidInputError: As for `macs_of`.
    """
    if cost == "macs":
        return macs_of(recipe, dataset, route=-1)
    network = weightless_network(recipe, dataset)
    return measure_cost(cost, network, dataset.train.batch(torch.arange(1), names=network.stream_names))


def route_macs_of(recipe: AnyRecipe, dataset: Dataset) -> dict[str, int]:
    """Returns the MACs of a full-length sample by route, including the router; empty for a static network."""
    network = weightless_network(recipe, dataset)
    return network.full_route_macs() if isinstance(network, RoutedNetwork) else {}
