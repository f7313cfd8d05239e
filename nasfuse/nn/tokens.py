"""Tokens: the representation of features between stages, for all modalities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Extent:
    """Number of tokens per sample, as used by MACs formulas.

    Attributes:
        n_tokens: Number of tokens without CLS.
        grid: (h, w) with h w = n_tokens for the patches of an image, else None.
        n_cls: 1 if there is a CLS token, which reducers leave unchanged, else 0.
    """

    n_tokens: int
    grid: tuple[int, int] | None = None
    n_cls: int = 0

    @property
    def n_all(self) -> int:
        """Returns the number of tokens including CLS."""
        return self.n_tokens + self.n_cls


@dataclass(frozen=True)
class Tokens:
    """A batch of tokens.

    Attributes:
        values: Features, (b, t, d).
        mask: (b, t) bool, true for real tokens and false for padding, which comes last; None without padding.
        grid: (h, w) with h w = t for the patches of an image, row by row; None for other tokens.
        cls: (b, d) CLS token; None if there is none.
        sizes: (b, t) number of original tokens in each token after merging, 0 for padding; None if all are 1.
        readout: Returns the output vector of the tokens of a stream; None: `summary`.
    """

    values: Tensor
    mask: Tensor | None = None
    grid: tuple[int, int] | None = None
    cls: Tensor | None = None
    sizes: Tensor | None = None
    readout: Callable[["Tokens"], Tensor] | None = None

    @property
    def n_cls(self) -> int:
        """Returns 1 if there is a CLS token, else 0."""
        return 0 if self.cls is None else 1

    def with_values(self, values: Tensor) -> "Tokens":
        """Returns the tokens with their values replaced by `values`."""
        return replace(self, values=values)

    def each(self, function: Callable[[Tensor], Tensor]) -> "Tokens":
        """Returns the tokens with `function`, which acts on each token separately, applied to values and CLS."""
        return replace(self, values=function(self.values), cls=None if self.cls is None else function(self.cls))

    def rows(self, rows: Tensor) -> "Tokens":
        """Returns the tokens of the samples `rows` (k,)."""
        mask, cls, sizes = (None if part is None else part[rows] for part in (self.mask, self.cls, self.sizes))
        return Tokens(self.values[rows], mask, self.grid, cls, sizes, self.readout)

    def mixed(self, weight: float, order: Tensor) -> "Tokens":
        """Returns weight x_i + (1 - weight) x_j for every sample i and its partner j = `order[i]`, order (b,).

        Padding counts as 0. A token of the result is real if it is real in either sample.
        """
        other = self.rows(order)

        def mixed(own: Tensor, partner: Tensor) -> Tensor:
            return weight * own + (1 - weight) * partner

        mask = None if self.mask is None or other.mask is None else self.mask | other.mask
        cls = None if self.cls is None or other.cls is None else mixed(self.cls, other.cls)
        sizes = None if self.sizes is None or other.sizes is None else mixed(self.sizes, other.sizes)
        return Tokens(mixed(self.masked(), other.masked()), mask, self.grid, cls, sizes, self.readout)

    def masked(self) -> Tensor:
        """Returns the (b, t, d) values with padding set to 0."""
        return self.values if self.mask is None else self.values * self.mask[..., None]

    def mean(self) -> Tensor:
        """Returns the (b, d) mean over real tokens, weighted by their sizes; 0 for samples without real tokens."""
        if self.sizes is not None:
            weights = self.sizes if self.mask is None else self.sizes * self.mask
            return (self.values * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True).clamp_min(1)
        if self.mask is None:
            return self.values.mean(dim=1)
        count = self.mask.sum(dim=1, keepdim=True).clamp_min(1)
        return self.masked().sum(dim=1) / count

    def summary(self) -> Tensor:
        """Returns one (b, d) token for each sample: CLS if there is one, else the mean."""
        return self.mean() if self.cls is None else self.cls

    def vector(self) -> Tensor:
        """Returns the output vector of each sample, (b, k d) for a readout of k statistics."""
        return self.summary() if self.readout is None else self.readout(self)

    def in_line(self) -> "Tokens":
        """Returns the tokens with CLS, if there is one, prepended as the first token."""
        if self.cls is None:
            return self
        return join([Tokens(self.cls[:, None]), replace(self, cls=None, grid=None)])

    def out_of_line(self, values: Tensor) -> "Tokens":
        """Returns these tokens with `values` (b, n_cls + t, d) in the layout of `in_line`."""
        if self.cls is None:
            return self.with_values(values)
        return replace(self, values=values[:, 1:], cls=values[:, 0])

    def as_map(self) -> Tensor:
        """Returns the tokens of an image as a map (b, d, h, w), which shares their memory."""
        assert self.grid is not None, "only images have a grid"
        batch, _, width = self.values.shape
        return self.values.transpose(1, 2).view(batch, width, *self.grid)

    def lengths(self) -> Tensor:
        """Returns the (b,) number of real tokens of each sample."""
        batch, n_tokens, _ = self.values.shape
        if self.mask is None:
            return torch.full((batch,), n_tokens, device=self.values.device)
        return self.mask.sum(dim=1)


def from_map(values: Tensor) -> Tokens:
    """Returns the tokens of a map (b, d, h, w), row by row."""
    height, width = values.shape[2:]
    return Tokens(values.flatten(2).transpose(1, 2), None, (int(height), int(width)))


def join(parts: Sequence[Tokens]) -> Tokens:
    """Returns the concatenated tokens of parts without CLS, (b, sum of t, d); masked or sized if any part is."""
    masks = _joined([part.mask for part in parts], parts, torch.bool)
    sizes = _joined([part.sizes for part in parts], parts, parts[0].values.dtype)
    return Tokens(torch.cat([part.values for part in parts], dim=1), masks, sizes=sizes)


def _joined(fields: Sequence[Tensor | None], parts: Sequence[Tokens], dtype: torch.dtype) -> Tensor | None:
    if all(field is None for field in fields):
        return None
    filled = [
        part.values.new_ones(part.values.shape[:2], dtype=dtype) if field is None else field
        for field, part in zip(fields, parts, strict=True)
    ]
    return torch.cat(filled, dim=1)
