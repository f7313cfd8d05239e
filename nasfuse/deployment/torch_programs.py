"""Networks as `torch.export` programs, one per route."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nasfuse.deployment.raw_inputs import RawInput, RawInputs
from nasfuse.nn.network import Network
from nasfuse.nn.routing.network import RoutedNetwork

#: Samples of the example of a trace; a dimension of 1 would be taken for a constant.
_EXAMPLES = 3


def torch_programs(network: Network, inputs: Sequence[RawInput]) -> dict[str, torch.export.ExportedProgram]:
    """Returns the programs by name of the route; a network without routes is called `network`.

    A program takes a mapping from names (`RawInputs.names`) to tensors with any number of samples, and returns outputs
    (b, n_outputs). It does not have the router: who runs it chooses the route.

    Args:
        network: The network, on the CPU.
        inputs: The modalities that it reads.

    Raises:
        TracingError: The network has fixed points whose number of steps depends on the sample.
    """
    routes = network.route_names if isinstance(network, RoutedNetwork) else ("network",)
    found = {}
    for number, name in enumerate(routes):
        module = _Route(network, RawInputs(inputs), number).eval()
        examples = module.inputs.examples(_EXAMPLES)
        batch = torch.export.Dim("batch")
        with torch.no_grad():
            found[name] = torch.export.export(
                module, (examples,), dynamic_shapes=({key: {0: batch} for key in examples},), strict=False
            )
    return found


class _Route(nn.Module):
    """One route of a network, with the standardisation of its inputs."""

    def __init__(self, network: Network, inputs: RawInputs, number: int) -> None:
        super().__init__()
        self.network, self.inputs, self.number = network, inputs, number

    def forward(self, tensors: Mapping[str, Tensor]) -> Tensor:
        inputs, masks, present = self.inputs(tensors)
        if isinstance(self.network, RoutedNetwork):
            return self.network.run_route(self.number, inputs, masks, present=present)[0]
        outputs: Tensor = self.network(inputs, masks, present=present)
        return outputs
