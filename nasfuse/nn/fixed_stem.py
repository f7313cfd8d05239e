"""Stems that begin with fixed features: fitted once on training inputs, not trained."""

from abc import abstractmethod

from torch import Tensor

from nasfuse.nn.network import StreamNetwork
from nasfuse.nn.stream import Stem
from nasfuse.nn.tokens import Tokens


class FixedStem(Stem):
    """A stem that begins with features without parameters.

    Whatever they depend on is a buffer, set by `fit` before training, so checkpoints contain it. As the features of
    a sample are the same in every epoch, a training may compute them once.

    Attributes:
        n_features: F.
        takes_features: Whether `forward` gets the features of a sample instead of its input.
    """

    def __init__(self, n_features: int) -> None:
        """Builds a stem that takes inputs and computes `n_features` of them."""
        super().__init__()
        self.n_features = n_features
        self.takes_features = False

    @abstractmethod
    def fit(self, inputs: Tensor, mask: Tensor | None) -> None:
        """Sets the buffers for the distribution of training inputs, see `forward`; deterministic."""

    @abstractmethod
    def features(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the fixed features (b, F) of inputs, see `forward`."""

    @abstractmethod
    def features_macs(self, length: int) -> int:
        """Returns the MACs of the fixed features of a sample of `length` steps; they are part of `macs`."""

    @abstractmethod
    def tokens(self, features: Tensor) -> Tokens:
        """Returns the tokens for the fixed features (b, F)."""

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        """Returns the tokens of `inputs`, see `Stem.forward`; of features (b, F) where `takes_features`."""
        return self.tokens(inputs if self.takes_features else self.features(inputs, mask))


def fixed_stems(network: StreamNetwork) -> dict[str, FixedStem]:
    """Returns the fixed stems of `network` by stream."""
    stems = {name: network.streams[name].stem for name in network.stream_names}
    return {name: stem for name, stem in stems.items() if isinstance(stem, FixedStem)}
