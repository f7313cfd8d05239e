"""Mixup: a batch mixed with a permutation of itself, features and labels with the same weight."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: From logits (b, n_outputs) and targets to the mean loss.
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Mixture:
    """How the samples of one batch are mixed (Zhang et al., 2018): alike for every modality and for the label.

    Attributes:
        weight: Lambda, what a sample itself counts; its partner counts the rest.
        order: (b,) the partner of each sample.
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
        """Returns the loss of mixed samples; it is given the targets as they were."""

        def mixed(logits: Tensor, targets: Tensor) -> Tensor:
            return self.weight * loss(logits, targets) + (1 - self.weight) * loss(logits, targets[self.order])

        return mixed
