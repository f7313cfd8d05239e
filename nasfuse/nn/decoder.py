"""Decoder of label maps: from the scales of a stream to logits for every pixel."""

from collections.abc import Sequence
from math import ceil, log2
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.area_average import area_average
from nasfuse.nn.knob import Knob
from nasfuse.nn.packing import HasPackedWeights, Packings
from nasfuse.nn.residual_blocks import ConvolutionUnit, Grid, NonBottleneck1D
from nasfuse.nn.tokens import Extent, Tokens

#: Sides of the grids of averages of pyramid pooling, as in ESANet.
BINS = (1, 5)

Upsampling = Literal["bilinear", "learned"]


class PyramidPooling(nn.Module, HasPackedWeights):
    """Averages over grids of several sizes, beside the map that they summarise (PSPNet; Zhao et al., 2017).

    MACs for n positions: (d^2 / k) per average for k sizes, and 2 d e n (e features in the result).
    """

    def __init__(self, in_width: int, width: int) -> None:
        """Builds a projection of each grid of averages, and one of all maps."""
        super().__init__()
        inner = max(in_width // len(BINS), 1)
        self.widths = (in_width, *(inner for _ in BINS))
        self.bins = nn.ModuleList(ConvolutionUnit(in_width, inner, 1) for _ in BINS)
        self.out = ConvolutionUnit(in_width + inner * len(BINS), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (b, width, h, w) for a map (b, in_width, h, w)."""
        size = x.shape[2:]
        maps = [x]
        for side, unit in zip(BINS, self.bins, strict=True):
            maps.append(F.interpolate(unit(area_average(x, (side, side))), size=size, mode="nearest"))
        result: Tensor = self.out(torch.cat(maps, dim=1))
        return result

    def packings(self) -> Packings:
        """Returns the packing of the concatenation."""
        return {"out.0.weight": {1: tuple((width,) for width in self.widths)}}

    def macs(self, grid: Grid) -> int:
        """Returns the multiply-accumulates for a map of the size `grid`."""
        units: list[ConvolutionUnit] = list(self.bins)  # type: ignore[arg-type]
        pooled = sum(unit.macs((side, side)) for side, unit in zip(BINS, units, strict=True))
        return pooled + self.out.macs(grid)


class LearnedUpsampling(nn.Module):
    """Nearest neighbours, then a convolution of 3 x 3 in every feature that starts as an average (ESANet).

    MACs: 9 d per position of the result.
    """

    def __init__(self, width: int) -> None:
        """Builds the convolution for `width` features."""
        super().__init__()
        self.smooth = nn.Conv2d(width, width, 3, padding=1, groups=width)
        kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
        with torch.no_grad():
            self.smooth.weight.copy_((kernel[:, None] * kernel).expand_as(self.smooth.weight))
            nn.init.zeros_(self.smooth.bias)  # type: ignore[arg-type]
        self.macs_per_position = 9 * width

    def forward(self, x: Tensor, size: Grid) -> Tensor:
        """Returns (b, width, h, w) of the given size."""
        result: Tensor = self.smooth(F.interpolate(x, size=size, mode="nearest"))
        return result


class DecoderStep(nn.Module):
    """A convolution of 3 x 3, residual blocks, and upsampling to the next finer scale, which is added.

    The finer scale is projected by a convolution of 1 x 1 where its width is another.
    """

    def __init__(self, in_width: int, width: int, skip_width: int, *, n_blocks: int, upsampling: Upsampling) -> None:
        """Builds the step for maps of `in_width` features and a finer scale of `skip_width` features."""
        super().__init__()
        self.unit = ConvolutionUnit(in_width, width, 3)
        self.blocks = nn.Sequential(*(NonBottleneck1D(width, width, stride=1, dropout=0.0) for _ in range(n_blocks)))
        self.up = LearnedUpsampling(width) if upsampling == "learned" else None
        self.skip = ConvolutionUnit(skip_width, width, 1) if skip_width != width else None

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        """Returns (b, width, h, w) at the size of `finer` (b, skip_width, h, w)."""
        size = (finer.shape[2], finer.shape[3])
        x = self.blocks(self.unit(x))
        x = _bilinear(x, size) if self.up is None else self.up(x, size)
        return x + (finer if self.skip is None else self.skip(finer))

    def macs(self, grid: Grid, finer: Grid) -> int:
        """Returns the multiply-accumulates for maps of these sizes."""
        blocks: list[NonBottleneck1D] = list(self.blocks)  # type: ignore[arg-type]
        up = 0 if self.up is None else finer[0] * finer[1] * self.up.macs_per_position
        skip = 0 if self.skip is None else self.skip.macs(finer)
        return self.unit.macs(grid) + sum(block.macs(grid) for block in blocks) + up + skip


class Decoder(nn.Module):
    """Logits of every pixel from the scales of a stream, coarsest first with skips from the finer ones.

    With blocks, learned upsampling and pyramid pooling this is the decoder of ESANet (Seichter et al., 2021), which has
    outputs of its scales in training as well; without them it is a light one. The last upsampling is to the size of the
    label map whatever it is: bilinear, or learned in steps of about two.

    Attributes:
        width: Features of the coarsest scale, by whose mean a router may decide.
        n_outputs: Classes.
        size: (H, W) of the label map.
    """

    def __init__(
        self,
        in_widths: Sequence[int],
        grids: Sequence[Grid],
        *,
        n_outputs: int,
        size: Grid,
        width: int,
        growth: float,
        n_blocks: int,
        upsampling: Upsampling,
        context: Literal["none", "pyramid_pooling"],
        dropout: float,
    ) -> None:
        """Builds the decoder.

        Args:
            in_widths: Features of each scale, finest first.
            grids: Size of the map of each scale.
            n_outputs: Classes.
            size: (H, W) of the label map.
            width: Features after the step to the finest scale.
            growth: Features of a step divided by those of the step after it, to a finer scale.
            n_blocks: Residual blocks of each step.
            upsampling: `bilinear` or `learned`.
            context: Pooling on the coarsest scale.
            dropout: Dropout probability before the logits.
        """
        super().__init__()
        self.width, self.n_outputs, self.size = in_widths[-1], n_outputs, size
        n_steps = max(len(in_widths) - 1, 1)
        widths = [max(round(width * growth**number), 1) for number in reversed(range(n_steps))]
        before = in_widths[-1]
        self.context: PyramidPooling | None = None
        if context == "pyramid_pooling":
            self.context = PyramidPooling(before, widths[0])
            before = widths[0]
        steps = []
        for own, finer in zip(widths, reversed(in_widths[:-1]), strict=False):
            steps.append(DecoderStep(before, own, finer, n_blocks=n_blocks, upsampling=upsampling))
            before = own
        self.steps = nn.ModuleList(steps)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Conv2d(before, n_outputs, 3, padding=1)
        self.sizes = _sizes(grids[0], size) if upsampling == "learned" else []
        self.up = nn.ModuleList(LearnedUpsampling(n_outputs) for _ in self.sizes)

    def forward(self, scales: Sequence[Tokens]) -> Tensor:
        """Returns logits (b, n_outputs, H, W) for the tokens of the scales, finest first."""
        *finer, coarsest = [tokens.as_map() for tokens in scales]
        x = coarsest if self.context is None else self.context(coarsest)
        for step, skip in zip(self.steps, reversed(finer), strict=True):
            x = step(x, skip)
        logits: Tensor = self.out(self.dropout(x))
        for up, size in zip(self.up, self.sizes, strict=True):
            logits = up(logits, size)
        return logits if logits.shape[2:] == self.size else _bilinear(logits, self.size)

    def macs(self, extents: Sequence[Extent]) -> int:
        """Returns the multiply-accumulates per sample for scales of these extents, finest first."""
        grids = [extent.grid for extent in extents]
        assert None not in grids, "checked where the decoder is built"
        *finer, grid = grids
        total = 0 if self.context is None else self.context.macs(grid)  # type: ignore[arg-type]
        steps: list[DecoderStep] = list(self.steps)  # type: ignore[arg-type]
        for step, skip in zip(steps, reversed(finer), strict=True):
            total += step.macs(grid, skip)  # type: ignore[arg-type]
            grid = skip
        assert grid is not None
        total += grid[0] * grid[1] * 9 * self.out.in_channels * self.n_outputs
        return total + sum(9 * self.n_outputs * height * wide for height, wide in self.sizes)

    def knobs(self) -> tuple[Knob, ...]:
        """Returns no settings."""
        return ()


def _bilinear(x: Tensor, size: Grid) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _sizes(grid: Grid, size: Grid) -> list[Grid]:
    """Returns the sizes of the steps from a map to the label map, each about twice the one before."""
    n_steps = max(round(log2(max(size[0] / grid[0], size[1] / grid[1], 1))), 0)
    return [(ceil(size[0] / 2**left), ceil(size[1] / 2**left)) for left in reversed(range(n_steps))]
