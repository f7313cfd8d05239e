"""Which networks can be trained as one stack."""

from torch import nn

from nasfuse.data.dataset import Dataset
from nasfuse.nn.auxiliary_loss import HasAuxiliaryLosses
from nasfuse.nn.equilibrium import equilibrium_layers
from nasfuse.nn.network import FusionNetwork, Network
from nasfuse.nn.reducers.merging import Merge
from nasfuse.spec.recipe import Recipe


def reason_against(recipe: Recipe, network: Network, dataset: Dataset) -> str | None:
    """Returns why networks of a recipe cannot be trained as one stack; None if they can.

    A stack has no rule for a path that depends on values, and smaller batches are filled up, so that nothing may be
    computed over a batch.

    Args:
        recipe: Recipe of the networks.
        network: One of them; it may be without weights.
        dataset: Data of one of the trainings.
    """
    modules = list(network.modules())
    reasons = {
        "it has several routes": not isinstance(network, FusionNetwork),
        "it is elastic": bool(recipe.elastic),
        "an equilibrium is solved in as many steps as it needs": bool(equilibrium_layers(network)),
        "manifold mixup mixes at a depth that is drawn for each batch": recipe.training.mixup > 0
        and recipe.training.mixup_at == "manifold",
        "batch normalisation depends on all samples of a batch": any(
            isinstance(module, nn.BatchNorm1d) for module in modules
        ),
        "an auxiliary loss is a mean over the samples of a batch": any(
            isinstance(module, HasAuxiliaryLosses) for module in modules
        ),
        "merging takes as many rounds as the lengths of sequences need": any(
            isinstance(module, Merge) for module in modules
        )
        and any(one.kind == "sequence" for one in dataset.modalities if one.name in network.stream_names),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
