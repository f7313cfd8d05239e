"""Masked multi-head attention based on `scaled_dot_product_attention`, without materialised weights."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.dot_product import dot_product_attention
from nasfuse.nn.packing import HasPackedWeights, Packings
from nasfuse.nn.residual_mlp import ResidualMlp
from nasfuse.nn.tokens import Tokens


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, heads: int, mask: Tensor | None, sizes: Tensor | None = None
) -> Tensor:
    """Returns softmax(Q K^T / sqrt(d / heads) + log sizes) V per head, with heads concatenated.

    Args:
        query: (b, q, d).
        key: (b, k, d).
        value: (b, k, d).
        heads: Number of heads, a divisor of d.
        mask: (b, k) true for keys that may be attended to; the result of a sample without such keys is 0.
        sizes: (b, k) number of original tokens in each key (proportional attention of ToMe, Bolya et al., 2023).

    Returns:
        (b, q, d).
    """
    batch, n_queries, width = query.shape
    q, k, v = (x.reshape(batch, -1, heads, width // heads).transpose(1, 2) for x in (query, key, value))
    allowed = None
    if mask is not None:
        # Rows without keys would be 0/0, so they attend to all keys and are set to 0 afterwards.
        allowed = mask | ~mask.any(dim=1, keepdim=True)
    if sizes is not None:
        weights = sizes.clamp_min(1).log()
        allowed = weights if allowed is None else weights.masked_fill(~allowed, -torch.inf)
    if allowed is not None:
        allowed = allowed[:, None, None, :].expand(batch, heads, n_queries, -1)
    out = dot_product_attention(q, k, v, allowed).transpose(1, 2).reshape(batch, n_queries, width)
    return out if mask is None else out * mask.any(dim=1)[:, None, None]


@dataclass(frozen=True)
class Windows:
    """Windowed attention: a token attends to the tokens of its window and to CLS; CLS attends to all tokens.

    Attributes:
        size: Number of tokens of a window.
        shift: Distance of the start of the first window before the first token. A shift of half a window in every
            second layer connects neighbouring windows (Swin, Liu et al., 2021).
    """

    size: int
    shift: int = 0

    def count(self, n_tokens: int) -> int:
        """Returns the number of windows for `n_tokens` tokens."""
        return math.ceil((n_tokens + self.shift) / self.size)

    def n_pairs(self, n_tokens: int, n_cls: int) -> int:
        """Returns the number of computed pairs of query and key; several windows are padded to full size."""
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
    """Returns attention within windows, with time and memory linear in the number of tokens.

    Args:
        query: (b, n_cls + t, d), with CLS as the first token if there is one.
        key: (b, n_cls + t, d).
        value: (b, n_cls + t, d).
        heads: Number of heads, a divisor of d.
        mask: (b, n_cls + t) or None; see `attend`.
        sizes: (b, n_cls + t) or None; see `attend`.
        windows: Size and shift of the windows, which start at the first token, so that padding at the end does not
            change them.
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
    """Queries and keys of an attention layer, used by reducers to weight or match tokens.

    Attributes:
        query: Queries without CLS, (b, t, d).
        key: Keys without CLS, (b, t, d).
        cls_query: Query of CLS, (b, d); None without a CLS token.
        mask: Mask of the tokens, (b, t) or None.
        sizes: Sizes of the tokens, (b, t) or None.
        heads: Number of heads, a divisor of d.
    """

    query: Tensor
    key: Tensor
    cls_query: Tensor | None
    mask: Tensor | None
    sizes: Tensor | None
    heads: int

    def saliency(self) -> Tensor:
        """Returns the (b, t) attention weights of CLS over the tokens, averaged over heads; 0 for padding.

        Without CLS, the mean query of the real tokens, weighted by their sizes, is used instead. Computes one row of
        attention, t d multiply-accumulates. The weights of a sample with real tokens sum to 1.
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
        """Returns the (b, t, d / heads) mean keys over heads, whose cosine similarity matches tokens (ToMe)."""
        return self.key.reshape(*self.key.shape[:2], self.heads, -1).mean(dim=2)

    def part(self, start: int, stop: int) -> "Seen":
        """Returns the queries and keys of tokens `start` to `stop`, with the same query of CLS."""
        mask, sizes = (None if part is None else part[:, start:stop] for part in (self.mask, self.sizes))
        return replace(self, query=self.query[:, start:stop], key=self.key[:, start:stop], mask=mask, sizes=sizes)


class SelfAttention(nn.Module, HasPackedWeights):
    """Multi-head self-attention. MACs for n tokens: 4 n d^2 + 2 n^2 d; in windows of w, 4 n d^2 + 2 n w d."""

    def __init__(self, width: int, *, heads: int, windows: Windows | None = None) -> None:
        """Builds the layer; `heads` divides `width`. Without `windows`, attention is over all tokens."""
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
        """Returns the (b, n_cls + t, d) output for tokens with CLS first, and the queries and keys."""
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

    def packings(self) -> Packings:
        """Returns the packings of queries, keys and values, each by heads, and of the output by heads."""
        by_head = (self.heads, self.width // self.heads)
        return {
            "project.weight": {0: ((3, *by_head),)},
            "project.bias": {0: ((3, *by_head),)},
            "out.weight": {1: (by_head,)},
        }

    def macs(self, n_tokens: int, n_cls: int = 0) -> int:
        """Returns the multiply-accumulates for `n_tokens` tokens and CLS."""
        n_all = n_tokens + n_cls
        n_pairs = n_all**2 if self.windows is None else self.windows.n_pairs(n_tokens, n_cls)
        return 4 * n_all * self.width**2 + 2 * n_pairs * self.width


class TransformerBlock(nn.Module):
    """Pre-norm transformer block: x + MHA(LN(x)), then x + MLP(LN(x)).

    MACs for n tokens: 4 n d^2 + 2 n^2 d + 2 rho n d^2 with rho = `mlp_ratio`, or + 2 n d `mlp_width`.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        mlp_ratio: int,
        dropout: float,
        mlp_width: int | None = None,
        windows: Windows | None = None,
    ) -> None:
        """Builds the block; `heads` divides `width`, and `mlp_width` takes the place of `mlp_ratio` x `width`."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads=heads, windows=windows)
        self.dropout = nn.Dropout(dropout)
        self.mlp = ResidualMlp(width, hidden=mlp_width or mlp_ratio * width, dropout=dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (b, t, d) for x (b, t, d) and mask (b, t)."""
        return self.run(Tokens(x, mask)).values

    def run(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after both halves of the block."""
        return self.transform(self.mix(tokens)[0])

    def mix(self, tokens: Tokens) -> tuple[Tokens, Seen]:
        """Returns the tokens after the first half of the block, x + MHA(LN(x)), and the queries and keys."""
        line = tokens.in_line()
        attended, seen = self.attention.look(line.with_values(self.norm(line.values)), tokens.n_cls)
        return tokens.out_of_line(line.values + self.dropout(attended)), seen

    def transform(self, tokens: Tokens) -> Tokens:
        """Returns the tokens after the second half of the block, x + MLP(LN(x))."""
        return tokens.out_of_line(self.mlp(tokens.in_line().values))

    def macs(self, n_tokens: int) -> int:
        """Returns the multiply-accumulates for `n_tokens` tokens without CLS."""
        return self.attention.macs(n_tokens) + self.mlp.macs(n_tokens)


class CrossAttentionBlock(nn.Module, HasPackedWeights):
    """Attention of a target stream to a source stream (crossmodal block of MulT, pre-norm, without causal mask).

    MACs for n_t target and n_s source tokens: (2 + 2 rho) n_t d^2 + 2 n_s d^2 + 2 n_t n_s d.
    """

    def __init__(self, width: int, *, heads: int, mlp_ratio: int, dropout: float, mlp_width: int | None = None) -> None:
        """Builds the block; `heads` divides `width`, and `mlp_width` takes the place of `mlp_ratio` x `width`."""
        super().__init__()
        self.width = width
        self.heads = heads
        self.norm_target = nn.LayerNorm(width)
        self.norm_source = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.mlp = ResidualMlp(width, hidden=mlp_width or mlp_ratio * width, dropout=dropout)

    def forward(
        self, target: Tensor, source: Tensor, source_mask: Tensor | None, source_sizes: Tensor | None = None
    ) -> Tensor:
        """Returns (b, n_t, d) for target (b, n_t, d), source (b, n_s, d), its mask (b, n_s) and sizes (b, n_s)."""
        query = self.query(self.norm_target(target))
        key, value = self.key_value(self.norm_source(source)).chunk(2, dim=2)
        attended = self.out(attend(query, key, value, heads=self.heads, mask=source_mask, sizes=source_sizes))
        result: Tensor = self.mlp(target + self.dropout(attended))
        return result

    def packings(self) -> Packings:
        """Returns the packings of queries, of keys and values, and of the output, each by heads."""
        by_head = (self.heads, self.width // self.heads)
        return {
            "query.weight": {0: (by_head,)},
            "query.bias": {0: (by_head,)},
            "key_value.weight": {0: ((2, *by_head),)},
            "key_value.bias": {0: ((2, *by_head),)},
            "out.weight": {1: (by_head,)},
        }

    def macs(self, n_target: int, n_source: int) -> int:
        """Returns the multiply-accumulates for the two token counts."""
        products = 2 * n_target * self.width**2 + 2 * n_source * self.width**2
        return products + 2 * n_target * n_source * self.width + self.mlp.macs(n_target)
