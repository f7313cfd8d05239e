"""Low-rank tensor fusion: products of one feature per modality, without the full tensor."""

from collections.abc import Mapping

from torch import Tensor, nn

from nasfuse.nn.fusion.base import VectorFusion
from nasfuse.nn.packing import Packing, Packings
from nasfuse.nn.per_stream import PerStream


class LowRank(VectorFusion):
    """sum_r prod_m (W_m^r x_m + c_m^r), the rank-R form of a linear map on the outer product of all [x_m; 1].

    Low-rank multimodal fusion (Liu et al., ACL 2018) without separate rank weights, which are redundant with the last
    factor, and with a layer norm after the product. Rank 1 is the elementwise product of projections.
    MACs: R d sum_m d_m (the products themselves are elementwise).
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int,
        n_joint: int,
        expansion: int,
        dropout: float,
        rank: int,
    ) -> None:
        """Builds the operator for streams of `widths`."""
        super().__init__(width=width, n_joint=n_joint, expansion=expansion, dropout=dropout)
        self.rank = rank
        self.factors = PerStream({name: nn.Linear(own, rank * width) for name, own in widths.items()})
        self.widths = dict(widths)
        self.norm = nn.LayerNorm(width)

    def merge(self, features: Mapping[str, Tensor]) -> Tensor:
        """Returns (b, width) for one (b, d_m) per stream."""
        names = list(features)
        product: Tensor = self.factors[names[0]](features[names[0]])
        for name in names[1:]:
            product = product * self.factors[name](features[name])
        fused: Tensor = self.norm(product.reshape(-1, self.rank, self.out_width).sum(dim=1))
        return fused

    def packings(self, read: Mapping[str, Packing]) -> Packings:
        """Returns the packings of the factors, whose results are as many vectors as the rank."""
        out = ((self.rank, self.out_width),)
        found: Packings = {}
        for name in self.factors:
            place = f"factors.{self.factors.key(name)}"
            found |= {f"{place}.weight": {0: out, 1: read[name]}, f"{place}.bias": {0: out}}
        return found

    def merge_macs(self) -> int:
        """Returns the multiply-accumulates per sample, R d sum_m d_m."""
        return self.rank * self.out_width * sum(self.widths.values())
