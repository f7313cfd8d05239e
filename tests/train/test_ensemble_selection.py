"""Selection of ensembles: greedy by the loss, and judged on samples that had no part in it."""

import pytest
import torch

from nasfuse.data.dataset import Scale
from nasfuse.tasks import task_kind
from nasfuse.train.ensemble_selection import EnsembleSelection, Predictions
from nasfuse.train.metrics import score

KIND = task_kind("multiclass")


def drawn(n_networks=5, n_samples=60, *, seed=0, signal=1.0):
    """Networks that know different things, on samples in four folds."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(3, (n_samples,), generator=generator)
    noise = torch.randn(n_networks, n_samples, 3, generator=generator)
    outputs = noise + signal * torch.nn.functional.one_hot(targets, 3)
    return Predictions(outputs, targets, torch.randint(4, (n_samples,), generator=generator))


def loss(predictions, members, rows):
    return float(KIND.loss(KIND.average(predictions.outputs[sorted(members), :][:, rows]), predictions.targets[rows]))


def naive_path(parts, first, others, most, keep):
    path = [first]
    while len(path) < most and set(others) - set(path):
        left = [number for number in others if number not in path]
        losses = [sum(loss(one, [*path, number], keep(one)) for one in parts) / len(parts) for number in left]
        path.append(left[losses.index(min(losses))])
    return path


@pytest.mark.parametrize("n_divisions", [1, 3])
def test_members_and_metrics_are_those_of_a_naive_twin(n_divisions):
    parts = [drawn(seed=seed) for seed in range(n_divisions)]
    found = EnsembleSelection(parts, metric="accuracy", task="multiclass").select(4, [0, 1, 2, 3], most=4)
    whole = naive_path(parts, 4, [0, 1, 2, 3], 4, lambda one: slice(None))
    assert [one.members for one in found] == [tuple(whole[:size]) for size in (2, 3, 4)]
    for one in found:
        size = len(one.members)
        for part, metric in zip(parts, one.metrics, strict=True):
            right = 0
            for fold in range(4):
                path = naive_path(parts, 4, [0, 1, 2, 3], size, lambda one, fold=fold: one.folds != fold)
                inside = part.folds == fold
                outputs = KIND.average(part.outputs[sorted(path)][:, inside])
                right += int((outputs.argmax(dim=1) == part.targets[inside]).sum())
            assert metric == pytest.approx(right / len(part.targets))


def test_the_reported_metric_is_that_of_the_same_predictions():
    """What is selected by the loss is not changed by it, and each metric is the other's where they change places."""
    part = [drawn(seed=3)]
    by_loss = EnsembleSelection(part, metric="log_loss", task="multiclass", reported="accuracy").select(
        4, range(4), most=3
    )
    alone = EnsembleSelection(part, metric="accuracy", task="multiclass").select(4, range(4), most=3)
    assert [(one.members, one.reported) for one in by_loss] == [(one.members, one.metrics) for one in alone]
    assert all(one.reported == () for one in alone)


def test_there_are_no_more_members_than_networks():
    selection = EnsembleSelection([drawn(3)], metric="accuracy", task="multiclass")
    assert [len(one.members) for one in selection.select(2, [0, 1, 2], most=9)] == [2, 3]
    assert selection.select(0, [], most=9) == []


def test_networks_that_know_different_things_are_put_together():
    targets = torch.arange(40) % 2
    known = torch.arange(40) % 4 < 2
    sure = 8.0 * torch.nn.functional.one_hot(targets, 2)
    half = [torch.where(mask[:, None], sure, 0.0) for mask in (known, known, ~known)]
    parts = Predictions(torch.stack(half), targets, torch.arange(40) // 2 % 5)
    (pair,) = EnsembleSelection([parts], metric="log_loss", task="multiclass").select(0, [1, 2], most=2)
    assert pair.members == (0, 2)
    assert score("accuracy", KIND.average(parts.outputs[[0, 2]]), targets, task="multiclass") == 1.0


def test_networks_that_know_nothing_do_not_look_better_together():
    better, cross_validated = 0.0, 0.0
    for seed in range(20):
        part = drawn(12, seed=seed, signal=0.0)
        found = EnsembleSelection([part], metric="accuracy", task="multiclass").select(11, range(11), most=5)[-1]
        together = KIND.average(part.outputs[list(found.members)])
        better += score("accuracy", together, part.targets, task="multiclass") / 20
        cross_validated += found.metrics[0] / 20
    assert better > 0.39, "chosen on the samples on which it is judged"
    assert cross_validated == pytest.approx(1 / 3, abs=0.03)


def test_a_regression_is_judged_in_the_unit_of_the_data():
    targets = torch.linspace(-1, 1, 20)[:, None]
    outputs = torch.stack([targets + 0.5, targets - 0.5, targets + 3.0])
    scale = Scale(torch.tensor([[5.0]]), torch.tensor([[10.0]]))
    parts = Predictions(outputs, targets, torch.arange(20) % 5, scale)
    found = EnsembleSelection([parts], metric="mae", task="regression").select(0, [1, 2], most=3)
    assert [one.members for one in found] == [(0, 1), (0, 1, 2)]
    assert found[0].metrics == (pytest.approx(0.0, abs=1e-5),)
    assert found[1].metrics == (pytest.approx(10.0, abs=1e-4),)


def test_a_fold_without_samples_in_a_division():
    first, second = drawn(3, seed=0), drawn(3, seed=1)
    second = Predictions(second.outputs, second.targets, torch.zeros_like(second.folds))
    found = EnsembleSelection([first, second], metric="accuracy", task="multiclass").select(2, [0, 1], most=3)
    assert all(0 < metric <= 1 for one in found for metric in one.metrics)
    assert [len(one.members) for one in found] == [2, 3]
