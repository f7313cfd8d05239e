"""Manifold mixup: hidden features are mixed at a depth drawn per batch, by hooks that last for one step."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nasfuse.nn.network import FusionNetwork, Network
from nasfuse.nn.tokens import Tokens
from nasfuse.spec.training import TrainingConfig
from nasfuse.train.mixup import Loss, Mixture


class ManifoldMixup:
    """Mixes the features of a static network (Verma et al., 2019), every modality at the same depth.

    Depths are drawn uniformly: after the stems, after each stage, before the head. Sparse fusion transformers mix
    each modality with its own lambda before the fusion, and the label with the mean of them even where the fused
    features were mixed with one; here there is one lambda for all modalities and the label, at every depth. Neither
    are raw inputs a depth here: where they are mixed, token ids cannot be.
    """

    def __init__(self, network: Network, *, alpha: float) -> None:
        """Keeps the network; `alpha` is that of the Beta distribution of lambda, 0 is off."""
        self.network = network
        self.alpha = alpha

    @classmethod
    def from_config(cls, training: TrainingConfig, network: Network) -> "ManifoldMixup":
        """Returns what `training` names."""
        return cls(network, alpha=training.mixup if training.mixup_at == "manifold" else 0.0)

    @contextmanager
    def mixing(self, loss: Loss, targets: Tensor) -> Iterator[Loss]:
        """Mixes what passes the network inside the block; yields the loss that belongs to it.

        Random numbers come from torch's current generator.

        Args:
            loss: Of logits and targets.
            targets: Of the batch, (b, ...).
        """
        if self.alpha <= 0:
            yield loss
            return
        assert isinstance(self.network, FusionNetwork), "checked by the recipe"
        mixture = Mixture.draw(self.alpha, targets)
        depth = int(torch.randint(n_depths(self.network), ()))
        with mixed_at(self.network, depth, mixture):
            yield mixture.of_loss(loss)


def n_depths(network: FusionNetwork) -> int:
    """Returns how many places there are to mix at: after the stems, after each stage that runs, before the head."""
    return max(network.branch.route.n_stages.values()) + 2


@contextmanager
def mixed_at(network: FusionNetwork, depth: int, mixture: Mixture) -> Iterator[None]:
    """Lets `network` mix its features at `depth` inside the block.

    Args:
        network: In any mode.
        depth: 0 is after the stems, s after stage s of every stream, the last one before the head. A stream of
            fewer stages is mixed after its last one.
        mixture: How samples are mixed.
    """

    def mixed_tokens(module: nn.Module, inputs: Any, tokens: Tokens) -> Tokens:
        return tokens.mixed(mixture.weight, mixture.order)

    def mixed_features(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return mixture.of(inputs[0])

    with ExitStack() as hooks:
        if depth == n_depths(network) - 1:
            hooks.enter_context(network.branch.head.register_forward_pre_hook(mixed_features))
        else:
            for name, n_stages in network.branch.route.n_stages.items():
                stream, last = network.streams[name], min(depth, n_stages)
                module = stream.stages[last - 1] if last else stream.stem
                hooks.enter_context(module.register_forward_hook(mixed_tokens))
        yield
