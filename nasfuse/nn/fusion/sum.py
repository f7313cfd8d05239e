"""Sum of features; as late fusion, the sum of logits."""

from collections.abc import Mapping

from torch import Tensor

from nasfuse.nn.fusion.base import Projections, VectorFusion


class Sum(VectorFusion):
    """sum_m P_m x_m, where P_m is the identity for equal widths, else a linear layer with d d_m MACs."""

    def __init__(self, widths: Mapping[str, int], *, width: int, n_joint: int, expansion: int, dropout: float) -> None:
        """Builds the operator for streams of `widths`."""
        super().__init__(width=width, n_joint=n_joint, expansion=expansion, dropout=dropout)
        self.project = Projections(widths, width)

    def merge(self, features: Mapping[str, Tensor]) -> Tensor:
        """Returns (b, width) for one (b, d_m) per stream."""
        names = list(features)
        total: Tensor = self.project[names[0]](features[names[0]])
        for name in names[1:]:
            total = total + self.project[name](features[name])
        return total

    def merge_macs(self) -> int:
        """Returns the multiply-accumulates per sample: the sum of d d_m over the streams with a projection."""
        return sum(self.project.macs_per_token.values())
