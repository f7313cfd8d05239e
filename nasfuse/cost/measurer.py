"""The costs of a network that do not depend on the settings of its knobs, as measured by the entries of `COSTS`."""

from pkgutil import resolve_name
from typing import Protocol

from nasfuse.cost.network_macs import count_parameters
from nasfuse.data.dataset import Batch
from nasfuse.domain.cost import COSTS
from nasfuse.nn.network import Network


class Measurer(Protocol):
    """Function that measures one cost."""

    def __call__(self, network: Network, batch: Batch) -> float:
        """Returns the cost of `network`.

        A cost that is known before training is also asked for networks on the meta device, without weights.

        Args:
            network: Its mode and weights are left as they are.
            batch: A few samples on the device of the network.
        """


def measure_costs(network: Network, batch: Batch) -> dict[str, float]:
    """Returns all costs that have a measurer, by name."""
    return {name: measure_cost(name, network, batch) for name, cost in COSTS.items() if cost.measurer is not None}


def measure_cost(name: str, network: Network, batch: Batch) -> float:
    """Returns the cost called `name`, one with a measurer."""
    path = COSTS[name].measurer
    assert path is not None, f"{name} is measured at every operating point"
    measurer: Measurer = resolve_name(path)
    return measurer(network, batch)


def parameters(network: Network, batch: Batch) -> float:
    """Returns the number of trainable parameters, see `count_parameters`."""
    return count_parameters(network)
