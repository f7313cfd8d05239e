"""Importance of the parameters of a space for being near the front."""

import warnings
from collections.abc import Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection

from nasfuse.domain.metric import METRICS
from nasfuse.search.storage import quieten_optuna
from nasfuse.search.trial import TrialView

#: Complete trainings below which nothing is said about importance.
LEAST_TRAININGS = 20

#: Trainings that count as good, at least; with fewer, the estimate is unstable.
_LEAST_GOOD = 5

#: Share of all trainings that count as good.
_GOOD = 0.1


def parameter_importance(trials: Sequence[TrialView], metric: str) -> dict[str, float]:
    """Returns the share of each parameter in what tells the best trainings from all, the largest first.

    This is PED-ANOVA (Watanabe et al., 2023) as Optuna has it, in which parameters may be conditional. The best
    trainings are a tenth of all, at least five, by their Pareto rank in the two objectives. Other than the front, only
    first trainings at their own setting count, one for each recipe. Empty with fewer than `LEAST_TRAININGS` of them.

    Args:
        trials: All trials of a study.
        metric: Name of the metric that the study selects by.
    """
    first = [one for one in trials if one.is_complete and not one.is_operating_point and not one.is_repetition]
    if len(first) < LEAST_TRAININGS:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # regimes of a single trial, which are left out
        study = _study_of(first, metric)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=max(_GOOD, _LEAST_GOOD / len(first)))
        found = get_param_importances(study, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _study_of(trials: Sequence[TrialView], metric: str) -> optuna.Study:
    """Returns a study in memory that holds `trials` and no other."""
    quieten_optuna()
    metric_direction = StudyDirection.MAXIMIZE if METRICS[metric].sign < 0 else StudyDirection.MINIMIZE
    study = optuna.create_study(directions=[metric_direction, StudyDirection.MINIMIZE])
    study.add_trials([trial.frozen for trial in trials])
    return study
