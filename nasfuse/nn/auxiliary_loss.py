"""Auxiliary losses: terms that modules add to the loss of a training step."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class HasAuxiliaryLosses(ABC):
    """Second base class of a module whose forward pass in training mode has losses of its own."""

    @abstractmethod
    def take_losses(self) -> Mapping[str, Tensor]:
        """Returns the scalar losses of the last pass in training mode by name, and forgets them; empty without a pass.

        A recipe has the weight of each, see `nasfuse.spec.training.TrainingConfig.loss_weights`.
        """


def take_losses(network: nn.Module) -> dict[str, Tensor]:
    """Returns the auxiliary losses of the last pass of `network` in training mode by name, and forgets them.

    A loss that several modules have is their mean.
    """
    found: dict[str, list[Tensor]] = defaultdict(list)
    for module in network.modules():
        if isinstance(module, HasAuxiliaryLosses):
            for name, loss in module.take_losses().items():
                found[name].append(loss)
    return {name: torch.stack(losses).mean() for name, losses in found.items()}
