"""Attention through `scaled_dot_product_attention`, never returning its weights; masks end to end."""

from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.residual_mlp import ResidualMlp


def attend(query: Tensor, key: Tensor, value: Tensor, *, heads: int, mask: Tensor | None) -> Tensor:
    """Returns softmax(Q K^T / sqrt(d / heads)) V per head, heads joined again.

    Args:
        query: (b, q, d).
        key: (b, k, d).
        value: (b, k, d).
        heads: Divides d.
        mask: (b, k) true for keys that may be attended to; a sample without any gets zeros.

    Returns:
        (b, q, d).
    """
    batch, n_queries, width = query.shape
    q, k, v = (x.view(batch, -1, heads, width // heads).transpose(1, 2) for x in (query, key, value))
    allowed = None
    if mask is not None:
        # A row without any key would be 0/0: let it see everything, then set it to zero.
        empty = ~mask.any(dim=1, keepdim=True)
        allowed = (mask | empty)[:, None, None, :].expand(batch, heads, n_queries, -1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).reshape(batch, n_queries, width)
    return out if mask is None else out * mask.any(dim=1)[:, None, None]


class SelfAttention(nn.Module):
    """Multi-head self-attention. MACs for n tokens: 4 n d^2 + 2 n^2 d."""

    def __init__(self, width: int, *, heads: int) -> None:
        """Builds the layer; `heads` divides `width`."""
        super().__init__()
        self.width = width
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (b, t, d) for x (b, t, d) and mask (b, t)."""
        query, key, value = self.project(x).chunk(3, dim=2)
        result: Tensor = self.out(attend(query, key, value, heads=self.heads, mask=mask))
        return result

    def macs(self, n_tokens: int) -> int:
        """Returns the multiply-accumulates for `n_tokens` tokens."""
        return 4 * n_tokens * self.width**2 + 2 * n_tokens**2 * self.width


class TransformerBlock(nn.Module):
    """Pre-norm transformer block: x + MHA(LN(x)), then x + MLP(LN(x)).

    MACs for n tokens: 4 n d^2 + 2 n^2 d + 2 rho n d^2 with rho = `mlp_ratio`.
    """

    def __init__(self, width: int, *, heads: int, mlp_ratio: int, dropout: float) -> None:
        """Builds the block; `heads` divides `width`."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads=heads)
        self.dropout = nn.Dropout(dropout)
        self.mlp = ResidualMlp(width, hidden=mlp_ratio * width, dropout=dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (b, t, d) for x (b, t, d) and mask (b, t)."""
        x = x + self.dropout(self.attention(self.norm(x), mask))
        result: Tensor = self.mlp(x)
        return result

    def macs(self, n_tokens: int) -> int:
        """Returns the multiply-accumulates for `n_tokens` tokens."""
        return self.attention.macs(n_tokens) + self.mlp.macs(n_tokens)


class CrossAttentionBlock(nn.Module):
    """A target stream attends to a source stream (MulT's crossmodal block, pre-norm, without future mask).

    MACs for n_t target and n_s source tokens: (2 + 2 rho) n_t d^2 + 2 n_s d^2 + 2 n_t n_s d.
    """

    def __init__(self, width: int, *, heads: int, mlp_ratio: int, dropout: float) -> None:
        """Builds the block; `heads` divides `width`."""
        super().__init__()
        self.width = width
        self.heads = heads
        self.norm_target = nn.LayerNorm(width)
        self.norm_source = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.mlp = ResidualMlp(width, hidden=mlp_ratio * width, dropout=dropout)

    def forward(self, target: Tensor, source: Tensor, source_mask: Tensor | None) -> Tensor:
        """Returns (b, n_t, d) for target (b, n_t, d), source (b, n_s, d) and its mask (b, n_s)."""
        query = self.query(self.norm_target(target))
        key, value = self.key_value(self.norm_source(source)).chunk(2, dim=2)
        attended = self.out(attend(query, key, value, heads=self.heads, mask=source_mask))
        result: Tensor = self.mlp(target + self.dropout(attended))
        return result

    def macs(self, n_target: int, n_source: int) -> int:
        """Returns the multiply-accumulates for the two token counts."""
        products = 2 * n_target * self.width**2 + 2 * n_source * self.width**2
        return products + 2 * n_target * n_source * self.width + self.mlp.macs(n_target)
