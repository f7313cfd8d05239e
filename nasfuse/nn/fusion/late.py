"""Late fusion: the average of the outputs of the streams."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from nasfuse.nn.fusion.base import Fusion
from nasfuse.nn.head import Head, StreamHeads
from nasfuse.nn.knob import Knob
from nasfuse.nn.packing import Packing, Packings, prefixed
from nasfuse.nn.tokens import Extent, Tokens


class Late(Fusion):
    """sum_m w_m h_m(x_m), where h_m is the head of stream m and the weights w are positive with sum 1.

    The outputs of a classification are logits. Their average differs from that of the streams' log-probabilities by a
    constant per sample, and that of yes/no labels is the average of log-odds, so probabilities are those of a
    logarithmic opinion pool (Genest and Zidek, 1986). Real numbers are averaged as they are.
    MACs: those of the heads.
    """

    fuses_outputs = True

    def __init__(self, heads: Mapping[str, Head], *, weights: Literal["equal", "learned"]) -> None:
        """Builds the average of the outputs of `heads`, one per stream; learned weights start from equal ones."""
        super().__init__()
        (self.out_width,) = {head.n_outputs for head in heads.values()}
        self.heads = StreamHeads(heads)
        self.scores = nn.Parameter(torch.zeros(len(heads))) if weights == "learned" else None

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the averaged (b, n_outputs) for the tokens of each stream."""
        outputs = torch.stack(list(self.heads(states).values()))
        if self.scores is None:
            return outputs.mean(dim=0)
        return (self.scores.softmax(dim=0)[:, None, None] * outputs).sum(dim=0)

    def packings(self, read: Mapping[str, Packing]) -> Packings:
        """Returns the packings of the heads."""
        return prefixed("heads", self.heads.packings(read))

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the heads."""
        return self.heads.macs()

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the knobs of the heads."""
        return self.heads.knobs()
