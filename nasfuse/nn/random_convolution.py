"""Random convolutions: shares of positions above biases and statistics of channels, as fixed features."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.domain.modality import Modality
from nasfuse.errors import InvalidInputError
from nasfuse.nn.embedding import normal_numbers
from nasfuse.nn.fixed_stem import FixedStem
from nasfuse.nn.readout import Readout
from nasfuse.nn.stream import MlpStage, Stream
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.nn.tracing import is_tracing, keep_length

#: Taps of a kernel, and how many of them are 2; the others are -1.
_N_TAPS, _N_TWOS = 9, 3

#: All kernels: 84.
N_KERNELS = math.comb(_N_TAPS, _N_TWOS)

#: Channels that a kernel adds up, at most.
_MOST_CHANNELS = 9

#: Features of a token id, drawn from a normal distribution.
_ID_WIDTH = 9

#: Samples whose convolutions give the biases, at most.
_N_BIAS_SAMPLES = 256

#: Number of sums that are always shared, and of positions in all samples from which on more of them are: with fewer,
#: the number of calls decides.
_FEW_SUMS, _MANY_POSITIONS = 4, 4096

#: Numbers per convolution that are in memory at once, about.
_MOST_NUMBERS = 2**23

#: Statistics of the channels; the minimum comes from the maximum, which is last.
_STATISTICS = Readout(("mean", "std", "max"))

#: Difference of two convolutions, as a share of the largest one, below which they are equal but for rounding.
_ROUNDING = 1e-5

#: Smallest standard deviation that a feature is divided by: one that varies less does so by chance.
_LEAST_STD = 0.01


@dataclass(frozen=True)
class _Sums:
    """The sums of channels that several kernels act on.

    Attributes:
        of: The buffer `channels` that they were found in; networks are also called with other buffers than their own.
        kernels: For each dilation, the channels of every sum, and the numbers of its kernels.
        places: For each dilation, the place of every kernel among those of all sums; None where most sums have one
            kernel, so that kernels are better computed one by one.
    """

    of: Tensor
    kernels: list[list[tuple[list[int], Tensor]]]
    places: list[Tensor | None]

    @classmethod
    def found_in(cls, channels: Tensor, *, none: int) -> "_Sums | None":
        """Returns the sums of `channels`, shape (n_dilations, n_kernels, k); None on the meta device.

        Subsets of fewer than k channels are filled up with the number `none`.
        """
        if channels.is_meta:
            return None
        every, places = [], []
        for of_kernels in channels:
            sums, number = torch.unique(of_kernels, dim=0, return_inverse=True)
            own = [
                ([channel for channel in one.tolist() if channel != none], (number == index).nonzero()[:, 0])
                for index, one in enumerate(sums)
            ]
            every.append(own)
            has_few = 2 * len(own) <= len(of_kernels)
            places.append(torch.cat([kernels for _, kernels in own]).argsort() if has_few else None)
        return cls(channels, every, places)


class RandomConvolutions(nn.Module):
    """Standardised shares of positions at which a convolution is above a bias, and statistics of every channel.

    After MiniRocket (Dempster et al., 2021), with these differences: all kernels are padded; convolutions are strided;
    a bias is a quantile over many training samples instead of one; on an image, the nine taps are 3 x 3 and dilated in
    both directions; features are standardised; as every kernel sums to zero and does not see the level of a channel,
    mean, standard deviation, maximum and minimum of the channels are features, too. Each kernel acts on the sum of a
    random subset of the channels, which takes no products. MACs: 9 kernels x dilations x positions.

    Attributes:
        n_channels: Channels of the inputs.
        dilations: Distances of neighbouring taps, growing exponentially; fewer than asked where inputs are short.
        n_shares: Kernels x dilations x biases.
        n_features: `n_shares` and four statistics of every channel.
    """

    kernels: Tensor
    channels: Tensor
    biases: Tensor
    mean: Tensor
    std: Tensor
    codes: Tensor | None

    def __init__(self, modality: Modality, *, n_kernels: int, n_dilations: int, stride: int, n_biases: int) -> None:
        """Draws kernels and channels from torch's generator; `fit` sets the biases and the scales of the features.

        Raises:
            InvalidInputError: `stride` is longer than the input.
        """
        super().__init__()
        self.on_grid = modality.kind == "image"
        self.size = modality.shape[1:] if self.on_grid else modality.shape[:1]
        if stride > min(self.size):
            raise InvalidInputError(
                f"stride {stride} of stream {modality.name} is longer than the shortest side of its input, "
                f"{min(self.size)}; make it smaller"
            )
        self.stride = stride
        side = 3 if self.on_grid else _N_TAPS
        self.dilations = _dilations((min(self.size) - 1) // (side - 1), n_dilations)
        vocabulary = modality.vocabulary
        self.n_channels = n_channels = modality.shape[0 if self.on_grid else 1] if vocabulary is None else _ID_WIDTH
        n_dilations = len(self.dilations)
        kernels, channels = _draw(n_dilations, n_kernels, n_channels)
        shape = (1, side, side) if self.on_grid else (1, side)
        self.register_buffer("kernels", kernels.reshape(n_dilations, n_kernels, *shape))
        self.register_buffer("channels", channels)
        self._sums = _Sums.found_in(self.channels, none=n_channels)
        self.register_buffer("codes", None if vocabulary is None else normal_numbers(vocabulary, _ID_WIDTH))
        self.register_buffer("biases", torch.zeros(n_dilations, n_kernels, n_biases))
        self.n_shares = self.biases.numel()
        self.n_features = self.n_shares + 4 * n_channels
        self.register_buffer("mean", torch.zeros(self.n_features))
        self.register_buffer("std", torch.ones(self.n_features))

    @torch.no_grad()
    def fit(self, inputs: Tensor, mask: Tensor | None) -> None:
        """Sets biases and scales; the biases are quantiles of the convolutions at the levels of `_levels`.

        A bias is between two values that occur: where values repeat, as those of ids and of even areas do, rounding
        would otherwise decide whether they are above it, differently in an exported program.

        Args:
            inputs: (n, T, F), (n, T) ids or (n, C, H, W); the first 256 samples give the biases.
            mask: (n, T); None if all steps are real.
        """
        levels = _levels(self.n_shares).reshape(self.biases.shape)
        some = None if mask is None else mask[:_N_BIAS_SAMPLES]
        for index in range(len(self.dilations)):
            parts = []
            for values, real in self._parts(inputs[:_N_BIAS_SAMPLES], some):
                kept = self._convolve(self._channels_first(values, real), index).flatten(2).transpose(0, 1)
                parts.append(kept.flatten(1) if real is None else kept[:, real[:, :: self.stride]])
            ordered = torch.cat(parts, dim=1).sort(dim=1).values
            if ordered.shape[1]:
                self.biases[index] = _quantiles(ordered, levels[index].to(ordered.device))
        features = torch.cat([self._unscaled(*part) for part in self._parts(inputs, mask)])
        self.mean.copy_(features.mean(dim=0))
        self.std.copy_(features.std(dim=0, correction=0).clamp_min(_LEAST_STD))

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (b, n_features), shares first, for inputs (b, T, F), (b, T) ids or (b, C, H, W); mask (b, T)."""
        features = torch.cat([self._unscaled(*part) for part in self._parts(inputs, mask)])
        return (features - self.mean) / self.std

    def macs(self, length: int) -> int:
        """Returns the multiply-accumulates for a sample of `length` steps; an image ignores `length`."""
        size = self.size if self.on_grid else (max(length, 1),)
        n_positions = math.prod(math.ceil(side / self.stride) for side in size)
        return _N_TAPS * self.channels.shape[0] * self.channels.shape[1] * n_positions

    def _parts(self, inputs: Tensor, mask: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yields the samples in parts that fit in memory; all at once for a trace, which any batch may follow."""
        size = max(_MOST_NUMBERS // (self.channels.shape[1] * math.prod(self.size)), 1)
        if is_tracing() or len(inputs) <= size:
            yield inputs, mask
            return
        for start in range(0, len(inputs), size):
            yield inputs[start : start + size], None if mask is None else mask[start : start + size]

    def _unscaled(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        values = self._channels_first(inputs, mask)
        channels = values[:, :-1].flatten(2).transpose(1, 2)
        least = -_STATISTICS(Tokens(-channels, mask))[:, -channels.shape[2] :]
        return torch.cat([self._shares(values, mask), _STATISTICS(Tokens(channels, mask)), least], dim=1)

    def _shares(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the (b, n_shares) shares of real positions; 0 for samples without real steps."""
        real = None if mask is None else mask[:, None, None, :: self.stride]
        shares = []
        for index, biases in enumerate(self.biases):
            above = self._convolve(values, index).flatten(2)[:, :, None] > biases[..., None]
            if real is None:
                share = above.to(values.dtype).mean(dim=3)
            else:
                share = (above & real).sum(dim=3).to(values.dtype) / real.sum(dim=3).clamp_min(1)
            shares.append(share.flatten(1))
        return torch.cat(shares, dim=1)

    def _channels_first(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (b, C + 1, ...) values whose last channel is 0, padded steps 0."""
        values = inputs if self.codes is None else self.codes[inputs]
        if mask is not None:
            values = values * mask[..., None]
        values = (values if self.on_grid else values.transpose(1, 2)).to(self.mean.dtype)
        return F.pad(values, (*[0, 0] * len(self.size), 0, 1))

    def _convolve(self, values: Tensor, index: int) -> Tensor:
        """Returns the convolutions (b, n_kernels, ...) with dilation number `index`."""
        sums = self._sums_for(values, index)
        if sums is None:
            summed = _sum(values, self.channels[index].unbind(1))
            return self._convolve_sums(summed, self.kernels[index], index=index)
        parts = [
            self._convolve_sums(_sum(values, [[one] for one in channels]), self.kernels[index, kernels], index=index)
            for channels, kernels in sums.kernels[index]
        ]
        return torch.cat(parts, dim=1)[:, sums.places[index]]

    def _sums_for(self, values: Tensor, index: int) -> "_Sums | None":
        """Returns the sums that kernels share; None where each kernel is better computed with its own."""
        sums = self._sums
        if sums is None or sums.of is not self.channels or is_tracing() or sums.places[index] is None:
            return None
        return sums if len(sums.kernels[index]) <= _FEW_SUMS or values[:, 0].numel() >= _MANY_POSITIONS else None

    def _convolve_sums(self, summed: Tensor, kernels: Tensor, *, index: int) -> Tensor:
        """Returns the convolutions of (b, n, ...) sums with a kernel of each, or of one sum with all kernels."""
        dilation = self.dilations[index]
        convolve = F.conv2d if self.on_grid else F.conv1d
        padding = dilation * (kernels.shape[-1] // 2)
        return convolve(summed, kernels, stride=self.stride, padding=padding, dilation=dilation, groups=summed.shape[1])

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._sums = _Sums.found_in(self.channels, none=self.n_channels)


class RandomConvStem(FixedStem):
    """One token of random convolutions, as they are or with a linear layer to `width`. MACs of that: F d."""

    def __init__(self, convolutions: RandomConvolutions, *, width: int | None, dropout: float) -> None:
        """Builds the stem; `dropout` is that of the shares, a `width` of None keeps the features as they are."""
        super().__init__(convolutions.n_features)
        self.convolutions = convolutions
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Identity() if width is None else nn.Linear(convolutions.n_features, width)
        self.project_macs = 0 if width is None else convolutions.n_features * width

    def fit(self, inputs: Tensor, mask: Tensor | None) -> None:
        """Fits the convolutions."""
        self.convolutions.fit(inputs, mask)

    def features(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (b, F) standardised features, in full precision under autocast, too."""
        with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
            features: Tensor = self.convolutions(inputs if self.convolutions.on_grid else keep_length(inputs), mask)
        return features

    def tokens(self, features: Tensor) -> Tokens:
        """Returns one token."""
        shares, statistics = features[:, : self.convolutions.n_shares], features[:, self.convolutions.n_shares :]
        return Tokens(self.project(torch.cat([self.dropout(shares), statistics], dim=1))[:, None])

    def extent(self, length: int) -> Extent:
        """Returns one token."""
        return Extent(1)

    def features_macs(self, length: int) -> int:
        """Returns those of the convolutions."""
        return self.convolutions.macs(length)

    def macs(self, length: int) -> int:
        """Returns those of the convolutions and of the linear layer."""
        return self.features_macs(length) + self.project_macs


def random_conv_stream(
    modality: Modality,
    *,
    depth: int,
    width: int,
    dropout: float,
    expansion: int,
    n_kernels: int,
    n_dilations: int,
    stride: int,
    n_biases: int,
    feature_dropout: float,
) -> Stream:
    """Returns random convolutions followed by `depth` residual MLPs of `width`; of their own width if there are none.

    Raises:
        InvalidInputError: `stride` is longer than the input.
    """
    convolutions = RandomConvolutions(
        modality, n_kernels=n_kernels, n_dilations=n_dilations, stride=stride, n_biases=n_biases
    )
    stem = RandomConvStem(convolutions, width=width if depth else None, dropout=feature_dropout)
    stages = [MlpStage(width, hidden=expansion * width, dropout=dropout) for _ in range(depth)]
    return Stream(stem, stages, width=width if depth else convolutions.n_features)


def _sum(values: Tensor, channels: Iterable[Tensor | list[int]]) -> Tensor:
    """Returns the sums of channels of `values` (b, C, ...), whose numbers are listed for one term after another."""
    first, *others = channels
    total = values[:, first]
    for term in others:
        total = total + values[:, term]
    return total


def _dilations(largest: int, n: int) -> list[int]:
    """Returns at most `n` distinct dilations from 1 to `largest`, equally spaced on a logarithmic scale."""
    top = math.log2(max(largest, 1))
    return sorted({round(2 ** (top * step / max(n - 1, 1))) for step in range(n)})


def _quantiles(ordered: Tensor, levels: Tensor) -> Tensor:
    """Returns for every row the numbers halfway between its quantiles and the next larger values.

    Args:
        ordered: (k, n) values in ascending order.
        levels: (k, q) levels in (0, 1).
    """
    last = ordered.shape[1] - 1
    quantiles = ordered.gather(1, (levels * last).round().long())
    equal = quantiles + _ROUNDING * ordered.abs().amax(dim=1, keepdim=True)  # up to here, values are those of quantiles
    after = torch.searchsorted(ordered, equal, right=True)
    larger = torch.where(after > last, equal, ordered.gather(1, after.clamp_max(last)))
    return (quantiles + larger) / 2


def _levels(n: int) -> Tensor:
    """Returns `n` levels of quantiles in (0, 1), float64: the fractional parts of multiples of the golden ratio.

    As in MiniRocket; consecutive levels are far apart, so the biases of a kernel differ, and so do those of kernels.
    """
    return torch.arange(1, n + 1, dtype=torch.float64) * ((math.sqrt(5) - 1) / 2) % 1


def _draw(n_dilations: int, n_kernels: int, n_channels: int) -> tuple[Tensor, Tensor]:
    """Returns random kernels (n_dilations, n_kernels, 9) and their channels (n_dilations, n_kernels, k).

    There are none on the meta device, for the reason that `normal_numbers` gives.
    """
    kernels = torch.empty(n_dilations, n_kernels, _N_TAPS)
    if kernels.is_meta:
        largest = min(n_channels, _MOST_CHANNELS)
        return kernels, torch.empty(n_dilations, n_kernels, largest, dtype=torch.int64)
    every = torch.full((N_KERNELS, _N_TAPS), -1.0)
    for kernel, places in zip(every, combinations(range(_N_TAPS), _N_TWOS), strict=True):
        kernel[list(places)] = 2.0
    chosen = torch.stack([torch.randperm(N_KERNELS)[:n_kernels] for _ in range(n_dilations)])
    channels = _subsets(n_channels, chosen.numel())
    return every[chosen], channels.reshape(n_dilations, n_kernels, -1)


def _subsets(n_channels: int, n: int) -> Tensor:
    """Returns (n, k) channels of `n` random subsets, filled up with number `n_channels`.

    As in MiniRocket, the sizes are exponentials of uniform numbers, so small subsets are likelier.
    """
    largest = min(n_channels, _MOST_CHANNELS)
    sizes = (2 ** (torch.rand(n, dtype=torch.float64) * math.log2(largest + 1))).long().clamp(1, largest)
    drawn = torch.rand(n, n_channels).argsort(dim=1)[:, :largest]
    return torch.where(torch.arange(largest) < sizes[:, None], drawn, n_channels)
