"""Routes: which streams run, and up to which stage."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """One way through a network.

    Attributes:
        n_stages: Stream name to the number of its stages that run before it is fused. A stream that is not
            named does not run at all; its later stages are not computed.
    """

    n_stages: Mapping[str, int]
