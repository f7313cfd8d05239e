"""Maxout streams of vectors (Goodfellow et al., 2013) with batch normalisation, as networks on MM-IMDB have them."""

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.domain.modality import Modality
from nasfuse.nn.stream import Stage, Stem, Stream
from nasfuse.nn.tokens import Extent, Tokens


class Maxout(nn.Module):
    """The largest of `n_pieces` linear maps, for each output.

    Shapes: (b, n_in) to (b, n_out). MACs per sample: n_in n_out n_pieces.
    """

    def __init__(self, n_in: int, n_out: int, *, n_pieces: int) -> None:
        """Builds one linear layer for all pieces."""
        super().__init__()
        self.shape = (n_out, n_pieces)
        self.project = nn.Linear(n_in, n_out * n_pieces)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (b, n_out) for x (b, n_in)."""
        pieces: Tensor = self.project(x).unflatten(1, self.shape)
        return pieces.amax(dim=2)

    @property
    def macs(self) -> int:
        """Returns the multiply-accumulates of a sample."""
        return self.project.in_features * self.project.out_features


class _BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that uses its running statistics for a training batch of a single sample, which has none."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or len(x) > 1:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class _MaxoutBlock(nn.Sequential):
    """Maxout, batch normalisation, dropout: (b, n_in) to (b, n_out)."""

    def __init__(self, n_in: int, n_out: int, *, n_pieces: int, dropout: float) -> None:
        maxout = Maxout(n_in, n_out, n_pieces=n_pieces)
        super().__init__(maxout, _BatchNorm(n_out), nn.Dropout(dropout))
        self.macs = maxout.macs


class _MaxoutStem(Stem):
    """One token from one block on a vector, or from two with `stem_width` features between them."""

    def __init__(
        self, modality: Modality, width: int, *, stem_width: int | None, n_pieces: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [math.prod(modality.shape), *([] if stem_width is None else [stem_width]), width]
        self.blocks = nn.Sequential(
            *(_MaxoutBlock(n_in, n_out, n_pieces=n_pieces, dropout=dropout) for n_in, n_out in pairwise(widths))
        )

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        return Tokens(self.blocks(inputs)[:, None])

    def extent(self, length: int) -> Extent:
        return Extent(1)

    def macs(self, length: int) -> int:
        return sum(block.macs for block in self.blocks if isinstance(block, _MaxoutBlock))


class _MaxoutStage(Stage):
    def __init__(self, width: int, *, n_pieces: int, dropout: float) -> None:
        super().__init__()
        self.block = _MaxoutBlock(width, width, n_pieces=n_pieces, dropout=dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        return tokens.with_values(self.block(tokens.values[:, 0])[:, None])

    def macs(self, extent: Extent) -> int:
        return self.block.macs


def maxout_stream(
    modality: Modality, *, depth: int, width: int, dropout: float, n_pieces: int, stem_width: int | None
) -> Stream:
    """Returns a maxout stream of a vector: blocks of maxout, batch normalisation and dropout.

    The encoders of DynMM's late-fusion expert on MM-IMDB are `depth: 1, width: 512` for the text and `depth: 0,
    stem_width: 1024, width: 512` for the image. They normalise their inputs by batch; here inputs are standardised with
    the statistics of the training samples.

    Args:
        modality: A vector.
        depth: Number of stages, each a block from `width` to `width` features.
        width: Features of the token.
        dropout: Dropout probability after every block.
        n_pieces: Linear maps of which each feature is the largest.
        stem_width: Features of a further block before the first stage; None: the first block has `width`.
    """
    stem = _MaxoutStem(modality, width, stem_width=stem_width, n_pieces=n_pieces, dropout=dropout)
    stages = [_MaxoutStage(width, n_pieces=n_pieces, dropout=dropout) for _ in range(depth)]
    return Stream(stem, stages, width=width)
