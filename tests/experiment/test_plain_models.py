"""A constant prediction and a linear model."""

import pytest

from nasfuse.data.sources.digits import load_digits
from nasfuse.experiment.plain_models import plain_scores


@pytest.mark.parametrize(
    ("task", "metric", "most"),
    [("multiclass", "accuracy", 0.4), ("multilabel", "macro_f1", 0.75), ("regression", "r2", 0.01)],
)
def test_a_linear_model_learns_what_the_modalities_tell(make_dataset, task, metric, most):
    scores = plain_scores(make_dataset(task, n_samples=600), metric=metric)
    assert scores["constant"] < most
    assert scores["linear"] > 0.85


def test_the_digits():
    scores = plain_scores(load_digits(), metric="accuracy")
    assert scores["linear"] > 0.93
    assert scores["constant"] < 0.15
