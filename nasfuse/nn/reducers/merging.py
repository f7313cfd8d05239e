"""Merging: tokens that are alike become one."""

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.nn.attention import Seen
from nasfuse.nn.reducers.base import Reducer, compact, kept_of, n_kept, take
from nasfuse.nn.tokens import Extent, Tokens


class Merge(Reducer):
    """Merges the most alike tokens until ceil(keep_ratio n) are left: token merging (ToMe, Bolya et al., 2023).

    In a round, real tokens are taken alternately into A and B, each of A is linked to the one of B whose key (the mean
    over heads) has the highest cosine, and the highest links are merged by the mean weighted by sizes. A round leaves
    half of the tokens at least, so a small keep ratio takes several. Sizes come along, and attention counts a token as
    often as its size says.
    """

    def __init__(self, keep_ratio: float, inference_keep_ratio: float | None = None, *, width: int, heads: int) -> None:
        """Keeps the shares; `heads` are those of the attention whose keys are compared."""
        super().__init__(keep_ratio, inference_keep_ratio, width=width)
        self.heads = heads

    def left(self, extent: Extent, ratio: float) -> Extent:
        """Returns ceil(ratio n) tokens."""
        return Extent(n_kept(extent.n_tokens, ratio), n_cls=extent.n_cls)

    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns the merged tokens, each in the place of its latest part, with sizes."""
        assert seen is not None, "comes after attention"
        batch, n_tokens, _ = tokens.values.shape
        keys, sizes = seen.match_keys(), tokens.sizes
        if sizes is None:
            sizes = tokens.values.new_ones((batch, n_tokens))
        lengths, counts = tokens.lengths(), kept_of(tokens, self.ratio)
        values = tokens.values
        real = tokens.mask if tokens.mask is not None else sizes.new_ones(sizes.shape, dtype=torch.bool)
        n_left = n_kept(n_tokens, self.ratio)
        while n_tokens > n_left or bool((lengths > counts).any()):  # ceil(n / 2) can cost a short sample one more round
            n_tokens = max((n_tokens + 1) // 2, n_left)
            target = torch.maximum(counts, (lengths + 1) // 2)
            parts = torch.cat([values, keys, sizes[..., None]], dim=2)
            parts, real = _one_round(parts, keys, sizes, real, lengths - target, n_tokens)
            values, keys, sizes = torch.split(parts, [values.shape[2], keys.shape[2], 1], dim=2)
            sizes, lengths = sizes[..., 0], target
        return Tokens(values, None if tokens.mask is None else real, cls=tokens.cls, sizes=sizes * real)

    def own_macs(self, extent: Extent, left: Extent) -> int:
        """Returns the products of keys of A with keys of B, over all rounds."""
        total, n_tokens = 0, extent.n_tokens
        for n_after in _rounds(n_tokens, left.n_tokens):
            total += ((n_tokens + 1) // 2) * (n_tokens // 2) * (self.width // self.heads)
            n_tokens = n_after
        return total


def _rounds(n_tokens: int, n_left: int) -> list[int]:
    """Returns how many tokens are left after each round.

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
    parts: Tensor, keys: Tensor, sizes: Tensor, real: Tensor, n_merged: Tensor, n_after: int
) -> tuple[Tensor, Tensor]:
    """Returns (b, n_after, f) merged `parts` and which are real.

    Args:
        parts: (b, t, f), its last feature the sizes; real ones first.
        keys: (b, t, k) that are compared.
        sizes: (b, t).
        real: (b, t), true for the first tokens of each sample.
        n_merged: (b,) how many of A are merged into B, at most half of the real tokens.
        n_after: Places that are left.
    """
    a, b = parts[:, ::2], parts[:, 1::2]
    unit = F.normalize(keys, dim=2)
    links = (unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)).masked_fill(~real[:, None, 1::2], -torch.inf)
    best, partner = links.max(dim=2)
    best = best.masked_fill(~real[:, ::2], -torch.inf)
    ranks = torch.argsort(torch.argsort(best, dim=1, descending=True, stable=True), dim=1)
    merged = ranks < n_merged[:, None]

    weights = torch.cat([sizes.unsqueeze(2).expand(-1, -1, parts.shape[2] - 1), torch.ones_like(parts[..., :1])], dim=2)
    weighted = parts * weights
    own = weighted[:, 1::2]
    to = partner[..., None].expand(-1, -1, parts.shape[2])
    sums = own.scatter_add(1, to, weighted[:, ::2] * merged[..., None])
    total = sums[..., -1:]
    b = torch.cat([sums[..., :-1] / total.clamp_min(1), total], dim=2)

    together = torch.stack([a, F.pad(b, (0, 0, 0, a.shape[1] - b.shape[1]))], dim=2).flatten(1, 2)
    kept = torch.stack([~merged, merged.new_ones(merged.shape)], dim=2).flatten(1, 2)[:, : parts.shape[1]] & real
    places, still = compact(kept, n_after)
    return take(together, places), still
