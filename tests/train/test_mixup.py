"""What mixes a batch: one lambda, one permutation, for features and label."""

import pytest
import torch

from nasfuse.train.mixup import Mixture


def test_features_and_one_hot_labels_are_mixed_alike():
    mixture = Mixture.draw(0.7, torch.arange(6))
    one_hot = torch.eye(6)
    label = mixture.of_loss(lambda logits, targets: one_hot[targets])(torch.zeros(()), torch.arange(6))
    assert torch.equal(label, mixture.of(one_hot))
    assert torch.allclose(label.sum(dim=1), torch.ones(6))
    assert torch.equal(one_hot[mixture.order].argmax(dim=1), mixture.order)


def test_a_generator_decides_lambda_and_partners():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(Mixture.draw(0.4, torch.zeros(9)))
    first, again, other = drawn
    assert first.weight == again.weight
    assert torch.equal(first.order, again.order)
    assert first.weight != other.weight


def test_lambda_is_of_the_beta_distribution():
    weights = torch.tensor([Mixture.draw(0.3, torch.zeros(1)).weight for _ in range(2000)])
    assert weights.mean().item() == pytest.approx(0.5, abs=0.03)
    assert weights.var().item() == pytest.approx(0.25 / 1.6, rel=0.1)  # 1 / (4 (2 alpha + 1))


def test_partners_are_a_permutation():
    assert torch.equal(Mixture.draw(1.0, torch.zeros(50, 3)).order.sort().values, torch.arange(50))
