"""Reducers: what drops or merges tokens after a stage.

One interface, (tokens, mask) to fewer (tokens, mask), so that a further kind is one more class here.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.tokens import Extent, Tokens


class Reducer(nn.Module, ABC):
    """Reduces the tokens of a stream to about `keep_ratio` of them, at least one."""

    def __init__(self, keep_ratio: float) -> None:
        """Keeps the share of tokens that is left, in (0, 1]."""
        super().__init__()
        self.keep_ratio = keep_ratio

    @abstractmethod
    def forward(self, tokens: Tokens) -> Tokens:
        """Returns the tokens that are left, with mask and grid."""

    @abstractmethod
    def extent(self, extent: Extent) -> Extent:
        """Returns how many tokens are left of `extent`."""

    @abstractmethod
    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates of the reduction itself."""


class Keep(Reducer):
    """Leaves all tokens: the reducer of a stream that has none."""

    def __init__(self) -> None:
        """Keeps everything."""
        super().__init__(1.0)

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns `tokens` themselves."""
        return tokens

    def extent(self, extent: Extent) -> Extent:
        """Returns `extent` itself."""
        return extent

    def macs(self, extent: Extent) -> int:
        """Returns 0."""
        return 0


class _Pool(Reducer):
    """Pools windows of round(1 / keep_ratio) neighbours; on a grid, of its square root per side.

    The last window may be short (nothing is dropped), padding never competes, and a window of padding
    alone is padding.
    """

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns one token per window."""
        if tokens.grid is not None:
            return self._pool_grid(tokens, tokens.grid)
        batch, n_tokens, width = tokens.values.shape
        window = self._windows(Extent(n_tokens))[0]
        n_windows = math.ceil(n_tokens / window)
        missing = n_windows * window - n_tokens
        if tokens.mask is None and missing == 0:
            values = tokens.values.view(batch, n_windows, window, width)
            return Tokens(self._reduce(values, None))
        mask = tokens.mask
        if mask is None:
            mask = tokens.values.new_ones((batch, n_tokens), dtype=torch.bool)
        values = F.pad(tokens.values, (0, 0, 0, missing)).view(batch, n_windows, window, width)
        real = F.pad(mask, (0, missing)).view(batch, n_windows, window)
        return Tokens(self._reduce(values, real), real.any(dim=2) if tokens.mask is not None else None)

    def extent(self, extent: Extent) -> Extent:
        """Returns one token per window."""
        windows = self._windows(extent)
        if extent.grid is not None:
            h, w = (math.ceil(side / window) for side, window in zip(extent.grid, windows, strict=True))
            return Extent(h * w, (h, w))
        return Extent(math.ceil(extent.n_tokens / windows[0]))

    def macs(self, extent: Extent) -> int:
        """Returns 0: pooling multiplies nothing."""
        return 0

    def _windows(self, extent: Extent) -> tuple[int, ...]:
        if extent.grid is None:
            return (min(max(round(1 / self.keep_ratio), 1), extent.n_tokens),)
        side = max(round(math.sqrt(1 / self.keep_ratio)), 1)
        return tuple(min(side, length) for length in extent.grid)

    def _pool_grid(self, tokens: Tokens, grid: tuple[int, int]) -> Tokens:
        extent = Extent(tokens.values.shape[1], grid)
        windows = self._windows(extent)
        image = tokens.values.transpose(1, 2).reshape(tokens.values.shape[0], -1, *grid)
        pooled = self._reduce_grid(image, windows)
        return Tokens(pooled.flatten(2).transpose(1, 2), None, self.extent(extent).grid)

    @abstractmethod
    def _reduce(self, values: Tensor, real: Tensor | None) -> Tensor:
        """Returns (b, n, d) for values (b, n, window, d) and real (b, n, window)."""

    @abstractmethod
    def _reduce_grid(self, image: Tensor, windows: tuple[int, ...]) -> Tensor:
        """Returns the pooled (b, d, h', w') of an image (b, d, h, w)."""


class MaxPool(_Pool):
    """The largest value of every window, feature by feature."""

    def _reduce(self, values: Tensor, real: Tensor | None) -> Tensor:
        if real is None:
            return values.amax(dim=2)
        pooled = values.masked_fill(~real[..., None], -torch.inf).amax(dim=2)
        return torch.where(real.any(dim=2)[..., None], pooled, 0.0)

    def _reduce_grid(self, image: Tensor, windows: tuple[int, ...]) -> Tensor:
        return F.max_pool2d(image, windows, ceil_mode=True)


class AveragePool(_Pool):
    """The mean of the real tokens of every window."""

    def _reduce(self, values: Tensor, real: Tensor | None) -> Tensor:
        if real is None:
            return values.mean(dim=2)
        count = real.sum(dim=2, keepdim=True).clamp_min(1)
        return (values * real[..., None]).sum(dim=2) / count

    def _reduce_grid(self, image: Tensor, windows: tuple[int, ...]) -> Tensor:
        return F.avg_pool2d(image, windows, ceil_mode=True, count_include_pad=False)


REDUCERS: dict[str, type[Reducer]] = {"max": MaxPool, "average": AveragePool}


def build_reducer(kind: str, keep_ratio: float) -> Reducer:
    """Returns the reducer called `kind`, or `Keep` where nothing is dropped."""
    return Keep() if keep_ratio == 1.0 else REDUCERS[kind](keep_ratio)
