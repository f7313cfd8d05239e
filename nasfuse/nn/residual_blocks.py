"""Residual convolution blocks on maps (b, c, h, w), as multi-scale encoders and decoders have them."""

from abc import ABC, abstractmethod
from math import ceil

from torch import Tensor, nn
from torch.nn import functional as F

#: Smallest number of features of a group of `GroupNorm`.
_LEAST_PER_GROUP = 8

#: Height and width of a map.
Grid = tuple[int, int]


def group_norm(width: int) -> nn.GroupNorm:
    """Returns a group norm for `width` features, in at most 32 groups of at least 8 features.

    It normalises a sample by its own map, so that features do not depend on the batch or on the routes of others.

    Example:
        >>> [group_norm(width).num_groups for width in (4, 12, 16, 64, 512)]
        [1, 1, 2, 8, 32]
    """
    groups = next((n for n in (32, 16, 8, 4, 2) if width % n == 0 and width // n >= _LEAST_PER_GROUP), 1)
    return nn.GroupNorm(groups, width)


def strided(grid: Grid, stride: int) -> Grid:
    """Returns the size of a map after a padded convolution or pooling with `stride`, rounded up."""
    return ceil(grid[0] / stride), ceil(grid[1] / stride)


class ConvolutionUnit(nn.Sequential):
    """A convolution without bias, group norm and ReLU. MACs: k^2 c_in c_out per position of the result."""

    def __init__(self, in_width: int, width: int, side: int, *, stride: int = 1) -> None:
        """Builds the unit with a kernel of `side` x `side`, for an odd side."""
        convolution = nn.Conv2d(in_width, width, side, stride=stride, padding=side // 2, bias=False)
        super().__init__(convolution, group_norm(width), nn.ReLU())
        self.stride = stride
        self.macs_per_position = side**2 * in_width * width

    def macs(self, grid: Grid) -> int:
        """Returns the multiply-accumulates for a map of the size `grid`."""
        height, wide = strided(grid, self.stride)
        return height * wide * self.macs_per_position


class ResidualBlock(nn.Module, ABC):
    """ReLU(f(x) + s(x)), where s is the identity, or a 1 x 1 convolution where the width or the size changes."""

    def __init__(self, in_width: int, width: int, *, stride: int, dropout: float) -> None:
        """Builds the side path s and the dropout; subclasses build f."""
        super().__init__()
        self.in_width, self.width, self.stride = in_width, width, stride
        self.dropout = nn.Dropout(dropout)
        self.side: nn.Module = nn.Identity()
        if stride > 1 or in_width != width:
            convolution = nn.Conv2d(in_width, width, 1, stride=stride, bias=False)
            self.side = nn.Sequential(convolution, group_norm(width))

    def forward(self, x: Tensor) -> Tensor:
        """Returns (b, width, h', w') for a map (b, in_width, h, w); h' is h / stride, rounded up."""
        return F.relu(self.main(x) + self.side(x))

    @abstractmethod
    def main(self, x: Tensor) -> Tensor:
        """Returns f(x)."""

    def macs(self, grid: Grid) -> int:
        """Returns the multiply-accumulates for a map of the size `grid`."""
        height, wide = strided(grid, self.stride)
        side = 0 if isinstance(self.side, nn.Identity) else height * wide * self.in_width * self.width
        return self.main_macs(grid) + side

    @abstractmethod
    def main_macs(self, grid: Grid) -> int:
        """Returns the multiply-accumulates of f for a map of the size `grid`."""


class BasicBlock(ResidualBlock):
    """Two convolutions of 3 x 3 (ResNet-18 and -34; He et al., 2016)."""

    def __init__(self, in_width: int, width: int, *, stride: int, dropout: float) -> None:
        """Builds the block."""
        super().__init__(in_width, width, stride=stride, dropout=dropout)
        self.first = ConvolutionUnit(in_width, width, 3, stride=stride)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = group_norm(width)

    def main(self, x: Tensor) -> Tensor:
        """Returns the result of both convolutions."""
        result: Tensor = self.norm(self.second(self.dropout(self.first(x))))
        return result

    def main_macs(self, grid: Grid) -> int:
        """Returns 9 d (d_in + d) per position of the result."""
        height, wide = strided(grid, self.stride)
        return self.first.macs(grid) + height * wide * 9 * self.width**2


class BottleneckBlock(ResidualBlock):
    """A convolution of 3 x 3 on a quarter of the features, between two of 1 x 1 (ResNet-50; He et al., 2016).

    The second convolution has the stride.
    """

    def __init__(self, in_width: int, width: int, *, stride: int, dropout: float) -> None:
        """Builds the block."""
        super().__init__(in_width, width, stride=stride, dropout=dropout)
        self.inner = max(width // 4, 1)
        self.first = ConvolutionUnit(in_width, self.inner, 1)
        self.second = ConvolutionUnit(self.inner, self.inner, 3, stride=stride)
        self.third = nn.Conv2d(self.inner, width, 1, bias=False)
        self.norm = group_norm(width)

    def main(self, x: Tensor) -> Tensor:
        """Returns the result of the three convolutions."""
        result: Tensor = self.norm(self.third(self.dropout(self.second(self.first(x)))))
        return result

    def main_macs(self, grid: Grid) -> int:
        """Returns d_in e per position of the input, and 9 e^2 + e d per position of the result, e = d / 4."""
        height, wide = strided(grid, self.stride)
        return self.first.macs(grid) + self.second.macs(grid) + height * wide * self.inner * self.width


class NonBottleneck1D(ResidualBlock):
    """Two convolutions of 3 x 3, each factored into one of 3 x 1 and one of 1 x 3 (ERFNet; Romera et al., 2018)."""

    def __init__(self, in_width: int, width: int, *, stride: int, dropout: float) -> None:
        """Builds the block; its first pair of convolutions has the stride."""
        super().__init__(in_width, width, stride=stride, dropout=dropout)
        self.down = nn.Conv2d(in_width, width, (3, 1), stride=(stride, 1), padding=(1, 0))
        self.across = nn.Conv2d(width, width, (1, 3), stride=(1, stride), padding=(0, 1))
        self.norm = group_norm(width)
        self.second_down = nn.Conv2d(width, width, (3, 1), padding=(1, 0))
        self.second_across = nn.Conv2d(width, width, (1, 3), padding=(0, 1))
        self.second_norm = group_norm(width)

    def main(self, x: Tensor) -> Tensor:
        """Returns the result of the four convolutions."""
        x = F.relu(self.norm(self.across(F.relu(self.down(x)))))
        x = self.second_norm(self.second_across(F.relu(self.second_down(x))))
        result: Tensor = self.dropout(x)
        return result

    def main_macs(self, grid: Grid) -> int:
        """Returns 3 d d_in per position after the first convolution, and 9 d^2 per position of the result."""
        height, wide = strided(grid, self.stride)
        return height * grid[1] * 3 * self.in_width * self.width + height * wide * 9 * self.width**2


#: Blocks by `block` of a recipe, built with the widths of input and output, `stride` and `dropout`.
BLOCKS: dict[str, type[ResidualBlock]] = {
    "basic": BasicBlock,
    "bottleneck": BottleneckBlock,
    "nbt1d": NonBottleneck1D,
}
