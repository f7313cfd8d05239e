"""Networks without weights, from which the costs of a recipe are known before it is trained."""

from functools import lru_cache

from nasfuse.data import Dataset
from nasfuse.domain.modality import Modality, Task
from nasfuse.nn.network import Network
from nasfuse.nn.weightless import build_weightless
from nasfuse.spec.ensemble import AnyRecipe
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.recipe import Recipe

#: Networks that are kept, about 0.1 MB each: more than a survey draws, whose costs are then asked for again.
_N_KEPT = 160


def weightless_network(recipe: AnyRecipe, dataset: Dataset) -> Network:
    """Returns the network of a recipe on the meta device, with shapes only.

    Recipes with equal networks share one, so it must not be changed.
    """
    if isinstance(recipe, Recipe):
        key = recipe.network.model_dump_json()
        return _shared(key, tuple(dataset.modalities), dataset.task, recipe.drops_modalities)
    return build_weightless(recipe.network, dataset.modalities, dataset.task, drops=recipe.drops_modalities)


@lru_cache(maxsize=_N_KEPT)
def _shared(network: str, modalities: tuple[Modality, ...], task: Task, drops: bool) -> Network:
    return build_weightless(NetworkConfig.model_validate_json(network), modalities, task, drops=drops)
