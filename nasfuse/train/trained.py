"""Results of a training: those of its epochs, and the network."""

from dataclasses import dataclass, field

from nasfuse.nn.elastic import Setting, SubNetworks
from nasfuse.nn.network import Network, StreamNetwork


@dataclass(frozen=True)
class Epoch:
    """Results of an epoch; a line of `metrics.jsonl`.

    Attributes:
        epoch: Number of the epoch, counted from 1.
        train_loss: Mean training loss over the steps.
        val_loss: Loss of the training on validation data, without label smoothing, weights and mixup. It includes the
            resource loss while a router is trained. For a sequential network it is the mean over the routes. None
            without validation samples.
        val_metric: Value of the recipe's metric on validation data; that of the costliest route while routes are
            trained without the router. None without validation samples.
        wall_s: Wall-clock time since the start of the training in seconds, including earlier sessions.
    """

    epoch: int
    train_loss: float
    val_loss: float | None
    val_metric: float | None
    wall_s: float


@dataclass
class Trained:
    """A trained network, with the weights of the last epoch, or of the lowest validation loss if patience ran out.

    The weights of the last epoch are preferred because the learning rate has decayed to zero there, and because the
    best of many evaluations on a small validation set is biased, most of all for unstable networks. That holds for
    networks whose training a deadline ended, too, as their learning rate has decayed with the time. Patience has no
    effect without validation samples (`data.validation`).

    Attributes:
        network: Network in inference mode.
        chosen: Epoch of the weights.
        curve: All epochs.
        status: `complete`, `early stop` if patience ran out, or `shortened` if a deadline ended it.
        backward_converged: Share of the backward systems of equilibria that converged in the last epoch; None if there
            are none.
        parts: Sub-networks of an elastic network, which were trained with it; None for an ordinary one.
    """

    network: Network
    chosen: Epoch
    curve: list[Epoch] = field(default_factory=list)
    status: str = "complete"
    backward_converged: float | None = None
    parts: SubNetworks | None = None

    def at(self, elastic: Setting) -> Network:
        """Returns the network, or a copy of its sub-network at a setting of elastic fields."""
        if not elastic:
            return self.network
        assert self.parts is not None and isinstance(self.network, StreamNetwork), "it is elastic"
        return self.parts.cut_out(self.network, elastic)
