"""A constant prediction and a linear model."""

import numpy as np
import pytest

from nasfuse.experiment.plain_models import plain_scores, pooled_scores
from nasfuse.spec.data import DataConfig, expand_modalities


@pytest.mark.parametrize(
    ("task", "metric", "most"),
    [("multiclass", "accuracy", 0.4), ("multilabel", "macro_f1", 0.75), ("regression", "r2", 0.01)],
)
def test_a_linear_model_learns_what_the_modalities_tell(make_dataset, task, metric, most):
    constant, linear = pooled_scores([make_dataset(task, n_samples=600)], metric)
    assert constant < most
    assert linear > 0.85


def test_the_digits():
    scores = plain_scores(DataConfig(source="digits"), metric="accuracy")
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
    assert len(plain_scores(config_of(parts), metric="accuracy").linear) == n_divisions


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_predictions_of_folds_are_pooled(config_of, repeats):
    config = config_of(["train"] * 4 + ["test"], validation={"folds": 4, "repeats": repeats})
    scores = plain_scores(config, metric="accuracy")
    assert len(scores.linear) == repeats
    assert all(one * 48 == pytest.approx(round(one * 48)) for one in scores.linear)  # a share of all 48 samples
    assert scores.mean("linear") > 0.75
