"""Auxiliary losses: a network yields those of its modules, once."""

import pytest
import torch
from torch import nn

from nasfuse.errors import InvalidInputError
from nasfuse.nn.auxiliary_loss import HasAuxiliaryLosses, take_losses


class Sparse(nn.Module, HasAuxiliaryLosses):
    """A module with one or two losses."""

    def __init__(self, **losses):
        super().__init__()
        self.losses = {name: torch.tensor(value) for name, value in losses.items()}

    def take_losses(self):
        losses, self.losses = self.losses, {}
        return losses


def test_losses_of_one_name_are_averaged_and_forgotten():
    network = nn.Sequential(Sparse(ratio=1.0), nn.Linear(2, 2), nn.Sequential(Sparse(ratio=3.0, entropy=5.0)), Sparse())
    assert take_losses(network) == {"ratio": 2.0, "entropy": 5.0}
    assert take_losses(network) == {}


def test_the_gradient_reaches_every_module():
    first, second = Sparse(), Sparse()
    weights = [torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)]
    first.losses, second.losses = {"ratio": 2 * weights[0]}, {"ratio": 4 * weights[1]}
    take_losses(nn.Sequential(first, second))["ratio"].backward()
    assert [float(weight.grad) for weight in weights] == [1.0, 2.0]


def test_a_loss_without_a_weight_is_named_with_its_module():
    network = nn.ModuleDict({"left": Sparse(ratio=1.0), "right": nn.Sequential(Sparse(ration=3.0))})
    message = (
        r"^the module right\.0 \(Sparse\) has the loss 'ration', for which recipes have no weight; did you mean "
        r"'ratio'\? Known: ratio; add it to TrainingConfig\.loss_weights$"
    )
    with pytest.raises(InvalidInputError, match=message):
        take_losses(network, known={"ratio": 2.0})
