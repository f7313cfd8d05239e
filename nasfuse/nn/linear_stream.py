"""Linear streams: one linear map of the input, or of statistics of its channels."""

import math

import torch
from torch import Tensor, nn

from nasfuse.domain.modality import Modality
from nasfuse.nn.stream import BagStem, Stem, Stream, flattened
from nasfuse.nn.tokens import Extent, Tokens

_N_STATISTICS = 4


class _LinearStem(Stem):
    """One token from a linear map. MACs: the number of values that it reads times the width."""

    def __init__(self, modality: Modality, width: int, *, statistics: bool, dropout: float) -> None:
        super().__init__()
        self.shape = modality.shape
        self.channels_first = modality.kind == "image"
        self.statistics = statistics and modality.kind != "vector"
        n_channels = modality.shape[0] if self.channels_first else modality.shape[-1]
        n_values = _N_STATISTICS * n_channels if self.statistics else math.prod(modality.shape)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(n_values, width)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        if self.statistics:
            steps = inputs.flatten(2).transpose(1, 2) if self.channels_first else inputs
            values = statistics_of(steps, mask)
        else:
            values = flattened(inputs, mask, n_steps=self.shape[0])
        return Tokens(self.project(self.dropout(values))[:, None])

    def extent(self, length: int) -> Extent:
        return Extent(1)

    def macs(self, length: int) -> int:
        return self.project.in_features * self.project.out_features


def statistics_of(steps: Tensor, mask: Tensor | None) -> Tensor:
    """Returns mean, standard deviation, minimum and maximum of every channel over real steps.

    Args:
        steps: (b, t, F).
        mask: (b, t); None if all steps are real.

    Returns:
        (b, 4 F); 0 for samples without real steps.
    """
    tokens = Tokens(steps, mask)
    mean = tokens.mean()
    variance = tokens.with_values((steps - mean[:, None]).square()).mean()
    if mask is None:
        return torch.cat([mean, variance.sqrt(), steps.amin(dim=1), steps.amax(dim=1)], dim=1)
    padding, empty = ~mask[..., None], ~mask.any(dim=1, keepdim=True)
    low = steps.masked_fill(padding, math.inf).amin(dim=1).masked_fill(empty, 0.0)
    high = steps.masked_fill(padding, -math.inf).amax(dim=1).masked_fill(empty, 0.0)
    return torch.cat([mean, variance.sqrt(), low, high], dim=1)


def linear_stream(modality: Modality, *, width: int, statistics: bool, dropout: float) -> Stream:
    """Returns a linear stream without stages, see `nasfuse.spec.stream.LinearStream`; `width` is that of its output."""
    if modality.vocabulary is not None:
        return Stream(BagStem(modality, width), [], width=width)
    return Stream(_LinearStem(modality, width, statistics=statistics, dropout=dropout), [], width=width)
