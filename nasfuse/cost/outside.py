"""Costs of features that were computed outside of a network, such as those of a pretrained encoder."""

from collections.abc import Iterable, Mapping, Sequence

from nasfuse.nn.network import Network


def outside_macs(
    network: Network, macs: Mapping[str, int], *, usage: Sequence[float] = (1.0,), static: int | None = None
) -> int:
    """Returns the expected multiply-accumulates per sample of the modalities that a network reads.

    A modality is computed for a sample if a stream of its route or the router reads it.

    Args:
        network: The network.
        macs: Modality to the multiply-accumulates of a sample; modalities without an entry cost nothing.
        usage: Share of the samples on each route, in the order of the network; a static network has one route.
        static: Number of the route that all samples take without a router; None if a router chooses.
    """
    if static is not None:
        return _sum(macs, network.inputs_by_route(is_static=True)[static])
    routes = network.inputs_by_route()
    return round(sum(share * _sum(macs, names) for share, names in zip(usage, routes, strict=True)))


def _sum(macs: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(macs.get(name, 0) for name in names)
