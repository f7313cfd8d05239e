"""Sub-networks: narrower and shallower networks that share the weights of a whole one.

A sub-network is the network of a smaller configuration. Its weights are the leading features of those of the whole
network, name by name (`nasfuse.nn.packing`), so it can be run on them, with gradients into the whole network, or be cut
out: outputs and costs are those of the network that the smaller configuration describes. Slimmable networks (Yu et al.,
2019) and Once-for-all (Cai et al., 2020) share weights this way; here no module has a width that can be switched, and
normalisation, which is by sample, needs no statistics of its own per width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nasfuse.errors import InvalidInputError
from nasfuse.nn.network import StreamNetwork
from nasfuse.nn.packing import HasPackedWeights, Packing, Packings, leading, prefixed
from nasfuse.nn.routing.network import RoutedNetwork

#: Places along a dimension: all of them (None), the first ones (their number), or these.
_Places = int | Tensor | None


@dataclass(frozen=True)
class SubNetwork:
    """A network whose weights are a part of those of a whole network.

    Attributes:
        network: The network without weights, on the meta device.
        places: Where the whole network has each of its parameters and buffers, by dimension.
    """

    network: StreamNetwork
    places: Mapping[str, tuple[_Places, ...]]

    @classmethod
    def of(cls, network: StreamNetwork, whole: StreamNetwork) -> "SubNetwork":
        """Returns `network`, without weights, as a part of `whole`.

        Raises:
            InvalidInputError: It is no part of `whole`: it has weights that `whole` lacks, more features, or its routes
                in another order.
        """
        if isinstance(network, RoutedNetwork) and isinstance(whole, RoutedNetwork):
            if network.route_names != whole.route_names:
                raise InvalidInputError("the routes of the smaller network have another order of costs")
        own, given = _packings(network), _packings(whole)
        sizes, shapes = tensors_of(network), tensors_of(whole)
        places = {}
        for name, tensor in sizes.items():
            if name not in shapes:
                raise InvalidInputError(
                    f"the smaller network has the layer of {name}, which the whole network lacks (a projection, for "
                    "example, is between unequal widths only); shrink these widths together"
                )
            part, of = own.get(name, {}), given.get(name, {})
            pairs = enumerate(zip(shapes[name].shape, tensor.shape, strict=True))
            try:
                places[name] = tuple(
                    _places(of.get(axis, ((size,),)), part.get(axis, ((smaller,),))) for axis, (size, smaller) in pairs
                )
            except InvalidInputError as error:
                raise InvalidInputError(
                    f"the layer of {name} is no part of that in the whole network: {error}"
                ) from error
        return cls(network, places)

    def weights(self, whole: StreamNetwork) -> dict[str, Tensor]:
        """Returns the parameters and buffers of this network: those of `whole` or, with gradients, parts of them."""
        given = tensors_of(whole)
        return {name: _part(given[name], places) for name, places in self.places.items()}

    def run(self, whole: StreamNetwork, *args: Any, **kwargs: Any) -> Tensor:
        """Returns the outputs with the weights of `whole`, in its mode; for the arguments see `Network.forward`."""
        if self.network.training != whole.training:
            self.network.train(whole.training)
        outputs: Tensor = functional_call(self.network, self.weights(whole), args, kwargs)
        return outputs

    def cut_out_of(self, whole: StreamNetwork) -> None:
        """Gives the network copies of its weights in `whole`; it is then an ordinary network in the same mode."""
        for name, tensor in self.weights(whole).items():
            module, leaf = _owner(self.network, name)
            copied = tensor.detach().clone()
            if leaf in module._parameters:
                module._parameters[leaf] = nn.Parameter(copied)
            else:
                module._buffers[leaf] = copied
        self.network.train(whole.training)
        assert not any(tensor.is_meta for tensor in tensors_of(self.network).values()), "all are copied"


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Returns parameters and buffers by name, including buffers that are not saved."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _packings(network: nn.Module) -> Packings:
    found: Packings = {}
    for name, module in network.named_modules():
        if isinstance(module, HasPackedWeights):
            found |= prefixed(name, module.packings())
    return found


def _places(whole: Packing, part: Packing) -> _Places:
    if whole == part:
        return None
    places = leading(whole, part)
    return len(places) if torch.equal(places, torch.arange(len(places))) else places


def _part(tensor: Tensor, places: tuple[_Places, ...]) -> Tensor:
    for axis, wanted in enumerate(places):
        if isinstance(wanted, int):
            tensor = tensor.narrow(axis, 0, wanted)
        elif wanted is not None:
            tensor = tensor.index_select(axis, wanted.to(tensor.device))
    return tensor


def _owner(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return network.get_submodule(path), leaf
