"""Tokens: the one form in which features travel between stages, whatever the modality."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Extent:
    """How many tokens there are, without their values: what a MACs formula needs.

    Attributes:
        n_tokens: Tokens per sample.
        grid: (h, w) with h w = n_tokens where the tokens lie on an image, else None.
        n_cls: 1 where a CLS token comes along, which no reducer touches.
    """

    n_tokens: int
    grid: tuple[int, int] | None = None
    n_cls: int = 0

    @property
    def n_all(self) -> int:
        """Tokens with CLS."""
        return self.n_tokens + self.n_cls


@dataclass(frozen=True)
class Tokens:
    """A batch of tokens.

    Attributes:
        values: (b, t, d).
        mask: (b, t) bool, true where a token is real; None where all are. Real tokens stand before padding.
        grid: (h, w) with h w = t where the tokens lie on an image, row by row.
        cls: (b, d) CLS token, at which the stream is read; None where it is read at the mean of its tokens.
        sizes: (b, t) how many tokens each one stands for after merging, 0 for padding; None where all count alike.
    """

    values: Tensor
    mask: Tensor | None = None
    grid: tuple[int, int] | None = None
    cls: Tensor | None = None
    sizes: Tensor | None = None

    @property
    def n_cls(self) -> int:
        """1 where there is a CLS token."""
        return 0 if self.cls is None else 1

    def with_values(self, values: Tensor) -> "Tokens":
        """Returns tokens with other values at the same places."""
        return replace(self, values=values)

    def each(self, function: Callable[[Tensor], Tensor]) -> "Tokens":
        """Returns tokens with `function` of the values and of CLS, for a function that acts token by token."""
        return replace(self, values=function(self.values), cls=None if self.cls is None else function(self.cls))

    def rows(self, rows: Tensor) -> "Tokens":
        """Returns the tokens of the samples `rows` (k,)."""
        mask, cls, sizes = (None if part is None else part[rows] for part in (self.mask, self.cls, self.sizes))
        return Tokens(self.values[rows], mask, self.grid, cls, sizes)

    def mixed(self, weight: float, order: Tensor) -> "Tokens":
        """Returns weight x_i + (1 - weight) x_j for every sample i and its partner j = `order[i]`, order (b,).

        Padding counts as zeros; a token is real where either sample has a real one.
        """
        other = self.rows(order)

        def mixed(own: Tensor, partner: Tensor) -> Tensor:
            return weight * own + (1 - weight) * partner

        mask = None if self.mask is None or other.mask is None else self.mask | other.mask
        cls = None if self.cls is None or other.cls is None else mixed(self.cls, other.cls)
        sizes = None if self.sizes is None or other.sizes is None else mixed(self.sizes, other.sizes)
        return Tokens(mixed(self.masked(), other.masked()), mask, self.grid, cls, sizes)

    def masked(self) -> Tensor:
        """Returns the (b, t, d) values, zero where a token is padding."""
        return self.values if self.mask is None else self.values * self.mask[..., None]

    def mean(self) -> Tensor:
        """Returns the (b, d) mean over real tokens, weighted by their sizes; zero for a sample that has none."""
        if self.sizes is not None:
            weights = self.sizes if self.mask is None else self.sizes * self.mask
            return (self.values * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True).clamp_min(1)
        if self.mask is None:
            return self.values.mean(dim=1)
        count = self.mask.sum(dim=1, keepdim=True).clamp_min(1)
        return self.masked().sum(dim=1) / count

    def summary(self) -> Tensor:
        """Returns the (b, d) vector that stands for the sample: CLS, or the mean where there is none."""
        return self.mean() if self.cls is None else self.cls

    def in_line(self) -> "Tokens":
        """Returns the same tokens with CLS, where there is one, as the first of them."""
        if self.cls is None:
            return self
        return join([Tokens(self.cls[:, None]), replace(self, cls=None, grid=None)])

    def out_of_line(self, values: Tensor) -> "Tokens":
        """Returns these tokens with the values (b, n_cls + t, d) of a line as `in_line` makes it."""
        if self.cls is None:
            return self.with_values(values)
        return replace(self, values=values[:, 1:], cls=values[:, 0])

    def lengths(self) -> Tensor:
        """Returns (b,) the number of real tokens of each sample."""
        batch, n_tokens, _ = self.values.shape
        if self.mask is None:
            return torch.full((batch,), n_tokens, device=self.values.device)
        return self.mask.sum(dim=1)


def join(parts: Sequence[Tokens]) -> Tokens:
    """Returns token sets without CLS laid end to end, (b, sum of t, d); masked, sized where any of them is."""
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
