"""MACs in closed form, computed before training as expectations over true sequence lengths."""

from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nasfuse.data.dataset import Dataset, Split
from nasfuse.nn.network import Network

#: Function from the length of each sequence to one number per route.
Figures = Callable[[Mapping[str, int]], list[int]]


def expected_macs(network: Network, dataset: Dataset, *, route: int = 0) -> int:
    """Returns the mean multiply-accumulates per sample over train and val, rounded to a whole number.

    Every sample is counted at its own sequence lengths, without padding. The mean is over train and val together, so
    that it does not depend on their division. The choices of a router are unknown before training, so a routed network
    is counted on a single route: number `route`, by default the cheapest one, a lower bound of its MACs.
    """
    tables = [sample_macs(network.static_macs, network, split, dataset) for split in (dataset.train, dataset.val)]
    return round(float(torch.cat(tables)[:, route].double().mean()))


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
