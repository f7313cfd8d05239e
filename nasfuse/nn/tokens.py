"""Tokens: the one form in which features travel between stages, whatever the modality."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Extent:
    """How many tokens there are, without their values: what a MACs formula needs.

    Attributes:
        n_tokens: Tokens per sample.
        grid: (h, w) with h w = n_tokens where the tokens lie on an image, else None.
    """

    n_tokens: int
    grid: tuple[int, int] | None = None


@dataclass(frozen=True)
class Tokens:
    """A batch of tokens.

    Attributes:
        values: (b, t, d).
        mask: (b, t) bool, true where a token is real; None where all are.
        grid: (h, w) with h w = t where the tokens lie on an image, row by row.
    """

    values: Tensor
    mask: Tensor | None = None
    grid: tuple[int, int] | None = None

    def with_values(self, values: Tensor) -> "Tokens":
        """Returns tokens with other values at the same places."""
        return Tokens(values, self.mask, self.grid)

    def rows(self, rows: Tensor) -> "Tokens":
        """Returns the tokens of the samples `rows` (k,)."""
        return Tokens(self.values[rows], None if self.mask is None else self.mask[rows], self.grid)

    def mixed(self, weight: float, order: Tensor) -> "Tokens":
        """Returns weight x_i + (1 - weight) x_j for every sample i and its partner j = `order[i]`, order (b,).

        Padding counts as zeros; a token is real where either sample has a real one.
        """
        other = self.rows(order)
        mask = None if self.mask is None or other.mask is None else self.mask | other.mask
        return Tokens(weight * self.masked() + (1 - weight) * other.masked(), mask, self.grid)

    def masked(self) -> Tensor:
        """Returns the (b, t, d) values, zero where a token is padding."""
        return self.values if self.mask is None else self.values * self.mask[..., None]

    def mean(self) -> Tensor:
        """Returns the (b, d) mean over real tokens; zero for a sample that has none."""
        if self.mask is None:
            return self.values.mean(dim=1)
        count = self.mask.sum(dim=1, keepdim=True).clamp_min(1)
        return self.masked().sum(dim=1) / count


def join_masks(parts: list[Tokens]) -> Tensor | None:
    """Returns the (b, sum of t) mask of token sets laid end to end, None where every token is real."""
    if all(part.mask is None for part in parts):
        return None
    masks = [
        part.values.new_ones(part.values.shape[:2], dtype=torch.bool) if part.mask is None else part.mask
        for part in parts
    ]
    return torch.cat(masks, dim=1)
