"""Losses of trainings: values by hand, and what holds for every loss of every kind of task."""

import math

import numpy as np
import pytest
import torch

from nasfuse.domain.loss import LOSS_OPTIONS, LOSSES, get_loss, losses_of
from nasfuse.domain.task import TASKS, VOID
from nasfuse.errors import InvalidInputError
from nasfuse.spec.training import TrainingConfig
from nasfuse.tasks import task_kind
from nasfuse.tasks.losses import training_loss
from nasfuse.tasks.losses.focal import FocalLoss

OPTIONS = TrainingConfig().loss_options
PAIRS = [(task, name) for task in TASKS for name in losses_of(task)]
TARGETS = {
    "multiclass": torch.tensor([0, 1, 2, 2]),
    "multilabel": torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]),
    "regression": torch.tensor([[0.5, 3.0], [1.5, -2.0], [-4.0, 0.25]]),
    "segmentation": torch.tensor([[[0, 1], [2, VOID]], [[2, VOID], [VOID, 2]]]).to(torch.uint8),
}
N_OUTPUTS = {"multiclass": 3, "multilabel": 2, "regression": 2, "segmentation": 3}


def outputs_of(task, seed=0):
    generator = torch.Generator().manual_seed(seed)
    axes = TARGETS[task].shape[1:] if TASKS[task].is_dense else ()
    return torch.randn(len(TARGETS[task]), N_OUTPUTS[task], *axes, generator=generator, dtype=torch.float64)


def perfect(task):
    if TASKS[task].is_dense:
        return 20.0 * torch.nn.functional.one_hot(TARGETS[task].long().clamp_max(2), 3).movedim(-1, 1).double()
    if task == "multiclass":
        return 20.0 * torch.nn.functional.one_hot(TARGETS[task], 3).double()
    return (20.0 * (2 * TARGETS[task] - 1) if task == "multilabel" else TARGETS[task]).double()


class TestRegistry:
    def test_the_first_loss_is_that_of_the_task(self):
        assert {task: losses_of(task)[0] for task in TASKS} == {
            "multiclass": "cross_entropy",
            "multilabel": "cross_entropy",
            "regression": "huber",
            "segmentation": "cross_entropy",
        }

    @pytest.mark.parametrize("task", TASKS)
    def test_the_default_is_the_loss_of_the_task(self, task):
        outputs, targets = outputs_of(task).float(), TARGETS[task]
        assert training_loss(task, options=OPTIONS)(outputs, targets) == task_kind(task).loss(outputs, targets)

    def test_options_are_fields_of_the_training(self):
        assert set(LOSS_OPTIONS) <= TrainingConfig.model_fields.keys()

    @pytest.mark.parametrize(
        ("name", "task", "match"),
        [
            (
                "l1",
                "multiclass",
                r"^l1 does not apply to a multiclass task; use cross_entropy or focal or ranked_probability$",
            ),
            ("focal", "regression", r"^focal does not apply to a regression task; use huber or l1 or squared$"),
            ("huger", "regression", r"^'huger' is not known; did you mean 'huber'\?"),
        ],
    )
    def test_others_are_refused(self, name, task, match):
        with pytest.raises(InvalidInputError, match=match):
            get_loss(name, task)


@pytest.mark.parametrize(("task", "name"), PAIRS)
class TestAll:
    def test_it_is_lowest_for_the_targets_and_has_a_gradient(self, task, name):
        loss, outputs = training_loss(task, name, options=OPTIONS), outputs_of(task).requires_grad_()
        value = loss(outputs, TARGETS[task])
        value.backward()
        assert value.shape == ()
        assert outputs.grad.abs().max() > 0
        assert loss(perfect(task), TARGETS[task]) < min(value, 1e-6)

    def test_the_gradient_is_that_of_the_value(self, task, name):
        loss, outputs = training_loss(task, name, options=OPTIONS), outputs_of(task).requires_grad_()
        targets = TARGETS[task] if TASKS[task].is_exclusive else TARGETS[task].double()
        assert torch.autograd.gradcheck(lambda given: loss(given, targets, label_smoothing=0.1), outputs)

    def test_weights_of_classes_multiply_losses(self, task, name):
        """Twice the weight of all classes is twice the loss; the weight of an absent class has no part in it."""
        if not TASKS[task].has_classes:
            return
        loss, outputs, targets = training_loss(task, name, options=OPTIONS), outputs_of(task), TARGETS[task]
        ones = torch.ones_like(task_kind(task).balanced_weights(targets, N_OUTPUTS[task])).double()
        assert torch.isclose(loss(outputs, targets, class_weights=2 * ones), 2 * loss(outputs, targets))
        only = targets[:1]
        rare = ones.clone()
        rare.view(-1)[-1] = 100.0  # class 2, or presence of the last label
        if TASKS[task].is_dense:  # three of its pixels have a label, one of them class 2
            each = loss(outputs[:1], only) * 3
            of_rare = loss(outputs[:1], torch.where(only == 2, only, VOID))
            assert torch.isclose(loss(outputs[:1], only, class_weights=rare) * 3, each + 99 * of_rare)
            return
        expected = 1.0 if task == "multiclass" else 100.0
        single = loss(outputs[:1, -1:], only[:, -1:]) if task == "multilabel" else loss(outputs[:1], only)
        weighted = loss(outputs[:1], only, class_weights=rare)
        rest = loss(outputs[:1, :1], only[:, :1]) if task == "multilabel" else torch.zeros(())
        parts = (expected * single + rest) / 2 if task == "multilabel" else expected * single
        assert torch.isclose(weighted, parts)


@pytest.mark.parametrize("name", [name for task, name in PAIRS if TASKS[task].is_dense])
def test_a_batch_without_labels_loses_nothing_and_has_a_gradient(name):
    outputs = outputs_of("segmentation").requires_grad_()
    loss = training_loss("segmentation", name, options=OPTIONS)
    value = loss(
        outputs, torch.full_like(TARGETS["segmentation"], VOID), label_smoothing=0.1, class_weights=torch.ones(3)
    )
    value.backward()
    assert value.item() == 0
    assert not outputs.grad.any()


class TestFocal:
    def test_by_hand(self):
        """Logits ln 3 and 0 are the probabilities 3/4 and 1/4."""
        outputs = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
        loss = FocalLoss(task_kind("multiclass"), focal_gamma=2.0)
        assert loss(outputs, torch.tensor([0])).item() == pytest.approx(-math.log(0.75) / 16)
        assert loss(outputs, torch.tensor([1])).item() == pytest.approx(-math.log(0.25) * 9 / 16)
        smooth = 0.9 * -math.log(0.75) / 16 + 0.1 * -math.log(0.25) * 9 / 16
        assert loss(outputs, torch.tensor([0]), label_smoothing=0.2).item() == pytest.approx(smooth)

    def test_a_label_is_a_choice_of_two(self):
        logit = torch.tensor([[math.log(3.0)]], dtype=torch.float64)
        loss = FocalLoss(task_kind("multilabel"), focal_gamma=3.0)
        assert loss(logit, torch.ones(1, 1)).item() == pytest.approx(-math.log(0.75) / 64)
        assert loss(logit, torch.zeros(1, 1)).item() == pytest.approx(-math.log(0.25) * 27 / 64)

    @pytest.mark.parametrize("task", ["multiclass", "multilabel", "segmentation"])
    def test_without_an_exponent_it_is_the_cross_entropy(self, task):
        kind, targets = task_kind(task), TARGETS[task]
        weights = kind.balanced_weights(targets, N_OUTPUTS[task]).double()
        given = {"label_smoothing": 0.2, "class_weights": weights}
        loss = FocalLoss(kind, focal_gamma=0.0)
        outputs = outputs_of(task)
        targets = targets if TASKS[task].is_exclusive else targets.double()
        assert torch.isclose(loss(outputs, targets, **given), kind.loss(outputs, targets, **given))

    @pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
    def test_a_certain_prediction_has_a_finite_gradient(self, gamma):
        outputs = torch.tensor([[200.0, -200.0]], requires_grad=True)
        FocalLoss(task_kind("multiclass"), focal_gamma=gamma)(outputs, torch.tensor([0])).backward()
        assert torch.isfinite(outputs.grad).all()


class TestRankedProbability:
    @pytest.mark.parametrize(
        ("target", "expected"), [(0, 0.5**2 + 0.25**2), (1, 0.5**2 + 0.25**2), (2, 0.5**2 + 0.75**2)]
    )
    def test_by_hand(self, target, expected):
        """The probabilities 1/2, 1/4 and 1/4 are 1/2 and 3/4 up to the first and the second class."""
        outputs = torch.tensor([[0.5, 0.25, 0.25]]).log()
        loss = training_loss("multiclass", "ranked_probability", options=OPTIONS)
        assert loss(outputs, torch.tensor([target])).item() == pytest.approx(expected)

    def test_a_distant_class_costs_more(self):
        loss = training_loss("multiclass", "ranked_probability", options=OPTIONS)
        near, far = (loss(5.0 * torch.eye(4)[[guess]], torch.tensor([0])).item() for guess in (1, 3))
        assert far > 2 * near

    def test_it_is_proper(self):
        """The expected loss is lowest for the true probabilities."""
        loss, truth = training_loss("multiclass", "ranked_probability", options=OPTIONS), torch.tensor([0.2, 0.5, 0.3])
        targets = torch.arange(3)

        def expected(probabilities):
            logits = probabilities.log().expand(3, -1)
            return loss(logits, targets, class_weights=3 * truth).item()

        others = torch.softmax(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=1)
        assert all(expected(truth) <= expected(other) for other in others)


@pytest.mark.parametrize(
    ("name", "value", "best"),
    [
        ("l1", (1 + 0 + 4) / 3, 1.0),  # the median
        ("squared", (1 + 0 + 16) / 3, 2.0),  # the mean
        ("huber", (0.5 + 0 + 3.5) / 3, None),
    ],
)
def test_errors_of_numbers_by_hand(name, value, best):
    loss, targets = training_loss("regression", name, options=OPTIONS), torch.tensor([[0.0], [1.0], [5.0]])
    assert loss(torch.ones(3, 1), targets).item() == pytest.approx(value)
    if best is not None:
        constants = np.linspace(-1, 6, 71)
        losses = [loss(torch.full((3, 1), constant), targets).item() for constant in constants]
        assert constants[np.argmin(losses)] == pytest.approx(best)


def test_every_loss_is_tested():
    assert {name for _, name in PAIRS} == LOSSES.keys()
