"""Streams: one modality's encoder, a stem and then stages with a reducer after each."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.config.modality import Modality
from nasfuse.errors import InvalidInputError
from nasfuse.nn.attention import TransformerBlock
from nasfuse.nn.convolution import ResidualConvolution
from nasfuse.nn.reducers import Reducer, build_reducer
from nasfuse.nn.residual_mlp import ResidualMlp
from nasfuse.nn.tokens import Extent, Tokens


class Stem(nn.Module, ABC):
    """Turns a modality's input into tokens."""

    @abstractmethod
    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        """Returns the tokens of `inputs`: (b, F), (b, T, F), (b, T) ids or (b, C, H, W); mask (b, T)."""

    @abstractmethod
    def extent(self, length: int) -> Extent:
        """Returns the number of tokens of `length` steps, at least one; other kinds ignore `length`."""

    @abstractmethod
    def macs(self, length: int) -> int:
        """Returns the multiply-accumulates for a sample of `length` steps."""


class Stage(nn.Module, ABC):
    """One stage of a stream: features change, places stay."""

    @abstractmethod
    def forward(self, tokens: Tokens) -> Tokens:
        """Returns tokens at the same places."""

    @abstractmethod
    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates for the tokens of `extent`."""


class Stream(nn.Module):
    """A stem, then stages; each stage is followed by its reducer."""

    def __init__(self, stem: Stem, stages: Sequence[Stage], *, width: int, reducers: Sequence[Reducer] = ()) -> None:
        """Joins the parts; `reducers` is empty or has one entry per stage."""
        super().__init__()
        self.width = width
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.reducers = nn.ModuleList(reducers)

    def forward(self, inputs: Tensor, mask: Tensor | None, *, n_stages: int) -> Tokens:
        """Returns the tokens after the stem and the first `n_stages` stages."""
        tokens: Tokens = self.stem(inputs, mask)
        for index in range(n_stages):
            tokens = self.stage(tokens, index)
        return tokens

    def stage(self, tokens: Tokens, index: int) -> Tokens:
        """Returns `tokens` after stage number `index` (from 0) and its reducer."""
        tokens = self.stages[index](tokens)
        return self.reducers[index](tokens) if self.reducers else tokens

    def macs(self, length: int, *, n_stages: int) -> tuple[int, Extent]:
        """Returns the multiply-accumulates up to `n_stages`, and what is left there."""
        stem: Stem = self.stem
        total, extent = stem.macs(length), stem.extent(length)
        for index in range(n_stages):
            stage: Stage = self.stages[index]  # type: ignore[assignment]
            total += stage.macs(extent)
            if self.reducers:
                reducer: Reducer = self.reducers[index]  # type: ignore[assignment]
                total += reducer.macs(extent)
                extent = reducer.extent(extent)
        return total, extent


class _FlatStem(Stem):
    """One token: a linear layer on the flattened input. Padding counts as zeros, so MACs are constant."""

    def __init__(self, modality: Modality, width: int) -> None:
        super().__init__()
        self.shape = modality.shape
        self.project = nn.Linear(math.prod(modality.shape), width)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        if mask is not None:
            inputs = F.pad(inputs * mask[..., None], (0, 0, 0, self.shape[0] - inputs.shape[1]))
        return Tokens(self.project(inputs.flatten(1))[:, None])

    def extent(self, length: int) -> Extent:
        return Extent(1)

    def macs(self, length: int) -> int:
        return self.project.in_features * self.project.out_features


class _BagStem(Stem):
    """One token: the mean embedding of the ids of a sequence. No MACs: nothing is multiplied."""

    def __init__(self, modality: Modality, width: int) -> None:
        super().__init__()
        assert modality.vocabulary is not None
        self.embed = nn.Embedding(modality.vocabulary, width)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        return Tokens(Tokens(self.embed(inputs), mask).mean()[:, None])

    def extent(self, length: int) -> Extent:
        return Extent(1)

    def macs(self, length: int) -> int:
        return 0


class _SequenceStem(Stem):
    """Tokens of `stride` steps each plus learned positions.

    `overlap` steps before and after belong to a token as well (a strided convolution); 0 makes patches.
    Token ids are embedded first. MACs: tokens x (stride + 2 overlap) x F x d.
    """

    def __init__(self, modality: Modality, width: int, *, stride: int, overlap: int) -> None:
        super().__init__()
        longest = modality.shape[0]
        if stride > longest:
            raise InvalidInputError(
                f"stride {stride} of stream {modality.name} is longer than its {longest} steps; make it smaller"
            )
        self.stride = stride
        self.overlap = overlap
        self.embed = None if modality.vocabulary is None else nn.Embedding(modality.vocabulary, width)
        n_features = width if self.embed is not None else modality.shape[1]
        # One id per token is the embedding alone: a linear layer on top of a table adds nothing.
        bare = self.embed is not None and stride == 1 and overlap == 0
        kernel = stride + 2 * overlap
        self.project = None if bare else nn.Conv1d(n_features, width, kernel, stride=stride)
        self.macs_per_token = 0 if bare else kernel * n_features * width
        self.positions = nn.Parameter(torch.randn(1, math.ceil(longest / stride), width) * 0.02)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        length = inputs.shape[1]
        n_tokens = math.ceil(length / self.stride)
        values = inputs if self.embed is None else self.embed(inputs)
        if mask is not None:
            values = values * mask[..., None]
        if self.project is not None:
            after = n_tokens * self.stride - length + self.overlap
            values = self.project(F.pad(values.transpose(1, 2), (self.overlap, after))).transpose(1, 2)
        if mask is not None:
            mask = F.pad(mask, (0, n_tokens * self.stride - length)).view(-1, n_tokens, self.stride).any(dim=2)
        return Tokens(values + self.positions[:, :n_tokens], mask)

    def extent(self, length: int) -> Extent:
        return Extent(max(math.ceil(length / self.stride), 1))

    def macs(self, length: int) -> int:
        return self.extent(length).n_tokens * self.macs_per_token


class _ImageStem(Stem):
    """Tokens of `stride` x `stride` pixels each plus learned positions.

    A border of `overlap` pixels belongs to a token as well (a strided convolution); 0 makes patches.
    MACs: tokens x (stride + 2 overlap)^2 x C x d.
    """

    def __init__(self, modality: Modality, width: int, *, stride: int, overlap: int) -> None:
        super().__init__()
        channels, height, wide = modality.shape
        if stride > min(height, wide):
            raise InvalidInputError(
                f"stride {stride} of stream {modality.name} is longer than a side of its "
                f"{height} x {wide} image; make it smaller"
            )
        self.grid = (math.ceil(height / stride), math.ceil(wide / stride))
        kernel = stride + 2 * overlap
        self.padding = (
            overlap,
            self.grid[1] * stride - wide + overlap,
            overlap,
            self.grid[0] * stride - height + overlap,
        )
        self.project = nn.Conv2d(channels, width, kernel, stride=stride)
        self.macs_per_token = kernel**2 * channels * width
        self.positions = nn.Parameter(torch.randn(1, math.prod(self.grid), width) * 0.02)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        values = self.project(F.pad(inputs, self.padding)).flatten(2).transpose(1, 2)
        return Tokens(values + self.positions, None, self.grid)

    def extent(self, length: int) -> Extent:
        return Extent(math.prod(self.grid), self.grid)

    def macs(self, length: int) -> int:
        return self.extent(length).n_tokens * self.macs_per_token


def _token_stem(modality: Modality, width: int, *, stride: int, overlap: int) -> Stem:
    stem = _ImageStem if modality.kind == "image" else _SequenceStem
    return stem(modality, width, stride=stride, overlap=overlap)


class _MlpStage(Stage):
    def __init__(self, width: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.block = ResidualMlp(width, hidden=hidden, dropout=dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        return tokens.with_values(self.block(tokens.values))

    def macs(self, extent: Extent) -> int:
        return self.block.macs(extent.n_tokens)


class ConvolutionStage(Stage):
    """A residual convolution, on an image where `on_grid`."""

    def __init__(self, width: int, *, on_grid: bool, dropout: float) -> None:
        """Builds the block for features of `width`."""
        super().__init__()
        self.block = ResidualConvolution(width, on_grid=on_grid, dropout=dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns tokens at the same places."""
        result: Tokens = self.block(tokens)
        return result

    def macs(self, extent: Extent) -> int:
        """Returns those of the block."""
        return self.block.macs(extent)


class TransformerStage(Stage):
    """A transformer block."""

    def __init__(self, width: int, *, heads: int, mlp_ratio: int, dropout: float) -> None:
        """Builds the block for features of `width`."""
        super().__init__()
        self.block = TransformerBlock(width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns tokens at the same places."""
        return tokens.with_values(self.block(tokens.values, tokens.mask))

    def macs(self, extent: Extent) -> int:
        """Returns those of the block."""
        return self.block.macs(extent.n_tokens)


def mlp_stream(modality: Modality, *, depth: int, width: int, dropout: float, expansion: int) -> Stream:
    """Returns a residual MLP on one token; token ids enter as their mean embedding."""
    stem = _FlatStem(modality, width) if modality.vocabulary is None else _BagStem(modality, width)
    stages = [_MlpStage(width, hidden=expansion * width, dropout=dropout) for _ in range(depth)]
    return Stream(stem, stages, width=width)


def conv_stream(
    modality: Modality,
    *,
    depth: int,
    width: int,
    dropout: float,
    stride: int,
    reducer: tuple[str, float],
) -> Stream:
    """Returns a residual convolutional stream; `reducer` is (kind, keep_ratio) after every stage."""
    stem = _token_stem(modality, width, stride=stride, overlap=1)
    on_grid = modality.kind == "image"
    stages = [ConvolutionStage(width, on_grid=on_grid, dropout=dropout) for _ in range(depth)]
    return Stream(stem, stages, width=width, reducers=[build_reducer(*reducer) for _ in range(depth)])


def transformer_stream(
    modality: Modality,
    *,
    depth: int,
    width: int,
    dropout: float,
    heads: int,
    mlp_ratio: int,
    stride: int,
    reducer: tuple[str, float],
) -> Stream:
    """Returns a transformer stream; `reducer` is (kind, keep_ratio) after every stage.

    Tokens of an image are taken as a sequence after a reducer along the sequence, as a grid otherwise.
    """
    stem = _token_stem(modality, width, stride=stride, overlap=0)
    stages = [TransformerStage(width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout) for _ in range(depth)]
    return Stream(stem, stages, width=width, reducers=[build_reducer(*reducer) for _ in range(depth)])
