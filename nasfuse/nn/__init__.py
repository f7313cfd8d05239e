"""Networks: streams, reducers, fusion operators, and how a recipe becomes one."""

from nasfuse.nn.build import build_network
from nasfuse.nn.network import FusionNetwork, Network
from nasfuse.nn.routing.network import RoutedNetwork

__all__ = ["FusionNetwork", "Network", "RoutedNetwork", "build_network"]
