"""What a reducer is: fewer tokens out than in, for every sample as many as its own length allows."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from nasfuse.nn.attention import Seen
from nasfuse.nn.knob import Knob
from nasfuse.nn.tokens import Extent, Tokens

#: Least keep ratio that is worth trying.
_LEAST_RATIO = 1 / 256


class Reducer(nn.Module, ABC):
    """Reduces the tokens of a stream to about `keep_ratio` of them, at least one; CLS is never touched.

    Attributes:
        keep_ratio: Share of the tokens that is left in training, in (0, 1].
        inference_keep_ratio: The same after training; may be set at any time where the reducer has no parameters.
        width: Features of a token.
        used_untrained: Whether it is also used, after training, on networks that were trained with all tokens.
    """

    used_untrained: ClassVar[bool] = False

    def __init__(self, keep_ratio: float, inference_keep_ratio: float | None = None, *, width: int) -> None:
        """Keeps the shares; without the second one, inference is as training."""
        super().__init__()
        self.width = width
        self.keep_ratio = keep_ratio
        self.inference_keep_ratio = keep_ratio if inference_keep_ratio is None else inference_keep_ratio

    @classmethod
    def for_stage(cls, options: Mapping[str, Any], *, width: int, heads: int, n_tokens: int) -> Self:
        """Returns the reducer of one stage; kinds that depend on more than the width override it.

        Args:
            options: Keyword arguments of the constructor: keep ratios, and the kind's own options in a recipe.
            width: Features of a token.
            heads: Of the attention before it.
            n_tokens: Of the longest sample.
        """
        return cls(**options, width=width)

    @property
    def ratio(self) -> float:
        """The share in the mode that the reducer is in."""
        return self.keep_ratio if self.training else self.inference_keep_ratio

    @property
    def has_parameters(self) -> bool:
        """Whether it learns, for one keep ratio."""
        return next(self.parameters(), None) is not None

    def knobs(self, name: str) -> tuple[Knob, ...]:
        """Returns the keep ratio as a knob called `name`; none where the reducer has learnt for one ratio.

        Settings worth trying are twice, a half and a quarter of the ratio.
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
        """Returns the tokens that are left.

        Args:
            tokens: (b, t, d) with mask, sizes and CLS.
            seen: What the attention right before has seen of them; None after a convolution.
        """
        extent = Extent(tokens.values.shape[1], tokens.grid)
        return self.reduce(tokens, seen) if self.works_on(extent, self.ratio) else tokens

    def extent(self, extent: Extent) -> Extent:
        """Returns how many tokens are left of `extent` after training."""
        return self.left(extent, self.inference_keep_ratio) if self._works_after_training(extent) else extent

    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates of the reduction itself, after training; 0 where nothing is dropped."""
        return self.own_macs(extent, self.extent(extent)) if self._works_after_training(extent) else 0

    def works_on(self, extent: Extent, ratio: float) -> bool:
        """Returns whether anything is done to tokens of `extent` at `ratio`."""
        return self.left(extent, ratio).n_tokens < extent.n_tokens

    def _works_after_training(self, extent: Extent) -> bool:
        return self.works_on(extent, self.inference_keep_ratio)

    @abstractmethod
    def reduce(self, tokens: Tokens, seen: Seen | None) -> Tokens:
        """Returns fewer tokens, see `forward`."""

    @abstractmethod
    def left(self, extent: Extent, ratio: float) -> Extent:
        """Returns how many tokens are left of `extent` at `ratio`."""

    def own_macs(self, extent: Extent, left: Extent) -> int:
        """Returns the multiply-accumulates of reducing `extent` to `left`."""
        return 0


def n_kept(n_tokens: int, ratio: float) -> int:
    """Returns ceil(ratio n), at least 1: how many of `n_tokens` tokens a reducer keeps that selects or merges.

    Example:
        >>> n_kept(10, 0.3), n_kept(10, 0.01), n_kept(10, 1.0)
        (3, 1, 10)
    """
    return max(math.ceil(ratio * n_tokens - 1e-9), 1)


def kept_of(tokens: Tokens, ratio: float) -> Tensor:
    """Returns (b,) how many of its real tokens each sample keeps; none of none."""
    lengths = tokens.lengths()
    counts = (ratio * lengths.double() - 1e-9).ceil().clamp_min(1).long()  # as `n_kept`, digit for digit
    return torch.where(lengths > 0, counts, 0)


def compact(kept: Tensor, n_places: int) -> tuple[Tensor, Tensor]:
    """Returns where the tokens are that `kept` (b, t) marks, in their order: (b, n_places) and which of them are real.

    No sample keeps more than `n_places`.
    """
    order = torch.argsort(~kept, dim=1, stable=True)[:, :n_places]
    return order, kept.gather(1, order)


def take(values: Tensor, places: Tensor) -> Tensor:
    """Returns the (b, n, d) rows of `values` (b, t, d) at `places` (b, n)."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))
