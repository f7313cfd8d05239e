"""Training of sub-networks beside the whole network: the sandwich rule with in-place distillation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch, Dataset
from nasfuse.nn.auxiliary_loss import take_losses
from nasfuse.nn.elastic import Setting, SubNetworks
from nasfuse.nn.network import StreamNetwork
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks import task_kind

#: Random sub-networks that are trained at most: building one takes about as long as a step of a small network.
_N_POOL = 64


class Sandwich:
    """Losses of the smallest and of some random sub-networks in every step (Yu and Huang, 2019).

    Random ones are drawn from a pool that is drawn once, so that a step builds no network. What differs from the paper:
    the loss of a step is the mean over its networks, not their sum, so that the limit on the gradient norm keeps its
    meaning.

    Attributes:
        parts: Sub-networks of the network.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, *, seed: int) -> None:
        """Draws the pool of random sub-networks.

        Raises:
            InvalidInputError: A value of `elastic` occurs in no network.
        """
        config = recipe.training.elastic
        assert config is not None, "checked by the recipe"
        self._config = config
        self._kind = task_kind(dataset.task.kind)
        self._weights = recipe.training.loss_weights
        self.parts = SubNetworks(
            recipe.network, recipe.elastic, dataset.modalities, dataset.task, drops=recipe.drops_modalities
        )
        pool = torch.Generator().manual_seed(derive_seed(seed, "pool of sub-networks"))
        self._pool = [self.parts.draw(pool) for _ in range(_N_POOL)]
        self._generator = torch.Generator().manual_seed(derive_seed(seed, "sub-networks"))

    def mean_loss(
        self, whole: StreamNetwork, batch: Batch, *, loss: Tensor, outputs: Tensor, loss_of: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Returns the mean loss of the whole network and the sub-networks of a step.

        Args:
            whole: The network.
            batch: Samples of the step.
            loss: Loss of the whole network.
            outputs: Its outputs (b, n_outputs).
            loss_of: From outputs (b, n_outputs) to their mean loss.
        """
        share, wanted = self._config.distillation, outputs.detach()
        losses = [loss]
        for setting in (self.parts.smallest, *self._drawn()):
            found = self.parts.run(whole, setting, batch.inputs, batch.masks, present=batch.present).float()
            own = share * self._kind.distance(found, wanted) if share > 0 else found.new_zeros(())
            if share < 1:
                own = own + (1 - share) * loss_of(found)
            for name, auxiliary in take_losses(self.parts.at(setting).network, known=self._weights).items():
                own = own + self._weights[name] * auxiliary
            losses.append(own)
        return torch.stack(losses).mean()

    def _drawn(self) -> list[Setting]:
        places = torch.randint(len(self._pool), (self._config.n_random,), generator=self._generator)
        return [self._pool[place] for place in places.tolist()]

    def state(self) -> dict[str, Any]:
        """Returns what is needed to resume the draws."""
        return {"generator": self._generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on with the draws after `state`."""
        self._generator.set_state(state["generator"])
