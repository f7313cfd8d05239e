"""Alignment of the tokens of another stream with those of the main stream."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from nasfuse.nn.area_average import area_average
from nasfuse.nn.tokens import Extent, Tokens, from_map


def aligned(other: Tokens, main: Tokens, *, is_single: bool = False) -> Tokens:
    """Returns as many tokens of another stream as the main stream has; padding is 0. MACs: 0.

    Maps are averaged over the area of a token of the main stream, or repeated where the main stream is finer. Sequences
    are aligned by their first token: what one has more is cut or 0.

    Args:
        other: Tokens of the other stream.
        main: Tokens of the main stream.
        is_single: Whether samples of the other stream always have a single token, which is then repeated for all.
    """
    n_tokens = main.values.shape[1]
    if is_single:
        return Tokens(other.masked().expand(-1, n_tokens, -1))
    if main.grid is not None:
        if other.grid == main.grid:
            return replace(other, cls=None)
        return from_map(area_average(other.as_map(), main.grid))
    missing = n_tokens - other.values.shape[1]
    real = other.values.new_ones(other.values.shape[:2], dtype=torch.bool) if other.mask is None else other.mask
    real = F.pad(real, (0, missing))
    # Which tokens count must not depend on the padding of the main stream, and so on the batch.
    return Tokens(F.pad(other.masked(), (0, 0, 0, missing)), real if main.mask is None else real & main.mask)


def can_be_aligned(other: Extent, main: Extent) -> bool:
    """Returns whether the tokens of full samples correspond: maps, equal numbers, or one token for all."""
    if other.n_tokens == 1:
        return True
    if main.grid is not None or other.grid is not None:
        return main.grid is not None and other.grid is not None
    return other.n_tokens == main.n_tokens
