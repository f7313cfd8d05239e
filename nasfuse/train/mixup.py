"""Mixup: features and labels of a batch are mixed with those of a permutation of it, with the same weight."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: Maps logits (b, n_outputs) and targets to the mean loss.
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Mixture:
    """Weight and partners of the samples of a batch (Zhang et al., 2018), the same for all modalities and the label.

    Attributes:
        weight: Weight lambda of a sample; the weight of its partner is 1 - lambda.
        order: Index of the partner of each sample, (b,).
    """

    weight: float
    order: Tensor

    @classmethod
    def draw(cls, alpha: float, targets: Tensor) -> "Mixture":
        """Returns a lambda from Beta(alpha, alpha) and partners for the samples of `targets` (b, ...).

        Random numbers come from torch's current generator.
        """
        weight = float(torch.distributions.Beta(alpha, alpha).sample())
        return cls(weight, torch.randperm(len(targets), device=targets.device))

    def of(self, values: Tensor) -> Tensor:
        """Returns the mixed values (b, ...)."""
        return self.weight * values + (1 - self.weight) * values[self.order]

    def of_loss(self, loss: Loss) -> Loss:
        """Returns the loss of mixed samples as a function of their logits and the original targets."""

        def mixed(logits: Tensor, targets: Tensor) -> Tensor:
            return self.weight * loss(logits, targets) + (1 - self.weight) * loss(logits, targets[self.order])

        return mixed
