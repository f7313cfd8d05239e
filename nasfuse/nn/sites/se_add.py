"""Squeeze-and-excite sum at a site: the operator of ESANet, and O2 of DynMM."""

from collections.abc import Mapping

from torch import Tensor, nn

from nasfuse.nn.fusion.base import Projections
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.sites.base import SiteOperator
from nasfuse.nn.tokens import Extent, Tokens


class Excitation(nn.Sequential):
    """sigmoid(B ReLU(A x)) with a hidden width of d / reduction (Hu et al., 2018). MACs: 2 d max(d / reduction, 1)."""

    def __init__(self, width: int, *, reduction: int) -> None:
        """Builds the two layers."""
        hidden = max(width // reduction, 1)
        super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.Sigmoid())
        self.macs = 2 * width * hidden

    def scaled(self, tokens: Tokens) -> Tensor:
        """Returns the (b, t, d) values, scaled by the excitation of their mean."""
        scale: Tensor = self(tokens.mean())
        return tokens.values * scale[:, None]


class SiteSeAdd(SiteOperator):
    """SE(x) + sum_m SE_m(P_m x_m), where SE scales features by the excitation of their mean over all tokens.

    P_m is the identity for equal widths, else a linear layer. MACs: t d d_m for each P_m, and those of the excitations.
    """

    def __init__(self, width: int, others: Mapping[str, int], *, reduction: int) -> None:
        """Builds the operator for a main stream of `width` and others by name."""
        super().__init__()
        self.project = Projections(others, width)
        self.main = Excitation(width, reduction=reduction)
        self.others = PerStream({name: Excitation(width, reduction=reduction) for name in others})

    def forward(self, main: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """Returns the sum, see `SiteOperator.forward`."""
        total = self.main.scaled(main)
        for name, tokens in others.items():
            total = total + self.others[name].scaled(tokens.with_values(self.project[name](tokens.values)))
        return main.with_values(total)

    def macs(self, main: Extent, others: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of projections and excitations."""
        projections = main.n_tokens * sum(self.project.macs_per_token[name] for name in others)
        return projections + self.main.macs + sum(self.others[name].macs for name in others)
