"""Multi-scale convolutional streams: residual networks, whose stages are scales of an image."""

from collections.abc import Sequence

from torch import Tensor, nn

from nasfuse.domain.modality import Modality
from nasfuse.domain.readout import parse_readout
from nasfuse.errors import InvalidInputError
from nasfuse.nn.residual_blocks import BLOCKS, ConvolutionUnit, Grid, ResidualBlock, strided
from nasfuse.nn.stream import Stage, Stem, Stream
from nasfuse.nn.tokens import Extent, Tokens, from_map


class ConvolutionStem(Stem):
    """A convolution, and max pooling of 3 x 3 with stride 2 for a stride of 4 (He et al., 2016).

    The kernel is 7 x 7 with stride 2, or 3 x 3 for a stride of 1. MACs: those of the convolution.
    """

    def __init__(self, modality: Modality, width: int, *, stride: int) -> None:
        """Builds the stem for the images of `modality`; `stride` is 1, 2 or 4."""
        super().__init__()
        channels, height, wide = modality.shape
        self.size: Grid = (height, wide)
        first = min(stride, 2)
        self.convolution = ConvolutionUnit(channels, width, 7 if stride > 1 else 3, stride=first)
        self.pooling: nn.Module = nn.MaxPool2d(3, stride=2, padding=1) if stride == 4 else nn.Identity()
        height, wide = strided(strided(self.size, first), stride // first)
        self.grid = Extent(height * wide, (height, wide))

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tokens:
        """Returns the tokens of images (b, C, H, W), row by row."""
        return from_map(self.pooling(self.convolution(inputs)))

    def extent(self, length: int) -> Extent:
        """Returns the size of the image divided by the stride, rounded up."""
        return self.grid

    def macs(self, length: int) -> int:
        """Returns the multiply-accumulates of the convolution."""
        return self.convolution.macs(self.size)


class Scale(Stage):
    """Some residual blocks, of which the first has the stride."""

    def __init__(self, blocks: Sequence[ResidualBlock]) -> None:
        """Keeps the blocks, at least one."""
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after this scale."""
        return from_map(self.blocks(tokens.as_map()))

    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates of the blocks."""
        assert extent.grid is not None
        total, grid = 0, extent.grid
        blocks: list[ResidualBlock] = list(self.blocks)  # type: ignore[arg-type]
        for block in blocks:
            total += block.macs(grid)
            grid = strided(grid, block.stride)
        return total

    def extent(self, extent: Extent) -> Extent:
        """Returns the extent after the stride of the first block."""
        assert extent.grid is not None
        first: ResidualBlock = self.blocks[0]  # type: ignore[assignment]
        height, wide = strided(extent.grid, first.stride)
        return Extent(height * wide, (height, wide))


def resnet_stream(
    modality: Modality,
    *,
    depth: int,
    width: int,
    dropout: float,
    growth: float,
    blocks: int | Sequence[int],
    block: str,
    stride: int,
    stem_width: int | None,
    readout: str = "mean",
) -> Stream:
    """Returns a residual network on images; each of its stages is a scale.

    Args:
        modality: An image.
        depth: Number of scales. Every scale but the first halves the sides of the map.
        width: Features of the first scale.
        dropout: Dropout probability inside every block.
        growth: Features of a scale divided by those of the scale before.
        blocks: Residual blocks of every scale, or of each; the last number stands for all further scales.
        block: Key of `nasfuse.nn.residual_blocks.BLOCKS`.
        stride: Stride of the stem: 1, 2 or 4.
        stem_width: Features of the stem; None: those inside the first block.
        readout: Readouts joined by `+`, see `nasfuse.domain.readout`.

    Raises:
        InvalidInputError: The image is smaller than the stride.
    """
    if stride > min(modality.shape[1:]):
        raise InvalidInputError(
            f"stride {stride} of stream {modality.name} is longer than a side of its {modality.shape[1]} x "
            f"{modality.shape[2]} image; make it smaller"
        )
    counts = [blocks] if isinstance(blocks, int) else list(blocks)
    inner = width // 4 if block == "bottleneck" else width
    widths = [stem_width or max(inner, 1), *(max(round(width * growth**number), 1) for number in range(depth))]
    stages = []
    for number in range(depth):
        first, own = widths[number], widths[number + 1]
        one_scale = [
            BLOCKS[block](own if later else first, own, stride=1 if later or number == 0 else 2, dropout=dropout)
            for later in range(counts[min(number, len(counts) - 1)])
        ]
        stages.append(Scale(one_scale))
    stem = ConvolutionStem(modality, widths[0], stride=stride)
    return Stream(stem, stages, width=widths, readout=parse_readout(readout))
