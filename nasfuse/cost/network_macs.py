"""Mean MACs of networks on a data set at true sequence lengths, from the closed forms of their layers."""

from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nasfuse.data.dataset import Dataset, Split
from nasfuse.nn.network import Network
from nasfuse.nn.routing.network import RoutedNetwork

#: Function from the length of each sequence to one number per route.
Figures = Callable[[Mapping[str, int]], list[int]]


def expected_macs(network: Network, dataset: Dataset, *, route: int | None = None) -> int:
    """Returns the mean multiply-accumulates per sample over train and val, rounded to a whole number.

    Every sample is counted at its own sequence lengths, without padding; see `mean_macs`. The choices of a router are
    unknown before training, so a routed network is counted on a single route: number `route`, by default the one that
    all samples take (`router.always`), or the cheapest one, a lower bound of its MACs.
    """
    if route is None:
        route = (network.always if isinstance(network, RoutedNetwork) else None) or 0
    return round(float(mean_macs(network.static_macs, network, dataset)[route]))


def mean_macs(figures: Figures, network: Network, dataset: Dataset) -> Tensor:
    """Returns the mean of `figures` over the samples of train and val, float64 of shape (n_routes,).

    Lengths are always averaged over train and val together: the mean is known before training, and does not depend on
    the division into train and val.
    """
    tables = [sample_macs(figures, network, split, dataset) for split in (dataset.train, dataset.val)]
    return torch.cat(tables).double().mean(dim=0)


def sample_macs_about_mean(figures: Figures, network: Network, split: Split, dataset: Dataset) -> Tensor:
    """Returns `figures` for every sample of `split`, shifted per route to the mean over train and val.

    A route that all samples take thus costs the same in every split, as much as a static network with the same layers.
    The shift is a control variate: which samples take a route depends on the split, and their lengths still count.

    Returns:
        float64 of shape (n, n_routes).
    """
    table = sample_macs(figures, network, split, dataset).double()
    return table + (mean_macs(figures, network, dataset) - table.mean(dim=0))


def sample_macs(figures: Figures, network: Network, split: Split, dataset: Dataset) -> Tensor:
    """Returns `figures` for every sample of `split` at its own lengths, as int64 of shape (n, n_routes)."""
    kinds = {modality.name: modality for modality in dataset.modalities}
    names = [name for name in network.stream_names if kinds[name].kind == "sequence"]
    full = {name: kinds[name].shape[0] for name in names}
    columns = {name: lengths for name in names if (lengths := split.lengths(name)) is not None}
    if not columns:
        return torch.tensor([figures(full)]).expand(len(split), -1)
    combinations = list(zip(*[lengths.tolist() for lengths in columns.values()], strict=True))
    known = {one: figures({**full, **dict(zip(columns, one, strict=True))}) for one in Counter(combinations)}
    return torch.tensor([known[one] for one in combinations])


def count_parameters(network: Network) -> int:
    """Returns the number of trainable parameters of `network`."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
