"""Search engines: studies of nasfuse, and plain loops of Optuna as controls."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from nasfuse.spec.study import BudgetConfig, Sampler


@dataclass(frozen=True)
class StudyEngine:
    """A study of nasfuse: its scheduler, with its visibility, stopping and confirmation, and its driver.

    Attributes:
        sampler: As in a study file.
        stopping: Whether trainings are stopped early, by the default rule of a study.
        repeats: Trainings behind a confirmed member of the front; 1 repeats none.
        delays_results: Whether suggestions ignore the results of the last trainings, as in a study, so that they are
            the same for any number of workers. If not, only those of as many trainings as other workers run.
        knows_durations: Whether the sampler is told how long trainings take, as in a search with a budget in minutes.
    """

    sampler: Sampler
    stopping: bool = False
    repeats: int = 1
    delays_results: bool = True
    knows_durations: bool = False


@dataclass(frozen=True)
class OptunaEngine:
    """What a user of Optuna would write: ask for parameters, train to the end, tell the values.

    Attributes:
        sampler: Called with a seed.
    """

    sampler: Callable[[int], BaseSampler]


Engine = StudyEngine | OptunaEngine


def _quietly(make: Callable[[], BaseSampler]) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make()


#: Suffix of studies that stop trainings early.
STOPPED = "+mo-asha"

#: The study that a user gets without a word about sampler, stopping and repeats.
DEFAULT = "nasfuse"

#: The same without repeated trainings.
UNCONFIRMED = f"known-cost{STOPPED}"

#: Suffix of studies in which a suggestion depends on all results so far, if one worker trains.
VISIBLE = "+visible"

#: Suffix of studies whose sampler is told how long trainings take.
TIMED = "+seconds"

#: Controls. `optuna-tpe` is Optuna's default sampler with its default settings.
CONTROLS: dict[str, Engine] = {
    "optuna-random": OptunaEngine(lambda seed: RandomSampler(seed=seed)),
    "optuna-nsga2": OptunaEngine(lambda seed: NSGAIISampler(seed=seed)),
    "optuna-tpe": OptunaEngine(lambda seed: TPESampler(seed=seed)),
    "optuna-tpe-together": OptunaEngine(
        lambda seed: _quietly(lambda: TPESampler(seed=seed, multivariate=True, group=True))
    ),
    "optuna-gp": OptunaEngine(lambda seed: _quietly(lambda: GPSampler(seed=seed, warn_independent_sampling=False))),
}

#: Samplers of studies by the name of their engine.
_SAMPLERS: dict[str, Sampler] = {"random": "random", "tpe": "tpe", "known-cost": "known_cost"}

_STUDIES = {
    **{name: StudyEngine(sampler) for name, sampler in _SAMPLERS.items()},
    **{f"{name}{STOPPED}": StudyEngine(sampler, stopping=True) for name, sampler in _SAMPLERS.items()},
    DEFAULT: StudyEngine("known_cost", stopping=True, repeats=BudgetConfig.model_fields["repeats"].default),
}

ENGINES: dict[str, Engine] = {
    **CONTROLS,
    **_STUDIES,
    **{
        f"{name}{VISIBLE}": replace(_STUDIES[name], delays_results=False)
        for name in ("known-cost", UNCONFIRMED, DEFAULT)
    },
    f"known-cost{TIMED}": replace(_STUDIES["known-cost"], knows_durations=True),
}

#: Engines whose suggestions take about a second, or that make some hundred of them with costly models.
SLOW = ("optuna-gp", *(name for name in ENGINES if name.startswith((DEFAULT, "known-cost"))))
