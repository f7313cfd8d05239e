"""Networks without weights, built on the meta device: shapes, costs and code of a network."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nasfuse.domain.modality import Modality, Task
from nasfuse.nn.build import Drops, build_network
from nasfuse.nn.network import Network
from nasfuse.spec.network import NetworkConfig


def build_weightless(
    config: NetworkConfig | tuple[NetworkConfig, ...],
    modalities: Sequence[Modality],
    task: Task,
    *,
    drops: Drops = False,
) -> Network:
    """Returns a network on the meta device, with shapes only; for the arguments see `build_network`."""
    with torch.device("meta"), _WithoutInitialisation():
        return build_network(config, modalities, task, drops=drops)


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves the initialisation of parameters out, a third of the construction of a network on the meta device."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _INITIALISERS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


_INITIALISERS = {
    torch.nn.init.kaiming_uniform_,
    torch.nn.init.uniform_,
    torch.nn.init.normal_,
    Tensor.fill_,
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.zero_,
}
