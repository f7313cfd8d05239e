"""A constant prediction and a linear model."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import PoissonRegressor

from nasfuse.data.progress import reporting
from nasfuse.data.sources.registry import load_dataset
from nasfuse.experiment import plain_models
from nasfuse.experiment.plain_models import PlainScores, plain_scores
from nasfuse.spec.data import DataConfig, expand_modalities


@pytest.mark.parametrize(
    ("task", "metric", "most"),
    [("multiclass", "accuracy", 0.4), ("multilabel", "macro_f1", 0.75), ("regression", "r2", 0.01)],
)
def test_a_linear_model_learns_what_the_modalities_tell(make_dataset, task, metric, most):
    dataset = make_dataset(task, n_samples=600)
    scores = plain_scores(lambda number: dataset, DataConfig(source="digits"), metric=metric)
    assert scores.mean("constant") < most
    assert scores.mean("linear") > 0.85


def scores_of(config: DataConfig, metric: str = "accuracy") -> PlainScores:
    return plain_scores(lambda number: load_dataset(config, division=number), config, metric=metric)


def test_the_digits():
    told = []
    with reporting(lambda *progress: told.append(progress)):
        scores = scores_of(DataConfig(source="digits"))
    assert told == [("linear models", done, 3) for done in range(4)]
    assert len(scores.linear) == len(scores.constant) == 3
    assert scores.mean("linear") > 0.93
    assert scores.mean("constant") < 0.15


@pytest.fixture
def config_of(tmp_path):
    """Returns the description of 60 samples whose class is the sign of the first of three numbers."""

    def write(parts, **more):
        generator, path = np.random.default_rng(0), tmp_path / "data.npz"
        values = generator.normal(size=(60, 3))
        np.savez(path, x=values, y=(values[:, 0] > 0).astype(int), split=np.tile(parts, 12))
        return DataConfig.parse(
            expand_modalities({"data": {"source": str(path), "modalities": {"x": "vector"}, **more}})["data"]
        )

    return write


@pytest.mark.parametrize(
    ("parts", "n_divisions"),
    [(["train", "train", "train", "val", "test"], 1), (["train", "train", "train", "train", "test"], 3)],
)
def test_there_is_one_division_where_the_file_fixes_the_validation_samples(config_of, parts, n_divisions):
    assert len(scores_of(config_of(parts)).linear) == n_divisions


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_predictions_of_folds_are_pooled(config_of, repeats):
    config = config_of(["train"] * 4 + ["test"], validation={"folds": 4, "repeats": repeats})
    scores = scores_of(config)
    assert len(scores.linear) == repeats
    assert all(one * 48 == pytest.approx(round(one * 48)) for one in scores.linear)  # a share of all 48 samples
    assert scores.mean("linear") > 0.75


class Counts:
    """The loss of counts: that of a Poisson distribution with the exponential of the output as its mean."""

    def loss(self, outputs, targets):
        return (outputs[:, 0].exp() - targets * outputs[:, 0]).mean()


def test_a_kind_of_task_without_a_model_of_its_own_is_fitted_by_its_loss():
    rng = np.random.default_rng(0)
    inputs, others = rng.normal(size=(300, 4)), rng.normal(size=(20, 4))
    counts = rng.poisson(np.exp(inputs @ [0.5, -0.3, 0.0, 0.2] + 0.4)).astype(np.float64)
    found = plain_models._by_own_loss(Counts(), inputs, counts, others, n_outputs=1)
    expected = PoissonRegressor(alpha=2 * plain_models._PENALTY, tol=1e-8, max_iter=1000).fit(inputs, counts)
    assert torch.allclose(found[:, 0].exp().double(), torch.from_numpy(expected.predict(others)), rtol=1e-3)
