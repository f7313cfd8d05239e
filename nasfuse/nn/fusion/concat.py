"""Concatenation, the baseline of most fusion papers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.fusion.base import VectorFusion
from nasfuse.nn.packing import Packing, Packings, joined_blocks


class Concat(VectorFusion):
    """GELU(W [x_1; ...; x_M] + c). MACs: d sum_m d_m."""

    def __init__(self, widths: Mapping[str, int], *, width: int, n_joint: int, expansion: int, dropout: float) -> None:
        """Builds the operator for streams of `widths`."""
        super().__init__(width=width, n_joint=n_joint, expansion=expansion, dropout=dropout)
        self.names = tuple(widths)
        self.mix = nn.Linear(sum(widths.values()), width)

    def merge(self, features: Mapping[str, Tensor]) -> Tensor:
        """Returns (b, width) for one (b, d_m) per stream."""
        return F.gelu(self.mix(torch.cat([features[name] for name in self.names], dim=1)))

    def packings(self, read: Mapping[str, Packing]) -> Packings:
        """Returns the packing of the concatenation."""
        return {"mix.weight": {1: joined_blocks({name: read[name] for name in self.names})}}

    def merge_macs(self) -> int:
        """Returns the multiply-accumulates per sample, d sum_m d_m."""
        return self.mix.in_features * self.mix.out_features
