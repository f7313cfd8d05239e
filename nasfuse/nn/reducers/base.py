"""Base class of reducers, which reduce the number of tokens of each sample in proportion to its length."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from nasfuse.nn.attention import Seen
from nasfuse.nn.knob import Knob
from nasfuse.nn.tokens import Extent, Tokens

#: Smallest keep ratio that is swept.
_LEAST_RATIO = 1 / 256


class Reducer(nn.Module, ABC):
    """Reduces the tokens of a stream to a share of about `keep_ratio`, at least one; CLS tokens are not changed.

    Attributes:
        keep_ratio: Share of the tokens that is kept in training, in (0, 1].
        inference_keep_ratio: Share that is kept in inference mode; it can be changed if the reducer has no parameters.
        width: Features of a token.
        used_untrained: Whether the reducer can be used after training in a network that was trained with all tokens.
    """

    used_untrained: ClassVar[bool] = False

    def __init__(self, keep_ratio: float, inference_keep_ratio: float | None = None, *, width: int) -> None:
        """Stores the ratios; `inference_keep_ratio` is `keep_ratio` by default."""
        super().__init__()
        self.width = width
        self.keep_ratio = keep_ratio
        self.inference_keep_ratio = keep_ratio if inference_keep_ratio is None else inference_keep_ratio

    @classmethod
    def for_stage(cls, options: Mapping[str, Any], *, width: int, heads: int, n_tokens: int) -> Self:
        """Returns the reducer of a stage; kinds that depend on more than the width override this method.

        Args:
            options: Keyword arguments of the constructor: keep ratios, and the options of the kind in a recipe.
            width: Features of a token.
            heads: Number of heads of the attention before the reducer.
            n_tokens: Number of tokens of the longest sample.
        """
        return cls(**options, width=width)

    @property
    def ratio(self) -> float:
        """Keep ratio in the current mode, training or inference."""
        return self.keep_ratio if self.training else self.inference_keep_ratio

    @property
    def has_parameters(self) -> bool:
        """Whether the reducer has parameters, which are trained for its keep ratio."""
        return next(self.parameters(), None) is not None

    def knobs(self, name: str) -> tuple[Knob, ...]:
        """Returns the keep ratio as a knob called `name`; none if the reducer has parameters.

        Its settings are twice, half and a quarter of the ratio.
        """
        if self.has_parameters:
            return ()
        ratio = self.inference_keep_ratio
        return (
            Knob(
                name,
                get=lambda: self.inference_keep_ratio,
                set=self._set_inference_keep_ratio,
                trained=self.keep_ratio,
                cheaper=tuple(max(share * ratio, _LEAST_RATIO) for share in (0.5, 0.25)),
                dearer=(min(2 * ratio, 1.0),),
            ),
        )

    def _set_inference_keep_ratio(self, ratio: float) -> None:
        self.inference_keep_ratio = ratio

    def forward(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns the reduced tokens.

        Args:
            tokens: Tokens of shape (b, t, d), with mask, sizes and CLS.
            seen: Queries and keys of the attention before the reducer; None after a convolution.
        """
        extent = Extent(tokens.values.shape[1], tokens.grid)
        return self.reduce(tokens, seen) if self.works_on(extent, self.ratio) else tokens

    def extent(self, extent: Extent) -> Extent:
        """Returns the extent after the reducer in inference mode."""
        return self.left(extent, self.inference_keep_ratio) if self._works_after_training(extent) else extent

    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates of the reducer in inference mode; 0 if it keeps all tokens."""
        return self.own_macs(extent, self.extent(extent)) if self._works_after_training(extent) else 0

    def works_on(self, extent: Extent, ratio: float) -> bool:
        """Returns whether the reducer changes tokens of `extent` at `ratio`."""
        return self.left(extent, ratio).n_tokens < extent.n_tokens

    def _works_after_training(self, extent: Extent) -> bool:
        return self.works_on(extent, self.inference_keep_ratio)

    @abstractmethod
    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns fewer tokens, see `forward`."""

    @abstractmethod
    def left(self, extent: Extent, ratio: float) -> Extent:
        """Returns the extent after the reducer for tokens of `extent` at `ratio`."""

    def own_macs(self, extent: Extent, left: Extent) -> int:
        """Returns the multiply-accumulates of the reduction from `extent` to `left`."""
        return 0


def n_kept(n_tokens: int, ratio: float) -> int:
    """Returns ceil(ratio n), at least 1: the number of tokens that selecting and merging reducers keep of `n_tokens`.

    Example:
        >>> n_kept(10, 0.3), n_kept(10, 0.01), n_kept(10, 1.0)
        (3, 1, 10)
    """
    return max(math.ceil(ratio * n_tokens - 1e-9), 1)


def kept_of(tokens: Tokens, ratio: float) -> Tensor:
    """Returns the number of real tokens that each sample keeps, shape (b,); 0 for a sample without real tokens."""
    lengths = tokens.lengths()
    counts = (ratio * lengths.double() - 1e-9).ceil().clamp_min(1).long()  # the same rounding as in `n_kept`
    return torch.where(lengths > 0, counts, 0)


def compact(kept: Tensor, n_places: int) -> tuple[Tensor, Tensor]:
    """Returns the positions of the tokens that are kept, in their order, and whether each position holds one.

    Args:
        kept: Whether a token is kept, shape (b, t).
        n_places: Number of positions, at least the largest number of kept tokens of a sample.

    Returns:
        Two tensors of shape (b, n_places).
    """
    order = torch.argsort(~kept, dim=1, stable=True)[:, :n_places]
    return order, kept.gather(1, order)


def take(values: Tensor, places: Tensor) -> Tensor:
    """Returns the (b, n, d) rows of `values` (b, t, d) at `places` (b, n)."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))
