"""Attention through `scaled_dot_product_attention`, never returning its weights; masks end to end."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.residual_mlp import ResidualMlp
from nasfuse.nn.tokens import Tokens


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, heads: int, mask: Tensor | None, sizes: Tensor | None = None
) -> Tensor:
    """Returns softmax(Q K^T / sqrt(d / heads) + log sizes) V per head, heads joined again.

    Args:
        query: (b, q, d).
        key: (b, k, d).
        value: (b, k, d).
        heads: Divides d.
        mask: (b, k) true for keys that may be attended to; a sample without any gets zeros.
        sizes: (b, k) how many tokens each key stands for (proportional attention of ToMe, Bolya et al., 2023).

    Returns:
        (b, q, d).
    """
    batch, n_queries, width = query.shape
    q, k, v = (x.reshape(batch, -1, heads, width // heads).transpose(1, 2) for x in (query, key, value))
    allowed = None
    if mask is not None:
        # A row without any key would be 0/0: let it see everything, then set it to zero.
        allowed = mask | ~mask.any(dim=1, keepdim=True)
    if sizes is not None:
        weights = sizes.clamp_min(1).log()
        allowed = weights if allowed is None else weights.masked_fill(~allowed, -torch.inf)
    if allowed is not None:
        allowed = allowed[:, None, None, :].expand(batch, heads, n_queries, -1)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).reshape(batch, n_queries, width)
    return out if mask is None else out * mask.any(dim=1)[:, None, None]


@dataclass(frozen=True)
class Windows:
    """Which tokens a token attends to: those of its own window of neighbours, and CLS; CLS attends to all.

    Attributes:
        size: Tokens of a window.
        shift: How far windows begin before the first token. Shifted by half a window in every second layer, tokens
            of neighbouring windows meet (Swin, Liu et al., 2021).
    """

    size: int
    shift: int = 0

    def count(self, n_tokens: int) -> int:
        """Returns how many windows `n_tokens` tokens lie in."""
        return math.ceil((n_tokens + self.shift) / self.size)

    def n_pairs(self, n_tokens: int, n_cls: int) -> int:
        """Returns how many pairs of query and key are computed: where there are several windows, full ones."""
        n_windows = self.count(n_tokens)
        if n_windows == 1:
            return (n_tokens + n_cls) ** 2
        return n_windows * self.size * (self.size + n_cls) + n_cls * (n_tokens + n_cls)


def attend_in_windows(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    heads: int,
    mask: Tensor | None,
    sizes: Tensor | None,
    windows: Windows,
    n_cls: int,
) -> Tensor:
    """Returns attention within windows, in time and memory linear in the number of tokens.

    Args:
        query: (b, n_cls + t, d), CLS first where there is one.
        key: As `query`.
        value: As `query`.
        heads: Divides d.
        mask: (b, n_cls + t) or None, see `attend`.
        sizes: As `mask`.
        windows: Anchored at the first token, so that padding behind the last one changes nothing.
        n_cls: 0 or 1.

    Returns:
        (b, n_cls + t, d).
    """
    batch, n_all, width = query.shape
    n_tokens = n_all - n_cls
    n_windows = windows.count(n_tokens)
    if n_windows == 1:
        return attend(query, key, value, heads=heads, mask=mask, sizes=sizes)
    after = n_windows * windows.size - windows.shift - n_tokens

    def cut(x: Tensor) -> Tensor:
        """(b, n_cls + t, ...) to (b, n_windows, size, ...), without CLS."""
        rest = [0, 0] * (x.dim() - 2)
        padded = F.pad(x[:, n_cls:], (*rest, windows.shift, after))
        return padded.reshape(batch, n_windows, windows.size, *x.shape[2:])

    def with_cls(x: Tensor) -> Tensor:
        """(b, n_cls + t, ...) to (b n_windows, n_cls + size, ...)."""
        cls = x[:, None, :n_cls].expand(-1, n_windows, *[-1] * (x.dim() - 1))
        return torch.cat([cls, cut(x)], dim=2).flatten(0, 1)

    if mask is None and (windows.shift or after):
        mask = query.new_ones((batch, n_all), dtype=torch.bool)
    out = attend(
        cut(query).flatten(0, 1),
        with_cls(key),
        with_cls(value),
        heads=heads,
        mask=None if mask is None else with_cls(mask),
        sizes=None if sizes is None else with_cls(sizes),
    )
    out = out.reshape(batch, n_windows * windows.size, width)[:, windows.shift : windows.shift + n_tokens]
    if n_cls == 0:
        return out
    first = attend(query[:, :n_cls], key, value, heads=heads, mask=mask, sizes=sizes)
    return torch.cat([first, out], dim=1)


@dataclass(frozen=True)
class Seen:
    """What an attention layer has seen of its tokens: what reducers go by that weigh tokens or match them.

    Attributes:
        query: (b, t, d), without CLS.
        key: (b, t, d), without CLS.
        cls_query: (b, d); None where there is no CLS token.
        mask: (b, t) or None.
        sizes: (b, t) or None.
        heads: Divides d.
    """

    query: Tensor
    key: Tensor
    cls_query: Tensor | None
    mask: Tensor | None
    sizes: Tensor | None
    heads: int

    def saliency(self) -> Tensor:
        """Returns (b, t) the attention that CLS pays to each token, the mean over heads; 0 for padding.

        Without CLS, the mean query of the real tokens, by their sizes, asks in its place. One row of attention: t d
        multiply-accumulates. It sums to 1 over the tokens of a sample that has any.
        """
        asking = Tokens(self.query, self.mask, sizes=self.sizes).mean() if self.cls_query is None else self.cls_query
        batch, n_tokens, width = self.key.shape
        size = width // self.heads
        keys = self.key.reshape(batch, n_tokens, self.heads, size).transpose(1, 2)
        scores = (keys @ asking.reshape(batch, self.heads, size, 1))[..., 0] / math.sqrt(size)
        if self.sizes is not None:
            scores = scores + self.sizes.clamp_min(1).log()[:, None]
        if self.mask is None:
            return scores.softmax(dim=2).mean(dim=1)
        empty = ~self.mask.any(dim=1, keepdim=True)
        weights = scores.masked_fill(~(self.mask | empty)[:, None], -torch.inf).softmax(dim=2).mean(dim=1)
        return weights * self.mask

    def match_keys(self) -> Tensor:
        """Returns (b, t, d / heads) the mean key over heads, by whose cosine tokens are matched (ToMe)."""
        return self.key.reshape(*self.key.shape[:2], self.heads, -1).mean(dim=2)

    def part(self, start: int, stop: int) -> "Seen":
        """Returns what was seen of the tokens from `start` to `stop`, asked for by the same CLS."""
        mask, sizes = (None if part is None else part[:, start:stop] for part in (self.mask, self.sizes))
        return replace(self, query=self.query[:, start:stop], key=self.key[:, start:stop], mask=mask, sizes=sizes)


class SelfAttention(nn.Module):
    """Multi-head self-attention. MACs for n tokens: 4 n d^2 + 2 n^2 d; in windows of w, 4 n d^2 + 2 n w d."""

    def __init__(self, width: int, *, heads: int, windows: Windows | None = None) -> None:
        """Builds the layer; `heads` divides `width`. Without `windows`, every token attends to every other."""
        super().__init__()
        self.width = width
        self.heads = heads
        self.windows = windows
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (b, t, d) for x (b, t, d) and mask (b, t)."""
        return self.look(Tokens(x, mask))[0]

    def look(self, line: Tokens, n_cls: int = 0) -> tuple[Tensor, Seen]:
        """Returns the (b, n_cls + t, d) that a line of tokens gets, CLS its first, and what was seen on the way."""
        query, key, value = self.project(line.values).chunk(3, dim=2)
        if self.windows is None:
            out = attend(query, key, value, heads=self.heads, mask=line.mask, sizes=line.sizes)
        else:
            out = attend_in_windows(
                query,
                key,
                value,
                heads=self.heads,
                mask=line.mask,
                sizes=line.sizes,
                windows=self.windows,
                n_cls=n_cls,
            )
        mask, sizes = (None if part is None else part[:, n_cls:] for part in (line.mask, line.sizes))
        cls_query = query[:, 0] if n_cls else None
        return self.out(out), Seen(query[:, n_cls:], key[:, n_cls:], cls_query, mask, sizes, self.heads)

    def macs(self, n_tokens: int, n_cls: int = 0) -> int:
        """Returns the multiply-accumulates for `n_tokens` tokens and CLS."""
        n_all = n_tokens + n_cls
        n_pairs = n_all**2 if self.windows is None else self.windows.n_pairs(n_tokens, n_cls)
        return 4 * n_all * self.width**2 + 2 * n_pairs * self.width


class TransformerBlock(nn.Module):
    """Pre-norm transformer block: x + MHA(LN(x)), then x + MLP(LN(x)).

    MACs for n tokens: 4 n d^2 + 2 n^2 d + 2 rho n d^2 with rho = `mlp_ratio`.
    """

    def __init__(
        self, width: int, *, heads: int, mlp_ratio: int, dropout: float, windows: Windows | None = None
    ) -> None:
        """Builds the block; `heads` divides `width`."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads=heads, windows=windows)
        self.dropout = nn.Dropout(dropout)
        self.mlp = ResidualMlp(width, hidden=mlp_ratio * width, dropout=dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (b, t, d) for x (b, t, d) and mask (b, t)."""
        return self.run(Tokens(x, mask)).values

    def run(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after both halves of the block."""
        return self.transform(self.mix(tokens)[0])

    def mix(self, tokens: Tokens) -> tuple[Tokens, Seen]:
        """Returns the tokens after the first half of the block, x + MHA(LN(x)), and what attention has seen."""
        line = tokens.in_line()
        attended, seen = self.attention.look(line.with_values(self.norm(line.values)), tokens.n_cls)
        return tokens.out_of_line(line.values + self.dropout(attended)), seen

    def transform(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after the second half of the block, x + MLP(LN(x))."""
        return tokens.out_of_line(self.mlp(tokens.in_line().values))

    def macs(self, n_tokens: int) -> int:
        """Returns the multiply-accumulates for `n_tokens` tokens without CLS."""
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

    def forward(
        self, target: Tensor, source: Tensor, source_mask: Tensor | None, source_sizes: Tensor | None = None
    ) -> Tensor:
        """Returns (b, n_t, d) for target (b, n_t, d), source (b, n_s, d), its mask (b, n_s) and sizes (b, n_s)."""
        query = self.query(self.norm_target(target))
        key, value = self.key_value(self.norm_source(source)).chunk(2, dim=2)
        attended = self.out(attend(query, key, value, heads=self.heads, mask=source_mask, sizes=source_sizes))
        result: Tensor = self.mlp(target + self.dropout(attended))
        return result

    def macs(self, n_target: int, n_source: int) -> int:
        """Returns the multiply-accumulates for the two token counts."""
        products = 2 * n_target * self.width**2 + 2 * n_source * self.width**2
        return products + 2 * n_target * n_source * self.width + self.mlp.macs(n_target)
