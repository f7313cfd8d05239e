"""Pooling of windows of neighbouring tokens."""

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.nn.attention import Seen
from nasfuse.nn.reducers.base import Reducer
from nasfuse.nn.tokens import Extent, Tokens


class _Windowed(Reducer):
    """Replaces every window of round(1 / keep_ratio) neighbouring tokens by one token.

    The last window may be shorter. Padding is ignored, and a window that contains padding only is padding.
    """

    def left(self, extent: Extent, ratio: float) -> Extent:
        """Returns one token per window."""
        (window,) = self._windows(Extent(extent.n_tokens), ratio)
        return Extent(math.ceil(extent.n_tokens / window), n_cls=extent.n_cls)

    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns one token per window."""
        batch, n_tokens, width = tokens.values.shape
        (window,) = self._windows(Extent(n_tokens), self.ratio)
        n_windows = math.ceil(n_tokens / window)
        missing = n_windows * window - n_tokens
        values = F.pad(tokens.values, (0, 0, 0, missing)).reshape(batch, n_windows, window, width)
        if tokens.mask is None and missing == 0:
            real = None
        else:
            mask = tokens.mask
            if mask is None:
                mask = tokens.values.new_ones((batch, n_tokens), dtype=torch.bool)
            real = F.pad(mask, (0, missing)).reshape(batch, n_windows, window)
        weights = self._weights(tokens, seen)
        if weights is not None:
            weights = F.pad(weights, (0, missing)).reshape(batch, n_windows, window)
        pooled = self._pool(values, real, weights)
        mask = None if tokens.mask is None or real is None else real.any(dim=2)
        sizes = None
        if tokens.sizes is not None:
            sizes = F.pad(tokens.sizes, (0, missing)).reshape(batch, n_windows, window).sum(dim=2)
        return Tokens(pooled, mask, cls=tokens.cls, sizes=sizes)

    def _windows(self, extent: Extent, ratio: float) -> tuple[int, ...]:
        if extent.grid is None:
            return (min(max(round(1 / ratio), 1), extent.n_tokens),)
        side = max(round(math.sqrt(1 / ratio)), 1)
        return tuple(min(side, length) for length in extent.grid)

    def _weights(self, tokens: Tokens, seen: Seen | None) -> Tensor | None:
        """Returns the weights of the tokens in their windows, shape (b, t); None for equal weights."""
        return None

    @abstractmethod
    def _pool(self, values: Tensor, real: Tensor | None, weights: Tensor | None) -> Tensor:
        """Returns pooled tokens (b, n, d) of values (b, n, window, d), real (b, n, window), weights (b, n, window)."""


class _Pool(_Windowed):
    """Pools windows of a sequence; on a grid, square windows of about the same size, so that the result is a grid."""

    def left(self, extent: Extent, ratio: float) -> Extent:
        """Returns one token per window."""
        if extent.grid is None:
            return super().left(extent, ratio)
        h, w = (
            math.ceil(side / window) for side, window in zip(extent.grid, self._windows(extent, ratio), strict=True)
        )
        return Extent(h * w, (h, w), extent.n_cls)

    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns one token per window."""
        if tokens.grid is None:
            return super().reduce(tokens, seen)
        extent = Extent(tokens.values.shape[1], tokens.grid)
        image = tokens.values.transpose(1, 2).reshape(tokens.values.shape[0], -1, *tokens.grid)
        pooled = self._pool_grid(image, self._windows(extent, self.ratio))
        values = pooled.flatten(2).transpose(1, 2)
        return Tokens(values, None, self.left(extent, self.ratio).grid, cls=tokens.cls)

    @abstractmethod
    def _pool_grid(self, image: Tensor, windows: tuple[int, ...]) -> Tensor:
        """Returns the pooled (b, d, h', w') of an image (b, d, h, w)."""


def attended(seen: Seen) -> Tensor:
    """Returns the attention weights of CLS for each token, shape (b, t), positive except for padding.

    A small constant is added, so that a window without attention is pooled by its mean.
    """
    saliency = seen.saliency() + 1e-8
    return saliency if seen.mask is None else saliency * seen.mask


class MaxPool(_Pool):
    """Maximum of every window, by feature."""

    def _pool(self, values: Tensor, real: Tensor | None, weights: Tensor | None) -> Tensor:
        if real is None:
            return values.amax(dim=2)
        pooled = values.masked_fill(~real[..., None], -torch.inf).amax(dim=2)
        return torch.where(real.any(dim=2)[..., None], pooled, 0.0)

    def _pool_grid(self, image: Tensor, windows: tuple[int, ...]) -> Tensor:
        return F.max_pool2d(image, windows, ceil_mode=True)


class AveragePool(_Pool):
    """Mean of the real tokens of every window, weighted by their sizes if they have any."""

    def _weights(self, tokens: Tokens, seen: Seen | None) -> Tensor | None:
        return tokens.sizes

    def _pool(self, values: Tensor, real: Tensor | None, weights: Tensor | None) -> Tensor:
        if weights is not None:
            total = weights.sum(dim=2, keepdim=True).clamp_min(1)
            return (values * weights[..., None]).sum(dim=2) / total
        if real is None:
            return values.mean(dim=2)
        count = real.sum(dim=2, keepdim=True).clamp_min(1)
        return (values * real[..., None]).sum(dim=2) / count

    def _pool_grid(self, image: Tensor, windows: tuple[int, ...]) -> Tensor:
        return F.avg_pool2d(image, windows, ceil_mode=True, count_include_pad=False)


class Strided(_Windowed):
    """First token of every window, the control for all other reducers. On a grid, windows are taken row by row."""

    def _pool(self, values: Tensor, real: Tensor | None, weights: Tensor | None) -> Tensor:
        first = values[:, :, 0]
        return first if real is None else first * real[:, :, :1]


class AttentionPool(_Windowed):
    """Mean of every window, weighted by the attention of CLS (the `attn` pooling of SFT, Ding et al., 2021).

    In SFT the weights are the mean over all queries, whose cost is that of all pairs; here they are one row of
    attention. On a grid, windows are taken row by row.
    """

    def _weights(self, tokens: Tokens, seen: Seen | None) -> Tensor | None:
        assert seen is not None, "comes after attention"
        return attended(seen)

    def _pool(self, values: Tensor, real: Tensor | None, weights: Tensor | None) -> Tensor:
        assert weights is not None
        shares = weights / weights.sum(dim=2, keepdim=True).clamp_min(1e-12)
        return (shares[:, :, None] @ values)[:, :, 0]

    def own_macs(self, extent: Extent, left: Extent) -> int:
        """Returns t d for one row of attention and t d for the weighted means, with a full last window."""
        (window,) = self._windows(Extent(extent.n_tokens), self.inference_keep_ratio)
        return (extent.n_tokens + left.n_tokens * window) * self.width
