"""Auxiliary losses: terms that modules add to the loss of a training step."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from nasfuse.errors import InvalidInputError, nearest


class HasAuxiliaryLosses(ABC):
    """Second base class of a module whose forward pass in training mode has losses of its own."""

    @abstractmethod
    def take_losses(self) -> Mapping[str, Tensor]:
        """Returns the scalar losses of the last pass in training mode by name, and forgets them; empty without a pass.

        A recipe has the weight of each, see `nasfuse.spec.training.TrainingConfig.loss_weights`.
        """


def take_losses(network: nn.Module, *, known: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Returns the auxiliary losses of the last pass of `network` in training mode by name, and forgets them.

    A loss that several modules have is their mean.

    Args:
        network: Network that has computed a batch in training mode.
        known: Names of the losses that have a weight; None accepts all names.

    Raises:
        InvalidInputError: A module has a loss whose name is not known.
    """
    found: dict[str, list[Tensor]] = defaultdict(list)
    for place, module in network.named_modules():
        if isinstance(module, HasAuxiliaryLosses):
            for name, loss in module.take_losses().items():
                if known is not None and name not in known:
                    raise InvalidInputError(
                        f"the module {place} ({type(module).__name__}) has the loss {name!r}, for which recipes have "
                        f"no weight; {nearest(name, known)}; add it to TrainingConfig.loss_weights"
                    )
                found[name].append(loss)
    return {name: torch.stack(losses).mean() for name, losses in found.items()}
