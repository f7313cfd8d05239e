"""Streams: the encoders of single modalities, each a stem followed by stages with optional reducers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.domain.modality import Modality
from nasfuse.domain.readout import parse_readout
from nasfuse.errors import InvalidInputError
from nasfuse.nn.attention import TransformerBlock, Windows
from nasfuse.nn.convolution import ResidualConvolution
from nasfuse.nn.embedding import new_embedding
from nasfuse.nn.knob import Knob, joined
from nasfuse.nn.placeholder import Placeholder
from nasfuse.nn.readout import Readout
from nasfuse.nn.reducers import Reducer, build_reducer
from nasfuse.nn.residual_mlp import ResidualMlp
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.nn.tracing import keep_length


class Stem(nn.Module, ABC):
    """First layer of a stream, which converts the input of a modality to tokens."""

    @abstractmethod
    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        """Returns the tokens of `inputs`: (b, F), (b, T, F), (b, T) ids or (b, C, H, W); mask (b, T)."""

    @abstractmethod
    def extent(self, length: int) -> Extent:
        """Returns the number of tokens, at least one, for a sequence of `length` steps; other kinds ignore `length`."""

    @abstractmethod
    def macs(self, length: int) -> int:
        """Returns the multiply-accumulates for a sample of `length` steps."""


class Stage(nn.Module, ABC):
    """One stage of a stream; a stage with a reducer returns fewer tokens than it gets."""

    @abstractmethod
    def forward(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after this stage."""

    @abstractmethod
    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates for the tokens of `extent`, including the reducer."""

    def extent(self, extent: Extent) -> Extent:
        """Returns the extent of the tokens after this stage."""
        return extent

    def knobs(self, stream: str) -> tuple[Knob, ...]:
        """Returns the knobs of a stage of the stream called `stream`."""
        return ()


class Stream(nn.Module):
    """A stem followed by stages.

    Attributes:
        width: Features per token after the last stage.
        readout: Readout, which computes the output vector from the tokens.
        out_width: Features of the output vector after the last stage.
        placeholder: What stands for the modality in samples that lack it; None: the mean of the modality.
    """

    def __init__(
        self, stem: Stem, stages: Sequence[Stage], *, width: int | Sequence[int], readout: Sequence[str] = ("mean",)
    ) -> None:
        """Builds the stream; `width` is a number or a list (see `width_at`), `readout` has keys of `READOUTS`."""
        super().__init__()
        self._widths = (width,) * (len(stages) + 1) if isinstance(width, int) else tuple(width)
        self.width = self._widths[-1]
        self.readout = Readout(tuple(readout))
        self.out_width = self.out_width_at(len(stages))
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.placeholder: Placeholder | None = None

    def width_at(self, n_stages: int) -> int:
        """Returns the features per token after the stem and `n_stages` stages."""
        return self._widths[n_stages]

    def out_width_at(self, n_stages: int) -> int:
        """Returns the features of the output vector after the stem and `n_stages` stages."""
        return len(self.readout.names) * self._widths[n_stages]

    def start(self, inputs: Tensor, mask: Tensor | None, present: Tensor | None = None) -> Tokens:
        """Returns the tokens after the stem, with the placeholder in samples that are not `present` (b,)."""
        tokens: Tokens = self.stem(inputs, mask)
        if self.placeholder is not None:
            tokens = self.placeholder(tokens, present)
        return tokens

    def forward(self, inputs: Tensor, mask: Tensor | None, *, n_stages: int) -> Tokens:
        """Returns the tokens after the stem and the first `n_stages` stages."""
        tokens = self.start(inputs, mask)
        for index in range(n_stages):
            tokens = self.stages[index](tokens)
        return replace(tokens, readout=self.readout)

    def knobs(self, name: str, *, n_stages: int) -> tuple[Knob, ...]:
        """Returns the knobs of the first `n_stages` stages of this stream, which is called `name`."""
        stages: list[Stage] = list(self.stages)  # type: ignore[arg-type]
        return joined(knob for stage in stages[:n_stages] for knob in stage.knobs(name))

    def macs(self, length: int, *, n_stages: int) -> tuple[int, Extent]:
        """Returns the multiply-accumulates of the stem and `n_stages` stages, and the extent of the result."""
        stem: Stem = self.stem
        total, extent = stem.macs(length), stem.extent(length)
        for index in range(n_stages):
            stage: Stage = self.stages[index]  # type: ignore[assignment]
            total += stage.macs(extent)
            extent = stage.extent(extent)
        return total, extent


def flattened(inputs: Tensor, mask: Tensor | None, *, n_steps: int) -> Tensor:
    """Returns (b, values) of an input, a masked sequence padded with zeros to `n_steps`."""
    if mask is not None:
        inputs = F.pad(inputs * mask[..., None], (0, 0, 0, n_steps - inputs.shape[1]))
    return inputs.flatten(1)


class _FlatStem(Stem):
    """One token from a linear layer on the flattened input. Padding counts as 0, so MACs are constant."""

    def __init__(self, modality: Modality, width: int) -> None:
        super().__init__()
        self.shape = modality.shape
        self.project = nn.Linear(math.prod(modality.shape), width)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        return Tokens(self.project(flattened(inputs, mask, n_steps=self.shape[0]))[:, None])

    def extent(self, length: int) -> Extent:
        return Extent(1)

    def macs(self, length: int) -> int:
        return self.project.in_features * self.project.out_features


class BagStem(Stem):
    """One token from the mean embedding of the ids of a sequence. It has no matrix products, so 0 MACs."""

    def __init__(self, modality: Modality, width: int) -> None:
        """Builds the embedding."""
        super().__init__()
        assert modality.vocabulary is not None
        self.embed = nn.Embedding(modality.vocabulary, width)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        """Returns one token per sample for ids (b, T)."""
        return Tokens(Tokens(self.embed(inputs), mask).mean()[:, None])

    def extent(self, length: int) -> Extent:
        """Returns one token."""
        return Extent(1)

    def macs(self, length: int) -> int:
        """Returns 0."""
        return 0


class _SequenceStem(Stem):
    """Tokens of `stride` steps each, with learned positions.

    A token also covers `overlap` steps before and after (a strided convolution); 0 gives patches. Token ids are
    embedded first. MACs: tokens x (stride + 2 overlap) x F x d.
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
        # With one id per token, a linear layer after the embedding would be redundant.
        bare = self.embed is not None and stride == 1 and overlap == 0
        kernel = stride + 2 * overlap
        self.project = None if bare else nn.Conv1d(n_features, width, kernel, stride=stride)
        self.macs_per_token = 0 if bare else kernel * n_features * width
        self.positions = new_embedding(1, math.ceil(longest / stride), width)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        inputs = keep_length(inputs)
        length = int(inputs.shape[1])
        n_tokens = math.ceil(length / self.stride)
        values = inputs if self.embed is None else self.embed(inputs)
        if mask is not None:
            values = values * mask[..., None]
        if self.project is not None:
            after = n_tokens * self.stride - length + self.overlap
            values = self.project(F.pad(values.transpose(1, 2), (self.overlap, after))).transpose(1, 2)
        if mask is not None:
            mask = F.pad(mask, (0, n_tokens * self.stride - length)).reshape(-1, n_tokens, self.stride).any(dim=2)
        return Tokens(values + self.positions[:, :n_tokens], mask)

    def extent(self, length: int) -> Extent:
        return Extent(max(math.ceil(length / self.stride), 1))

    def macs(self, length: int) -> int:
        return self.extent(length).n_tokens * self.macs_per_token


class _ImageStem(Stem):
    """Tokens of `stride` x `stride` pixels each, with learned positions.

    A token also covers a border of `overlap` pixels (a strided convolution); 0 gives patches.
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
        self.positions = new_embedding(1, math.prod(self.grid), width)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        values = self.project(F.pad(inputs, self.padding)).flatten(2).transpose(1, 2)
        return Tokens(values + self.positions, None, self.grid)

    def extent(self, length: int) -> Extent:
        return Extent(math.prod(self.grid), self.grid)

    def macs(self, length: int) -> int:
        return self.extent(length).n_tokens * self.macs_per_token


class _ClsStem(Stem):
    """The tokens of another stem, and a CLS token that is initialised as their mean plus a learned vector.

    In SFT and ViT it is initialised as a learned vector only, and carries no information before the first stage.
    """

    def __init__(self, stem: Stem, width: int) -> None:
        super().__init__()
        self.stem = stem
        self.cls = new_embedding(1, width)

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        tokens: Tokens = self.stem(inputs, mask)
        return replace(tokens, cls=self.cls + tokens.mean())

    def extent(self, length: int) -> Extent:
        return replace(self.stem.extent(length), n_cls=1)

    def macs(self, length: int) -> int:
        own: int = self.stem.macs(length)
        return own


def _token_stem(modality: Modality, width: int, *, stride: int, overlap: int) -> Stem:
    stem = _ImageStem if modality.kind == "image" else _SequenceStem
    return stem(modality, width, stride=stride, overlap=overlap)


class MlpStage(Stage):
    """A residual MLP on every token."""

    def __init__(self, width: int, *, hidden: int, dropout: float) -> None:
        """Builds the block for features of `width` with a hidden layer of `hidden` features."""
        super().__init__()
        self.block = ResidualMlp(width, hidden=hidden, dropout=dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after this stage."""
        return tokens.with_values(self.block(tokens.values))

    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates of the block."""
        return self.block.macs(extent.n_tokens)


class ConvolutionStage(Stage):
    """A residual convolution, in two dimensions if `on_grid`, followed by a reducer."""

    def __init__(self, width: int, *, on_grid: bool, dropout: float, reducer: Reducer | None = None) -> None:
        """Builds the block for features of `width`."""
        super().__init__()
        self.block = ResidualConvolution(width, on_grid=on_grid, dropout=dropout)
        self.reducer = reducer

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after this stage."""
        convolved: Tokens = self.block(tokens)
        return convolved if self.reducer is None else self.reducer(convolved, None)

    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates of block and reducer."""
        return self.block.macs(extent) + (0 if self.reducer is None else self.reducer.macs(extent))

    def extent(self, extent: Extent) -> Extent:
        """Returns the extent of the tokens after the reducer."""
        return extent if self.reducer is None else self.reducer.extent(extent)


class TransformerStage(Stage):
    """A transformer block with a reducer between attention and MLP.

    At this position, reducers can use the attention weights and keys (EViT, ToMe), and the MLP runs on fewer tokens.
    MACs for n tokens of which k are kept: 4 n d^2 + 2 n^2 d + 2 rho k d^2, plus those of the reducer.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        mlp_ratio: int,
        dropout: float,
        mlp_width: int | None = None,
        windows: Windows | None = None,
        reducer: Reducer | None = None,
    ) -> None:
        """Builds the block for features of `width`."""
        super().__init__()
        self.block = TransformerBlock(
            width, heads=heads, mlp_ratio=mlp_ratio, mlp_width=mlp_width, dropout=dropout, windows=windows
        )
        self.reducer = reducer

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after this stage."""
        mixed, seen = self.block.mix(tokens)
        return self.block.transform(mixed if self.reducer is None else self.reducer(mixed, seen))

    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates of attention, reducer and MLP."""
        reduced = 0 if self.reducer is None else self.reducer.macs(extent)
        attention = self.block.attention.macs(extent.n_tokens, extent.n_cls)
        return attention + reduced + self.block.mlp.macs(self.extent(extent).n_all)

    def knobs(self, stream: str) -> tuple[Knob, ...]:
        """Returns the keep ratio if there is a reducer whose keep ratio can be changed after training."""
        reducer: Reducer | None = self.reducer
        return () if reducer is None else reducer.knobs(f"keep_ratio.{stream}")

    def extent(self, extent: Extent) -> Extent:
        """Returns the extent of the tokens after the reducer."""
        return extent if self.reducer is None else self.reducer.extent(extent)


def mlp_stream(modality: Modality, *, depth: int, width: int, dropout: float, expansion: int) -> Stream:
    """Returns a residual MLP on one token, which is the mean embedding for token ids."""
    stem = _FlatStem(modality, width) if modality.vocabulary is None else BagStem(modality, width)
    stages = [MlpStage(width, hidden=expansion * width, dropout=dropout) for _ in range(depth)]
    return Stream(stem, stages, width=width)


def conv_stream(
    modality: Modality,
    *,
    depth: int,
    width: int,
    dropout: float,
    stride: int,
    reducer: Mapping[str, Any],
    readout: str = "mean",
) -> Stream:
    """Returns a residual convolutional stream; `reducer` has the options of `build_reducer`, for every stage."""
    stem = _token_stem(modality, width, stride=stride, overlap=1)
    on_grid = modality.kind == "image"
    stages = [
        ConvolutionStage(width, on_grid=on_grid, dropout=dropout, reducer=build_reducer(**reducer, width=width))
        for _ in range(depth)
    ]
    return Stream(stem, stages, width=width, readout=parse_readout(readout))


def transformer_stream(
    modality: Modality,
    *,
    depth: int,
    width: int,
    dropout: float,
    heads: int,
    mlp_ratio: int,
    mlp_width: int | None = None,
    stride: int,
    window: int | None,
    readout: str,
    reducer: Mapping[str, Any],
) -> Stream:
    """Returns a transformer stream.

    Args:
        modality: A sequence or an image, whose patches are taken row by row.
        depth: Number of stages.
        width: Features per token.
        dropout: Dropout probability inside every stage.
        heads: Number of attention heads, a divisor of `width`.
        mlp_ratio: Hidden width of the MLPs divided by `width`.
        mlp_width: Hidden width of the MLPs in place of `mlp_ratio` x `width`.
        stride: Steps per token, or side length of a patch.
        window: Length of the windows of tokens that attend to each other; None: full attention.
        readout: Readouts joined by `+`, see `nasfuse.domain.readout`; `cls` adds a CLS token.
        reducer: Options of `build_reducer`, and `at`, the number of the only stage with a reducer (the last one if
            there are fewer stages); None: all stages have one.
    """
    stem = _token_stem(modality, width, stride=stride, overlap=0)
    names = parse_readout(readout)
    if "cls" in names:
        stem = _ClsStem(stem, width)
    options = {key: value for key, value in reducer.items() if key != "at"}
    at, extent = reducer["at"], stem.extent(modality.shape[0])
    stages = []
    for number in range(1, depth + 1):
        reduces = at is None or number == min(at, depth)
        own = build_reducer(**options, width=width, heads=heads, n_tokens=extent.n_tokens) if reduces else None
        # A window as long as the sequence is full attention.
        shift = 0 if window is None or number % 2 else window // 2
        windows = None if window is None or window >= extent.n_tokens else Windows(window, shift)
        stage = TransformerStage(
            width,
            heads=heads,
            mlp_ratio=mlp_ratio,
            mlp_width=mlp_width,
            dropout=dropout,
            windows=windows,
            reducer=own,
        )
        extent = extent if own is None else own.left(extent, own.keep_ratio)
        stages.append(stage)
    return Stream(stem, stages, width=width, readout=names)
