"""Learned vectors that are added to tokens, or are tokens themselves."""

import torch
from torch import Tensor, nn

#: Standard deviation of the numbers that an embedding starts with.
_SD = 0.02


def new_embedding(*shape: int) -> nn.Parameter:
    """Returns a parameter of `shape` with normal numbers of standard deviation 0.02, see `normal_numbers`."""
    drawn = normal_numbers(*shape)
    return nn.Parameter(drawn if drawn.is_meta else drawn * _SD)


def normal_numbers(*shape: int) -> Tensor:
    """Returns standard normal numbers of torch's current generator; none on the meta device, where there are no values.

    To draw and to multiply them there, torch would import its compiler, which takes two thirds of the time in which a
    search surveys its space.
    """
    empty = torch.empty(shape)
    return empty if empty.is_meta else torch.randn(shape)
