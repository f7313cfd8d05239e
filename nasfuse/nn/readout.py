"""Readouts: from the tokens of a stream to its output vector."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.nn.tokens import Tokens

#: Added to a variance before its root, whose gradient is infinite at 0.
_EPSILON = 1e-6

#: Factor in the sigmoid that replaces the step at 0 in a share of tokens.
_SHARPNESS = 4.0


def _cls(tokens: Tokens) -> Tensor:
    assert tokens.cls is not None, "the builder of the stream adds it"
    return tokens.cls


def _max(tokens: Tokens) -> Tensor:
    """Returns the maximum over real tokens; 0 for samples without one."""
    if tokens.mask is None:
        return tokens.values.amax(dim=1)
    largest = tokens.values.masked_fill(~tokens.mask[..., None], torch.finfo(tokens.values.dtype).min).amax(dim=1)
    return largest.masked_fill(~tokens.mask.any(dim=1, keepdim=True), 0.0)


def _std(tokens: Tokens) -> Tensor:
    variance = tokens.with_values((tokens.values - tokens.mean()[:, None]).square()).mean()
    return (variance + _EPSILON).sqrt()


def _share_above(tokens: Tokens) -> Tensor:
    """Returns the share of tokens above 0, with a sigmoid for the step, since a step has no gradient."""
    return tokens.with_values(torch.sigmoid(_SHARPNESS * tokens.values)).mean()


#: (b, d) vectors by readout of a recipe, for tokens (b, t, d). Statistics are over real tokens; all but the maximum
#: weight them by their sizes.
READOUTS: dict[str, Callable[[Tokens], Tensor]] = {
    "mean": Tokens.mean,
    "max": _max,
    "std": _std,
    "share_above": _share_above,
    "cls": _cls,
}


@dataclass(frozen=True)
class Readout:
    """The concatenation of some readouts.

    Attributes:
        names: Keys of `READOUTS`, in this order.
    """

    names: tuple[str, ...]

    def __call__(self, tokens: Tokens) -> Tensor:
        """Returns (b, len(names) d) for tokens (b, t, d)."""
        return torch.cat([READOUTS[name](tokens) for name in self.names], dim=1)
