"""The residual MLP block: a stage of vector streams and of vector fusion."""

from torch import Tensor, nn


class ResidualMlp(nn.Module):
    """x + W2 GELU(W1 LN(x)), token by token.

    Shapes: (..., d) to (..., d). MACs per token: 2 d hidden.
    """

    def __init__(self, width: int, *, hidden: int, dropout: float) -> None:
        """Builds the block for features of `width` with a hidden layer of `hidden` features."""
        super().__init__()
        self.width = width
        self.hidden = hidden
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns features of the same shape."""
        result: Tensor = x + self.layers(x)
        return result

    def macs(self, n_tokens: int) -> int:
        """Returns the multiply-accumulates for `n_tokens` tokens."""
        return 2 * n_tokens * self.width * self.hidden
