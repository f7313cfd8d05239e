"""Reduction by cross-attention of a few learned tokens to all tokens."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from nasfuse.nn.attention import Seen, attend
from nasfuse.nn.embedding import new_embedding
from nasfuse.nn.packing import HasPackedWeights, Packings
from nasfuse.nn.reducers.base import Reducer, kept_of, n_kept
from nasfuse.nn.tokens import Extent, Tokens


class Latents(Reducer, HasPackedWeights):
    """Learned latents that attend to the tokens and replace them (Perceiver, Jaegle et al., 2021).

    The longest sample has ceil(keep_ratio n) latents; a shorter one uses the first of them, by the same formula.
    """

    def __init__(
        self,
        keep_ratio: float,
        inference_keep_ratio: float | None = None,
        *,
        width: int,
        heads: int,
        n_tokens: int,
    ) -> None:
        """Builds latents for at most `n_tokens` tokens."""
        super().__init__(keep_ratio, inference_keep_ratio, width=width)
        self.heads = heads
        self.queries = new_embedding(1, n_kept(n_tokens, keep_ratio), width)
        self.norm = nn.LayerNorm(width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    @classmethod
    def for_stage(cls, options: Mapping[str, Any], *, width: int, heads: int, n_tokens: int) -> Self:
        """Returns latents for the longest sample."""
        return cls(**options, width=width, heads=heads, n_tokens=n_tokens)

    def left(self, extent: Extent, ratio: float) -> Extent:
        """Returns ceil(ratio n) tokens."""
        return Extent(n_kept(extent.n_tokens, ratio), n_cls=extent.n_cls)

    def works_on(self, extent: Extent, ratio: float) -> bool:
        """Returns True: latents also replace a single token, so that results do not depend on padding."""
        return True

    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns the latents after the cross-attention."""
        batch, n_tokens, _ = tokens.values.shape
        n_latents = n_kept(n_tokens, self.ratio)
        queries = self.queries[:, :n_latents].expand(batch, -1, -1)
        key, value = self.key_value(self.norm(tokens.values)).chunk(2, dim=2)
        read: Tensor = self.out(attend(queries, key, value, heads=self.heads, mask=tokens.mask, sizes=tokens.sizes))
        mask = None
        if tokens.mask is not None:
            mask = torch.arange(n_latents, device=read.device) < kept_of(tokens, self.ratio)[:, None]
        return Tokens(queries + read, mask, cls=tokens.cls)

    def packings(self) -> Packings:
        """Returns the packings of the queries, of keys and values, and of the output, each by heads."""
        by_head = (self.heads, self.width // self.heads)
        return {
            "queries": {2: (by_head,)},
            "key_value.weight": {0: ((2, *by_head),)},
            "key_value.bias": {0: ((2, *by_head),)},
            "out.weight": {1: (by_head,)},
        }

    def own_macs(self, extent: Extent, left: Extent) -> int:
        """Returns 2 n d^2 for keys and values, 2 n k d for the attention and k d^2 for the output of k latents."""
        n, k, d = extent.n_tokens, left.n_tokens, self.width
        return 2 * n * d**2 + 2 * n * k * d + k * d**2
