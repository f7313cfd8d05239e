"""The residual convolution block on an image or along a sequence."""

from torch import nn

from nasfuse.nn.tokens import Extent, Tokens


class ResidualConvolution(nn.Module):
    """x + W2 GELU(conv3(LN(x))): a 3 x 3 (or 3) convolution, then a linear layer per token.

    Normalisation is per token and padding is set to 0 before the convolution, so that the features of a sample are
    independent of its batch and of padding.
    MACs for n tokens: 10 n d^2 on a grid, 4 n d^2 along a sequence.
    """

    def __init__(self, width: int, *, on_grid: bool, dropout: float) -> None:
        """Builds the block for features of `width`, with 2-D convolutions if `on_grid`, else with 1-D ones."""
        super().__init__()
        self.width = width
        self.on_grid = on_grid
        self.norm = nn.LayerNorm(width)
        convolution = nn.Conv2d if on_grid else nn.Conv1d
        self.convolution = convolution(width, width, kernel_size=3, padding=1)
        self.rest = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, tokens: Tokens) -> Tokens:
        """Returns the tokens with their values replaced by those of the block."""
        normed = tokens.with_values(self.norm(tokens.values)).masked().transpose(1, 2)
        if self.on_grid:
            assert tokens.grid is not None
            normed = self.convolution(normed.reshape(*normed.shape[:2], *tokens.grid)).flatten(2)
        else:
            normed = self.convolution(normed)
        return tokens.with_values(tokens.values + self.rest(normed.transpose(1, 2)))

    def macs(self, extent: Extent) -> int:
        """Returns the multiply-accumulates for the tokens of `extent`."""
        return ((9 if self.on_grid else 3) + 1) * extent.n_tokens * self.width**2
