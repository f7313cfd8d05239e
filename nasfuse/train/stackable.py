"""Which networks can be trained as one stack."""

from torch import nn

from nasfuse.cost.network_macs import expected_macs
from nasfuse.data.dataset import Dataset
from nasfuse.nn.auxiliary_loss import HasAuxiliaryLosses
from nasfuse.nn.equilibrium import equilibrium_layers
from nasfuse.nn.fixed_stem import fixed_stems
from nasfuse.nn.network import FusionNetwork, Network
from nasfuse.nn.reducers.merging import Merge
from nasfuse.spec.recipe import Recipe
from nasfuse.train.augmentation import Augmentation

#: Multiply-accumulates of the largest batch for which a stack saves time. Beyond, the time of a step is that of its
#: products, which are no faster in a stack: see `benchmarks/stacked.py`.
_MOST_MACS = 2**24


def reason_against(recipe: Recipe, network: Network, dataset: Dataset) -> str | None:
    """Returns why networks of a recipe cannot be trained as one stack; None if they can.

    A stack has no rule for a path that depends on values, smaller batches are filled up, so that nothing may be
    computed over a batch, and large networks are trained no faster in it.

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
    if isinstance(network, FusionNetwork) and _macs_of_batch(recipe, network, dataset) > _MOST_MACS:
        reasons["it is too large to be trained faster in a stack"] = True
    return next((reason for reason, applies in reasons.items() if applies), None)


def _macs_of_batch(recipe: Recipe, network: FusionNetwork, dataset: Dataset) -> int:
    """Returns the multiply-accumulates of a batch, without stems whose fixed features are computed once."""
    macs = expected_macs(network, dataset)
    if not Augmentation.from_config(recipe.training, ids=frozenset()).changes_fixed:
        stems, lengths = fixed_stems(network), {one.name: one.shape[0] for one in dataset.modalities}
        macs -= sum(stem.features_macs(lengths[name]) for name, stem in stems.items())
    return macs * recipe.training.batch_size
