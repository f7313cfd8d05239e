"""Merging of similar tokens."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.nn.attention import Seen
from nasfuse.nn.reducers.base import Reducer, compact, kept_of, n_kept, take
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.nn.tracing import must_fit_all


class Merge(Reducer):
    """Merges the most similar tokens until ceil(keep_ratio n) are left: token merging (ToMe, Bolya et al., 2023).

    In a round, real tokens are divided alternately into sets A and B, each token of A is linked to the token of B with
    the most similar key (cosine similarity, mean over heads), and the tokens of the most similar links are replaced by
    their mean, weighted by sizes. A round merges at most half of the tokens, so a small keep ratio needs several. The
    size of a token is the number of tokens merged into it, and its weight in later attention.
    """

    used_untrained = True

    def __init__(self, keep_ratio: float, inference_keep_ratio: float | None = None, *, width: int, heads: int) -> None:
        """Stores the ratios; `heads` is the number of heads of the attention whose keys are compared."""
        super().__init__(keep_ratio, inference_keep_ratio, width=width)
        self.heads = heads

    @classmethod
    def for_stage(cls, options: Mapping[str, Any], *, width: int, heads: int, n_tokens: int) -> Self:
        """Returns the reducer after attention with `heads` heads."""
        return cls(**options, width=width, heads=heads)

    def left(self, extent: Extent, ratio: float) -> Extent:
        """Returns ceil(ratio n) tokens."""
        return Extent(n_kept(extent.n_tokens, ratio), n_cls=extent.n_cls)

    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns the merged tokens with their sizes, each at the position of its last part."""
        assert seen is not None, "comes after attention"
        sizes, real = tokens.sizes, tokens.mask
        if sizes is None:
            sizes = tokens.values.new_ones(tokens.values.shape[:2])
        width = tokens.values.shape[2]
        # Sums are merged instead of means, because they only have to be added: a mean is a sum divided by its size, and
        # the cosine similarity of sums is that of the means.
        weights = sizes[..., None]
        sums = torch.cat([tokens.values * weights, seen.match_keys() * weights, weights], dim=2)
        for n_merged, n_after in self._plan(tokens):
            sums, real = _one_round(sums, real, n_merged, n_after, width=width)
        sizes = sums[..., -1].detach()  # counts; an attention mask with a gradient would disable the fast kernel
        values = sums[..., :width] / sizes.clamp_min(1)[..., None]
        return Tokens(values, real, cls=tokens.cls, sizes=sizes if real is None else sizes * real)

    def _plan(self, tokens: Tokens) -> list[tuple[int | Tensor, int]]:
        """Returns for each round the number of merged tokens, shape (b, 1) if lengths differ, and of positions left."""
        n_tokens = int(tokens.values.shape[1])
        n_left = n_kept(n_tokens, self.ratio)
        if tokens.mask is None:
            counts = _rounds(n_tokens, n_left)
            return [(before - after, after) for before, after in pairwise([n_tokens, *counts])]
        plan: list[tuple[int | Tensor, int]] = []
        lengths, kept = tokens.lengths(), kept_of(tokens, self.ratio)
        for_all = must_fit_all()
        n_rounds = _most_rounds(n_tokens, self.ratio) if for_all else 0
        # ceil(n / 2) can cost a short sample one more round; a trace has as many rounds as any length needs
        while n_tokens > n_left or len(plan) < n_rounds or (not for_all and bool((lengths > kept).any())):
            n_tokens = max((n_tokens + 1) // 2, n_left)
            target = torch.maximum(kept, (lengths + 1) // 2)
            plan.append(((lengths - target)[:, None], n_tokens))
            lengths = target
        return plan

    def own_macs(self, extent: Extent, left: Extent) -> int:
        """Returns the multiply-accumulates of the products of keys of A with keys of B over all rounds."""
        total, n_tokens = 0, extent.n_tokens
        for n_after in _rounds(n_tokens, left.n_tokens):
            total += ((n_tokens + 1) // 2) * (n_tokens // 2) * (self.width // self.heads)
            n_tokens = n_after
        return total


def _most_rounds(n_tokens: int, ratio: float) -> int:
    """Returns the largest number of rounds that a sample of up to `n_tokens` tokens needs."""
    return max(len(_rounds(length, n_kept(length, ratio))) for length in range(1, n_tokens + 1))


def _rounds(n_tokens: int, n_left: int) -> list[int]:
    """Returns the number of tokens after each round.

    Example:
        >>> _rounds(9, 2)
        [5, 3, 2]
    """
    counts = []
    while n_tokens > n_left:
        n_tokens = max((n_tokens + 1) // 2, n_left)
        counts.append(n_tokens)
    return counts


def _one_round(
    sums: Tensor, real: Tensor | None, n_merged: int | Tensor, n_after: int, *, width: int
) -> tuple[Tensor, Tensor | None]:
    """Returns the merged `sums`, shape (b, n_after, f), and the mask of real tokens, shape (b, n_after).

    Args:
        sums: Features times size, keys times size and size of each token, shape (b, t, f).
        real: Mask of real tokens, shape (b, t), true for the first tokens of each sample; None if all are real.
        n_merged: Number of tokens of A that are merged into B, at most half of the real tokens; shape (b, 1) if it
            differs by sample.
        n_after: Number of positions after the round.
        width: Features of a token.
    """
    a, b = sums[:, ::2], sums[:, 1::2]
    unit = F.normalize(sums[..., width:-1], dim=2)
    links = unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)
    if real is not None:
        links = links.masked_fill(~(real[:, ::2, None] & real[:, None, 1::2]), -torch.inf)
    best, partner = links.max(dim=2)
    to = partner[..., None].expand_as(a)
    if real is None and n_merged == a.shape[1]:
        return b.scatter_add(1, to, a), None
    order = best.argsort(dim=1, descending=True, stable=True)
    first = (torch.arange(a.shape[1], device=a.device) < n_merged).expand(order.shape)
    merged = torch.zeros_like(first).scatter(1, order, first)

    b = b.scatter_add(1, to, a * merged[..., None])
    together = torch.stack([a, F.pad(b, (0, 0, 0, a.shape[1] - b.shape[1]))], dim=2).flatten(1, 2)
    kept = torch.stack([~merged, torch.ones_like(merged)], dim=2).flatten(1, 2)[:, : sums.shape[1]]
    places, still = compact(kept if real is None else kept & real, n_after)
    return take(together, places), None if real is None else still
