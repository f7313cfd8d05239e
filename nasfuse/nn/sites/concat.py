"""Concatenation and projection at a site."""

from collections.abc import Mapping

from torch import nn

from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.sites.base import SiteOperator
from nasfuse.nn.tokens import Extent, Tokens


class SiteConcat(SiteOperator):
    """W [x; x_1; ...; x_M] + c for every token, to the width of the main stream.

    A stream that does not take part has no share of the sum that the product is. MACs: t d (d + sum_m d_m).
    """

    def __init__(self, width: int, others: Mapping[str, int]) -> None:
        """Builds the operator for a main stream of `width` and others by name."""
        super().__init__()
        self.main = nn.Linear(width, width)
        self.others = PerStream({name: nn.Linear(own, width, bias=False) for name, own in others.items()})

    def forward(self, main: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """Returns the projection, see `SiteOperator.forward`."""
        total = self.main(main.values)
        for name, tokens in others.items():
            total = total + self.others[name](tokens.values)
        return main.with_values(total)

    def macs(self, main: Extent, others: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the products."""
        layers = [self.main, *(self.others[name] for name in others)]
        return main.n_tokens * sum(layer.in_features * layer.out_features for layer in layers)
