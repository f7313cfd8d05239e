"""Networks without weights, from which the costs of a recipe are known before it is trained."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nasfuse.data import Dataset
from nasfuse.domain.modality import Modality, Task
from nasfuse.nn.build import Drops, build_network
from nasfuse.nn.network import Network
from nasfuse.spec.ensemble import AnyRecipe
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.recipe import Recipe

#: Networks that are kept, about 0.1 MB each: more than a survey draws, whose costs are then asked for again.
_N_KEPT = 256


def weightless_network(recipe: AnyRecipe, dataset: Dataset) -> Network:
    """Returns the network of a recipe on the meta device, with shapes only.

    Recipes with equal networks share one, so it must not be changed.
    """
    if isinstance(recipe, Recipe):
        key = recipe.network.model_dump_json()
        return _shared(key, tuple(dataset.modalities), dataset.task, recipe.drops_modalities)
    return _build(recipe.network, dataset.modalities, dataset.task, recipe.drops_modalities)


@lru_cache(maxsize=_N_KEPT)
def _shared(network: str, modalities: tuple[Modality, ...], task: Task, drops: bool) -> Network:
    return _build(NetworkConfig.model_validate_json(network), modalities, task, drops)


def _build(
    network: NetworkConfig | tuple[NetworkConfig, ...], modalities: Sequence[Modality], task: Task, drops: Drops
) -> Network:
    with torch.device("meta"), _WithoutInitialisation():
        return build_network(network, modalities, task, drops=drops)


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
