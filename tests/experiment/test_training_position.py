"""Where a running training is."""

import pytest

from nasfuse.experiment.training_position import training_position
from nasfuse.spec.recipe import Recipe


def recipe(**data):
    return Recipe.parse(
        {
            "data": {"source": "digits", **data},
            "network": {"route": ["left"], "streams": {"left": {"encoder": "linear"}}},
            "training": {"epochs": 3},
        }
    )


@pytest.mark.parametrize(("n_lines", "expected"), [(None, "epoch 1/3"), (2, "epoch 3/3"), (3, "measuring")])
def test_the_epoch(tmp_path, n_lines, expected):
    if n_lines is not None:
        (tmp_path / "metrics.jsonl").write_text("{}\n" * n_lines)
    assert training_position(tmp_path, recipe()) == expected


def test_the_fold(tmp_path):
    folds = recipe(validation={"folds": 2, "repeats": 2})
    assert training_position(tmp_path, folds) == "fold 1/4, epoch 1/3"
    for k in range(4):
        (tmp_path / f"fold{k}").mkdir()
        (tmp_path / f"fold{k}" / "metrics.jsonl").write_text("{}\n")
        assert training_position(tmp_path, folds) == f"fold {k + 1}/4, epoch 2/3"
        (tmp_path / f"fold{k}" / "model.pt").touch()
    assert training_position(tmp_path, folds) == "measuring"


def test_folds_that_are_trained_together(tmp_path):
    folds = recipe(validation={"folds": 4})
    for k in range(4):
        (tmp_path / f"fold{k}").mkdir()
        (tmp_path / f"fold{k}" / "metrics.jsonl").write_text("{}\n" * (3 if k == 0 else 1))
    (tmp_path / "fold0" / "model.pt").touch()
    assert training_position(tmp_path, folds) == "folds 2-4/4, epoch 2/3"
