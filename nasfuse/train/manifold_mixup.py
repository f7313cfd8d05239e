"""Manifold mixup: mixing of hidden features at a depth drawn per batch, by hooks that are removed after the step."""

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
    """Mixes the features of a static network (Verma et al., 2019), with the same depth for all modalities.

    The depth is drawn uniformly: after the stems, after a stage, or before the head. Differences from sparse fusion
    transformers (Ding et al., 2021): at every depth one lambda mixes all modalities and the label, while there each
    modality has its own lambda before the fusion, and the label is mixed with their mean even if the fused features are
    mixed with one lambda. Raw inputs are not among the depths, because token ids cannot be mixed.
    """

    def __init__(self, network: Network, *, alpha: float) -> None:
        """Stores the network and `alpha`, the parameter of the Beta distribution of lambda; 0 switches mixing off."""
        self.network = network
        self.alpha = alpha

    @classmethod
    def from_config(cls, training: TrainingConfig, network: Network) -> "ManifoldMixup":
        """Returns the mixup that `training` configures."""
        return cls(network, alpha=training.mixup if training.mixup_at == "manifold" else 0.0)

    @contextmanager
    def mixing(self, loss: Loss, targets: Tensor) -> Iterator[Loss]:
        """Mixes features of the network inside the block; yields the loss of mixed samples.

        Random numbers come from torch's current generator.

        Args:
            loss: Loss of logits and targets.
            targets: Targets of the batch, (b, ...).
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
    """Returns the number of depths: after the stems, after each stage that runs, and before the head."""
    return max(network.branch.route.n_stages.values()) + 2


@contextmanager
def mixed_at(network: FusionNetwork, depth: int, mixture: Mixture) -> Iterator[None]:
    """Makes `network` mix its features at `depth` inside the block.

    Args:
        network: Network in training or evaluation mode.
        depth: 0 is after the stems, s after stage s of every stream, the largest before the head. A stream with fewer
            stages is mixed after its last one.
        mixture: Weight and partners.
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
                start = stream.stem if stream.placeholder is None else stream.placeholder
                module = stream.stages[last - 1] if last else start
                hooks.enter_context(module.register_forward_hook(mixed_tokens))
        yield
