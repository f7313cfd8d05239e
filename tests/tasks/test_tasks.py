"""Every kind of task keeps the promises of `TaskKind`, and nothing else compares names of tasks."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import nasfuse
from nasfuse.domain.metric import METRICS
from nasfuse.domain.task import TASKS, VOID
from nasfuse.errors import DataError, InvalidInputError
from nasfuse.tasks import task_kind

PACKAGE = Path(nasfuse.__file__).parent
EXAMPLES = {
    "multiclass": np.array([0, 1, 2, 1, 0, 2, 2, 2]),
    "multilabel": np.array([[0, 1], [1, 1], [0, 0], [1, 0], [0, 1], [1, 1]]),
    "regression": np.array([[0.5, 3.0], [1.5, -2.0], [-4.0, 0.25], [2.0, 1.0]]),
    "segmentation": np.array([[[0, 1, 2], [2, 2, 255]], [[1, 1, 0], [0, 255, 255]]], np.uint8),
}
METRIC_OF = {name: next(metric.name for metric in METRICS.values() if name in metric.tasks) for name in TASKS}


@pytest.fixture(params=TASKS)
def name(request):
    return request.param


@pytest.fixture
def checked(name):
    return task_kind(name).check_targets("d", EXAMPLES[name])


def maps(name, n_outputs):
    """The axes of the outputs of a sample."""
    return (n_outputs, *EXAMPLES[name].shape[1:]) if TASKS[name].is_dense else (n_outputs,)


def perfect(name, targets, n_outputs):
    """Outputs that predict `targets`, and are sure of it."""
    if TASKS[name].is_dense:
        return 20.0 * torch.nn.functional.one_hot(targets.long().clamp_max(n_outputs - 1)).movedim(-1, 1).float()
    if name == "multiclass":
        return 20.0 * torch.nn.functional.one_hot(targets, n_outputs).float()
    return 20.0 * (2 * targets - 1) if name == "multilabel" else targets.float()


def test_every_kind_has_an_example_and_a_metric():
    assert EXAMPLES.keys() == TASKS.keys() == METRIC_OF.keys()


def test_perfect_outputs_predict_the_targets_without_error(name, checked):
    kind, (targets, n_outputs) = task_kind(name), checked
    outputs = perfect(name, targets, n_outputs)
    is_known = targets != VOID
    assert torch.allclose(kind.predict(outputs)[is_known].double(), targets[is_known].double())
    assert kind.errors(kind.digest(outputs, targets)[:, None], targets).abs().max() < 1e-6


def test_a_wrong_route_has_the_larger_error(name, checked):
    kind, (targets, n_outputs) = task_kind(name), checked
    right = perfect(name, targets, n_outputs)
    wrong = right.roll(1, dims=1) if TASKS[name].is_exclusive else -right - 1.0
    errors = kind.errors(torch.stack([kind.digest(outputs, targets) for outputs in (right, wrong)], dim=1), targets)
    assert errors.shape == (len(targets), 2)
    assert (errors[:, 1] > errors[:, 0] + kind.equally_wrong).all()


def test_the_loss_is_lowest_for_the_targets_and_has_a_gradient(name, checked):
    kind, (targets, n_outputs) = task_kind(name), checked
    other = torch.zeros(len(targets), *maps(name, n_outputs), requires_grad=True)
    targets = targets if TASKS[name].is_exclusive else targets.float()
    loss = kind.loss(other, targets)
    loss.backward()
    assert other.grad.abs().max() > 0
    assert kind.loss(perfect(name, targets, n_outputs), targets) < loss


def test_confidence_rises_with_distance_from_the_decision(name, checked):
    kind, (targets, n_outputs) = task_kind(name), checked
    sure = perfect(name, targets, n_outputs)
    if kind.confidence(sure) is None:
        assert kind.doubt(kind.confidence_features(sure)) is None
        return
    assert (kind.confidence(sure) > kind.confidence(0.01 * sure)).all()
    doubts = [kind.doubt(kind.confidence_features(outputs)) for outputs in (sure, 0.01 * sure)]
    assert (doubts[0] < doubts[1]).all()
    assert all(((0 <= doubt) & (doubt <= 1)).all() and doubt.shape == (len(targets), 1) for doubt in doubts)


def test_confidence_features_have_the_announced_width(name, checked):
    kind, (_, n_outputs) = task_kind(name), checked
    outputs = torch.randn(5, *maps(name, n_outputs))
    assert kind.confidence_features(outputs).shape == (5, kind.n_confidence_features(n_outputs))


def test_the_constant_prediction_has_the_shape_of_outputs(name, checked):
    kind, (targets, n_outputs) = task_kind(name), checked
    targets = targets if TASKS[name].is_exclusive else targets.float()
    constant = kind.constant(targets, n_outputs, metric=METRIC_OF[name])
    assert constant.shape == (n_outputs,)
    outputs = constant.view(1, -1, *[1] * (len(maps(name, n_outputs)) - 1)).expand(len(targets), *maps(name, n_outputs))
    expected = kind.digest(outputs, targets)
    assert torch.allclose(kind.digests_of_constant(constant, targets), expected, atol=1e-5)


def test_what_is_said_of_a_split_is_the_same_from_digests(name, checked):
    kind, (targets, n_outputs) = task_kind(name), checked
    targets = targets if TASKS[name].is_exclusive else targets.float()
    outputs = torch.randn(len(targets), *maps(name, n_outputs), generator=torch.Generator().manual_seed(2))
    digests = torch.cat([kind.digest(outputs[:1], targets[:1]), kind.digest(outputs[1:], targets[1:])])
    assert digests.dim() == 2
    assert float(kind.split_loss(digests, targets)) == pytest.approx(float(kind.loss(outputs, targets)), rel=1e-5)
    sure = kind.confidence(outputs)
    assert (sure is None) == (kind.digest_confidence(digests) is None)
    if sure is not None:
        assert torch.allclose(kind.digest_confidence(digests), sure, atol=1e-6)
    confusion, gaps = kind.confusion(digests, targets), kind.confidence_gaps(digests, targets)
    assert (confusion is not None) == (gaps is not None) == TASKS[name].is_exclusive
    if confusion is not None:
        known = targets != VOID
        pairs = zip(targets[known].tolist(), kind.predict(outputs)[known].tolist(), strict=True)
        counts = Counter(pairs)
        expected = [[counts[true, guess] for guess in range(n_outputs)] for true in range(n_outputs)]
        assert confusion.tolist() == expected
        assert float(gaps.sum()) == pytest.approx(
            float(
                (kind.predict(outputs)[known] == targets[known]).double().mean() - probabilities(outputs)[known].mean()
            )
        )


def probabilities(outputs):
    """The largest probability of each sample or pixel."""
    return outputs.double().softmax(dim=1).amax(dim=1)


def test_strata_have_one_entry_per_sample(name):
    assert task_kind(name).strata(EXAMPLES[name]).shape == (len(EXAMPLES[name]),)


def test_a_class_without_training_samples_is_named():
    targets = torch.tensor([0, 0, 1])
    with pytest.raises(DataError, match="d: class 1 has no training sample"):
        task_kind("multiclass").check_training_targets("d", targets, torch.tensor([0, 1]))


@pytest.mark.parametrize("name", ["multilabel", "regression"])
def test_targets_without_an_output_are_refused(name):
    with pytest.raises(DataError, match=r"d must be \(n, k\)|d must be \(n,\) or \(n, k\)"):
        task_kind(name).check_targets("d", np.zeros((5, 0)))


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(InvalidInputError, match=r"data\.task: 'multiclas' is not known; did you mean 'multiclass'\?"):
        task_kind("multiclas")


def test_no_other_module_compares_names_of_tasks():
    """A further kind of task is one module and one entry; `sources/npz.py` guesses the task of an undescribed file."""
    names = "|".join(TASKS)
    comparison = re.compile(rf'(==|!=|in \() ?"({names})"|"({names})" ?(==|:)')
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if comparison.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


class TestBalancedWeights:
    def test_every_class_has_the_same_share_of_the_loss(self, name, checked):
        kind, (targets, n_outputs) = task_kind(name), checked
        weights = kind.balanced_weights(targets, n_outputs)
        assert (weights is not None) == TASKS[name].has_classes
        if weights is None:
            return
        outputs = torch.zeros(len(targets), *maps(name, n_outputs), requires_grad=True)
        loss = kind.loss(outputs, targets, class_weights=weights)
        assert torch.isclose(loss, kind.loss(outputs, targets)), "constant outputs lose as much as without weights"
        loss.backward()
        per_class = outputs.grad.movedim(1, -1).reshape(-1, n_outputs).sum(dim=0)
        assert per_class.abs().max() < 1e-6, "no class is worth more than another"

    def test_a_label_that_no_sample_has_is_no_division_by_zero(self):
        targets = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        weights = task_kind("multilabel").balanced_weights(targets, 2)
        assert torch.isfinite(weights).all()
        assert torch.isfinite(task_kind("multilabel").loss(torch.zeros(2, 2), targets, class_weights=weights))


def test_the_average_of_equal_outputs_predicts_the_same(name, checked):
    kind, (targets, n_outputs) = task_kind(name), checked
    outputs = torch.randn(len(targets), *maps(name, n_outputs), generator=torch.Generator().manual_seed(0))
    averaged = kind.average(outputs.expand(3, *outputs.shape))
    assert torch.allclose(kind.predict(averaged).double(), kind.predict(outputs).double(), atol=1e-6)
    assert kind.loss(averaged, targets).item() == pytest.approx(kind.loss(outputs, targets).item(), rel=1e-5)


def test_an_average_is_never_worse_than_the_mean_of_the_losses(name, checked):
    # Losses are convex in the averaged probabilities or numbers (Jensen).
    kind, (targets, n_outputs) = task_kind(name), checked
    outputs = 3 * torch.randn(5, len(targets), *maps(name, n_outputs), generator=torch.Generator().manual_seed(1))
    losses = [kind.loss(one, targets).item() for one in outputs]
    assert kind.loss(kind.average(outputs), targets).item() <= sum(losses) / 5 + 1e-6


@pytest.mark.parametrize("name", TASKS)
def test_distance_of_outputs_is_least_where_they_are_equal(name):
    kind, shape = task_kind(name), (5, 3, 2, 2) if TASKS[name].is_dense else (5, 3)
    wanted = torch.randn(shape)
    assert float(kind.distance(wanted, wanted)) == pytest.approx(0, abs=1e-6)
    outputs = torch.randn(shape, requires_grad=True)
    before = kind.distance(outputs, wanted)
    assert float(before) > 0
    before.backward()
    assert float(kind.distance(outputs - 0.1 * outputs.grad, wanted)) < float(before)
