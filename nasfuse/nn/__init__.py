"""Networks: streams, reducers, fusion operators, and how a recipe becomes one."""

from nasfuse.nn.build import build_network
from nasfuse.nn.network import FusionNetwork

__all__ = ["FusionNetwork", "build_network"]
