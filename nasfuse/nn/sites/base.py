"""Base class of site operators, by which the main stream takes in features of other streams and goes on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from nasfuse.nn.tokens import Extent, Tokens


class SiteOperator(nn.Module, ABC):
    """Takes in the tokens of other streams; the result has the tokens and the width of the main stream.

    One operator serves all routes: a stream that does not take part in a route, or at all, has no entry.

    Attributes:
        reads_any_number: Whether the other streams may have any number of tokens. Otherwise they are brought to the
            tokens of the main stream before (`nasfuse.nn.sites.aligned`).
    """

    reads_any_number: bool = False

    @abstractmethod
    def forward(self, main: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """Returns the tokens (b, t, d) of the main stream after it has taken in others by name, at least one."""

    @abstractmethod
    def macs(self, main: Extent, others: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates for one sample with these tokens, after they were aligned."""
