"""The expected calibration error, against numbers computed by hand."""

import pytest
import torch

from nasfuse.train.calibration_error import calibration_error


def logits(*probabilities):
    """Logits of two classes of which the first has these probabilities."""
    first = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([first, 1 - first], dim=1).log()


@pytest.mark.parametrize(
    ("probabilities", "targets", "error"),
    [
        ((0.9, 0.9, 0.9, 0.9, 0.9), (0, 0, 0, 0, 1), 0.1),  # one bin: accuracy 0.8, confidence 0.9
        ((0.1, 0.1), (1, 0), 0.4),  # class 1 is predicted with 0.9: accuracy 0.5
        # two bins: |1 - 0.6| for one sample, |0.5 - 0.99| for two
        ((0.6, 0.99, 0.99), (0, 0, 1), (0.4 + 2 * 0.49) / 3),
        # 0.81 and 0.85 share the bin (12/15, 13/15]: accuracy 0.5, confidence 0.83; their own errors would be 0.52
        ((0.81, 0.85), (0, 1), 0.33),
    ],
)
def test_by_hand(probabilities, targets, error):
    found = calibration_error(logits(*probabilities), torch.tensor(targets), task="multiclass")
    assert found == pytest.approx(error, abs=1e-12)


def test_certain_and_right_is_perfect():
    outputs = torch.tensor([[1e3, 0.0], [0.0, 1e3]])
    assert calibration_error(outputs, torch.tensor([0, 1]), task="multiclass") == 0


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks_have_none(task):
    assert calibration_error(torch.zeros(3, 2), torch.zeros(3, 2), task=task) is None
