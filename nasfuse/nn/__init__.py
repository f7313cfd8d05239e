"""Networks: streams, token reducers, fusion operators, routers, and the construction of a network from a recipe."""

from nasfuse.nn.build import build_network
from nasfuse.nn.network import FusionNetwork, Network
from nasfuse.nn.routing.network import RoutedNetwork

__all__ = ["FusionNetwork", "Network", "RoutedNetwork", "build_network"]
