"""Sum of features at a site."""

from collections.abc import Mapping

from nasfuse.nn.fusion.base import Projections
from nasfuse.nn.sites.base import SiteOperator
from nasfuse.nn.tokens import Extent, Tokens


class SiteSum(SiteOperator):
    """x + sum_m P_m x_m, P_m is the identity for equal widths, else a linear layer with t d d_m MACs."""

    def __init__(self, width: int, others: Mapping[str, int]) -> None:
        """Builds the operator for a main stream of `width` and others by name."""
        super().__init__()
        self.project = Projections(others, width)

    def forward(self, main: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """Returns the sum, see `SiteOperator.forward`."""
        total = main.values
        for name, tokens in others.items():
            total = total + self.project[name](tokens.values)
        return main.with_values(total)

    def macs(self, main: Extent, others: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the projections."""
        return main.n_tokens * sum(self.project.macs_per_token[name] for name in others)
