"""Gated fusion: a sum of streams whose features are scaled by squeeze-and-excite gates."""

from collections.abc import Mapping

from torch import Tensor, nn

from nasfuse.nn.fusion.base import Projections, VectorFusion
from nasfuse.nn.per_stream import PerStream


class Gated(VectorFusion):
    """sum_m g_m * h_m with h_m = P_m x_m and g_m = sigmoid(B_m ReLU(A_m h_m)).

    Operator O2 of DynMM, SE(rgb) + SE(depth), on pooled features. Unlike in DynMM, widths may differ; P_m is then a
    linear layer. MACs: those of P_m plus 2 d max(d / reduction, 1) per stream.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int,
        n_joint: int,
        expansion: int,
        dropout: float,
        reduction: int,
    ) -> None:
        """Builds the operator for streams of `widths`."""
        super().__init__(width=width, n_joint=n_joint, expansion=expansion, dropout=dropout)
        self.hidden = max(width // reduction, 1)
        self.project = Projections(widths, width)
        self.gates = PerStream(
            {
                name: nn.Sequential(
                    nn.Linear(width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, width), nn.Sigmoid()
                )
                for name in widths
            }
        )

    def merge(self, features: Mapping[str, Tensor]) -> Tensor:
        """Returns (b, width) for one (b, d_m) per stream."""
        gated = []
        for name, values in features.items():
            projected = self.project[name](values)
            gated.append(projected * self.gates[name](projected))
        total: Tensor = gated[0]
        for values in gated[1:]:
            total = total + values
        return total

    def merge_macs(self) -> int:
        """Returns the multiply-accumulates of the projections and of the two layers of each gate."""
        return sum(self.project.macs_per_token.values()) + 2 * len(self.gates) * self.out_width * self.hidden
