"""Packings: which features the rows and columns of a weight belong to, so that narrower networks find theirs in it.

A narrower network has the leading features of a wider one. In most weights these are the leading rows and columns. A
dimension that holds several features in a row (concatenated streams; queries, keys and values; heads) is divided into
blocks, and a block into axes; the leading features are leading along every axis of every block.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from nasfuse.errors import InvalidInputError

#: The blocks of a dimension in order, each with the sizes of its axes, of which the last changes fastest.
Packing = tuple[tuple[int, ...], ...]

#: Name of a parameter or buffer, relative to its module, to the packings of its dimensions; others are one block.
Packings = dict[str, dict[int, Packing]]


class HasPackedWeights(ABC):
    """Second base class of a module with weights in which a dimension has several blocks or axes."""

    @abstractmethod
    def packings(self) -> Packings:
        """Returns the packings of the module's own weights and those of its submodules."""


def packed_size(packing: Packing) -> int:
    """Returns the number of features in a dimension with this packing."""
    return sum(math.prod(block) for block in packing)


def joined_blocks(packings: Mapping[str, Packing]) -> Packing:
    """Returns the packing of the concatenation of some features, in order."""
    return tuple(block for packing in packings.values() for block in packing)


def prefixed(prefix: str, packings: Packings) -> Packings:
    """Returns the packings under the names that they have in the module around them; unchanged for prefix ""."""
    return {f"{prefix}.{name}" if prefix else name: packing for name, packing in packings.items()}


def leading(whole: Packing, part: Packing) -> Tensor:
    """Returns the (n,) places in a dimension packed as `whole` of the features of one packed as `part`.

    Raises:
        InvalidInputError: `part` has other blocks, or more features.

    >>> leading(((2, 3), (2,)), ((2, 1), (1,))).tolist()
    [0, 3, 6]
    """
    shapes = [len(block) for block in whole] == [len(block) for block in part]
    if not shapes or any(own > of for a, b in zip(whole, part, strict=True) for of, own in zip(a, b, strict=True)):
        raise InvalidInputError(
            f"features divided as {part} are not the leading ones of {whole}; fewer heads need a smaller width"
        )
    found, start = [], 0
    for sizes, own in zip(whole, part, strict=True):
        places = torch.arange(math.prod(sizes)).reshape(sizes)
        found.append(places[tuple(slice(size) for size in own)].flatten() + start)
        start += math.prod(sizes)
    return torch.cat(found)
