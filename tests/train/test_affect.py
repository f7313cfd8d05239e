"""Metrics of sentiment scores, by hand."""

import numpy as np
import pytest
import torch

from nasfuse.data.target_scale import standardised, target_scale_of
from nasfuse.errors import DataError
from nasfuse.train.metrics import score

#: Two positive, two negative and two neutral scores; the prediction of the last one has the wrong sign.
TRUTH = [1.4, 3.0, -0.6, 0.0, 0.0, -2.0]
GUESS = [0.8, 4.2, -1.4, 0.2, -0.8, 0.3]


def column(values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("affect_acc2", 3 / 4),
        # Positive: precision 2/3, recall 1, F1 4/5; negative: precision 1, recall 1/2, F1 2/3; two samples each.
        ("affect_f1", (4 / 5 + 2 / 3) / 2),
        # As whole numbers 1 3 -1 0 0 -2 against 1 3 -1 0 -1 0.
        ("affect_acc7", 4 / 6),
    ],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_by_hand(name, expected, scaled):
    truth, guess, scale = column(TRUTH), column(GUESS), None
    if scaled:
        scale = target_scale_of("d", truth, torch.arange(3))
        truth, guess = standardised(truth, scale), standardised(guess, scale)
    assert score(name, guess, truth, task="regression", target_scale=scale) == pytest.approx(expected)


def test_scores_between_two_whole_numbers_survive_standardisation():
    """In float32, 0 and 1.5 are not what they were; the score is rounded to 2, and 0 remains neutral."""
    truth = column([0.0, 1.5, -2.5, 2.9, 0.7, 1.1, -0.3])
    scale = target_scale_of("d", truth, torch.arange(7))
    given = {"task": "regression", "target_scale": scale}
    guess = standardised(column([9.0, 2.0, -2.0, 3.0, 1.0, 1.0, -0.2]), scale)
    assert score("affect_acc7", guess, standardised(truth, scale), **given) == pytest.approx(6 / 7)
    assert score("affect_acc2", guess, standardised(truth, scale), **given) == pytest.approx(1.0)


def test_the_mean_over_outputs():
    truth, guess = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    assert score("affect_acc2", guess, truth, task="regression") == pytest.approx(3 / 4)
    assert score("affect_acc7", guess, truth, task="regression") == pytest.approx(3 / 4)


def test_neutral_scores_alone_are_refused():
    zeros = torch.zeros(3, 1)
    with pytest.raises(DataError, match=r"the target is 0 in all samples of this split, .*; use mae$"):
        score("affect_acc2", zeros, zeros, task="regression")
    assert np.isclose(score("affect_acc7", zeros, zeros, task="regression"), 1.0)
