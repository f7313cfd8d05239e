"""Metrics from logits: every one that a recipe can name, on every task it can judge."""

import pytest
import torch

from nasfuse.config.metric import METRICS
from nasfuse.train.losses import task_loss
from nasfuse.train.metrics import score

PAIRS = [(metric.name, task) for metric in METRICS.values() for task in metric.tasks]


def perfect(task):
    """Logits that are right about the targets beside them."""
    if task == "multiclass":
        targets = torch.arange(12) % 3
        return 9.0 * torch.nn.functional.one_hot(targets).float(), targets
    if task == "multilabel":
        targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        return 9.0 * (2 * targets - 1), targets
    targets = torch.tensor([[1.0], [2.0], [4.0]])
    return targets.clone(), targets


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_perfect_beats_wrong_in_the_declared_direction(name, task):
    logits, targets = perfect(task)
    best, wrong = (score(name, x, targets, task=task) for x in (logits, -logits))
    assert METRICS[name].sign * best < METRICS[name].sign * wrong
    assert best == pytest.approx(0.0 if METRICS[name].direction == "minimize" else 1.0)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_the_worst_value_is_no_better_than_a_wrong_network(name, task):
    logits, targets = perfect(task)
    if name == "r2":
        pytest.skip("r2 has no lower bound: 0 is what the mean gets")
    wrong = score(name, -logits, targets, task=task)
    assert METRICS[name].sign * METRICS[name].worst >= METRICS[name].sign * wrong


def test_accuracy_and_its_balanced_form():
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    targets = torch.tensor([0, 0, 0, 1])
    assert score("accuracy", logits, targets, task="multiclass") == 0.75
    assert score("balanced_accuracy", logits, targets, task="multiclass") == 0.5


def test_labels_are_positive_logits():
    logits, targets = torch.tensor([[0.1, -0.1], [-3.0, 3.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    # One of three positives is missed: precision 1, recall 2/3.
    assert score("micro_f1", logits, targets, task="multilabel") == pytest.approx(0.8)


def test_losses_of_the_tasks():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    expected = -torch.log_softmax(logits, 1)[[0, 1], [0, 0]].mean()
    assert torch.allclose(task_loss(logits, torch.tensor([0, 0]), task="multiclass"), expected)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = -(labels * logits.sigmoid().log() + (1 - labels) * (1 - logits.sigmoid()).log()).mean()
    assert torch.allclose(task_loss(logits, labels, task="multilabel"), expected)
    targets = torch.tensor([[2.5, 0.0], [0.0, 4.0]])
    assert torch.allclose(task_loss(logits, targets, task="regression"), torch.tensor((0.125 + 2.5) / 4))


def test_smoothing_is_for_classes_only():
    logits, labels = torch.randn(4, 2), torch.ones(4, 2)
    plain, smooth = (task_loss(logits, labels, task="multilabel", label_smoothing=s) for s in (0.0, 0.3))
    assert torch.equal(plain, smooth)
    classes = torch.zeros(4, dtype=torch.int64)
    plain, smooth = (task_loss(logits, classes, task="multiclass", label_smoothing=s) for s in (0.0, 0.3))
    assert not torch.equal(plain, smooth)
