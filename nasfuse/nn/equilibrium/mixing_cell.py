"""The mixing cell: one block over the tokens of all streams, which keep their tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.equilibrium.cells import Cell
from nasfuse.nn.tokens import Extent, Tokens


@dataclass(frozen=True)
class Line:
    """Layout of the tokens of a stream, with CLS first.

    Attributes:
        n_cls: 1 if there is a CLS token, else 0.
        n_tokens: Number of tokens without CLS, padding included.
        grid: (h, w) with h w = n_tokens for the patches of an image, else None.
        masked: Whether there may be padding.
    """

    n_cls: int
    n_tokens: int
    grid: tuple[int, int] | None
    masked: bool

    @property
    def n_all(self) -> int:
        """Returns the number of tokens including CLS and padding."""
        return self.n_cls + self.n_tokens


class MixingCell(nn.Module):
    """A block that exchanges information between neighbouring tokens of a stream, and between streams.

    For every token z of stream m, with its injected features x:

        z' = LN(x + z + C_m h),  h = GELU((1 + g_m) * (A_m z + B_m near_m) + b_m),  [g_m, b_m] = G_m [s_1 .. s_M]

    where near_m is a depthwise convolution of 3 x 3 taps on a grid and of 3 taps along a sequence. On a grid it reads
    the sum of all streams with this grid. s_j are the mean, weighted by sizes, and the maximum of the tokens of stream
    j. Streams thus modulate each other's features (FiLM, Perez et al., 2018), and within a stream information travels
    one token per step. A single token and CLS have no neighbours. No weight depends on the number of tokens, so a
    trained cell runs on grids of another size, and its cost is linear in the tokens.

    MACs per step: sum_m (3 n_m d^2 + taps_m n_m d + 4 M d^2).
    """

    def __init__(self, n_streams: int, width: int) -> None:
        """Builds the block for tokens of `width` of `n_streams` streams."""
        super().__init__()
        self.width, self.n_streams = width, n_streams
        self.blocks = nn.ModuleList(_StreamBlock(n_streams, width) for _ in range(n_streams))

    def weights(self) -> tuple[Tensor, ...]:
        """Returns the parameters, in the order in which `MixingMap.step` takes them."""
        blocks: list[_StreamBlock] = list(self.blocks)  # type: ignore[arg-type]
        return tuple(weight for block in blocks for weight in block.weights())

    def step_macs(self, extents: Sequence[Extent]) -> int:
        """Returns the multiply-accumulates of a step for a sample with these tokens in each stream."""
        total = 4 * self.n_streams**2 * self.width**2
        for extent in extents:
            taps = 9 if extent.grid else 3 if extent.n_tokens > 1 else 0
            total += 3 * extent.n_all * self.width**2 + taps * extent.n_tokens * self.width
        return total


class _StreamBlock(nn.Module):
    """Parameters of the mixing cell for the tokens of one stream."""

    def __init__(self, n_streams: int, width: int) -> None:
        super().__init__()
        self.own, self.near = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        # A sequence has the middle column of the taps, a single token the middle one.
        self.taps = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.modulation = nn.Linear(2 * n_streams * width, 2 * width)
        self.out, self.norm = nn.Linear(width, width), nn.LayerNorm(width)

    def weights(self) -> tuple[Tensor, ...]:
        own, near, modulation, out, norm = self.own, self.near, self.modulation, self.out, self.norm
        read = (own.weight, own.bias, near.weight, self.taps.weight, modulation.weight, modulation.bias)
        return (*read, out.weight, out.bias, norm.weight, norm.bias)


#: Number of parameters of a `_StreamBlock`.
_N_WEIGHTS = 10


class MixingMap(Cell):
    """The map of mixing cells on states that hold the tokens of all streams of a sample one after another."""

    def __init__(self, lines: Sequence[Line], width: int) -> None:
        """Stores the layout of a state: `lines` of tokens of `width` features."""
        self.lines, self.width = tuple(lines), width

    @staticmethod
    def of(states: Mapping[str, Tokens]) -> tuple["MixingMap", tuple[Tensor, ...]]:
        """Returns the map for tokens of equal width, and their tensors: the first arguments of `step`.

        These are the injected features (b, D), D = sum of n_all d, and for each stream the weights (b, n_all) of its
        tokens in its mean; for a masked stream also the mask (b, n_all).
        """
        lines, values, rest = [], [], []
        for tokens in states.values():
            line = Line(tokens.n_cls, int(tokens.values.shape[1]), tokens.grid, tokens.mask is not None)
            row = tokens.in_line()
            lines.append(line)
            values.append(row.masked())
            ones = row.values.new_ones(row.values.shape[:2])
            mask = ones if row.mask is None else row.mask.to(ones.dtype)
            sizes = mask if row.sizes is None else row.sizes.to(ones.dtype) * mask
            rest.append(sizes / sizes.sum(dim=1, keepdim=True).clamp_min(torch.finfo(ones.dtype).tiny))
            if line.masked:
                rest.append(mask)
        width = int(values[0].shape[2])
        return MixingMap(lines, width), (torch.cat([one.flatten(1) for one in values], dim=1), *rest)

    def summaries(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns the (k, 2 M d) means and maxima of the tokens of every stream of states z (k, D); see `step`."""
        _, parts, _ = self._split(rows, inputs)
        return self._seen(self._tokens(z), parts)

    def _seen(self, streams: Sequence[Tensor], parts: Sequence[tuple[Tensor, ...]]) -> Tensor:
        found = []
        for tokens, line, part in zip(streams, self.lines, parts, strict=True):
            found += [(tokens * part[0][..., None]).sum(dim=1), _maximum(tokens, part[1] if line.masked else None)]
        return torch.cat(found, dim=1)

    def step(self, z: Tensor, rows: Tensor | None, *inputs: Tensor) -> Tensor:
        """Returns f(z) (k, D) for the states `rows` (k,); `inputs` are those of `of` and the weights of a cell."""
        injected, parts, weights = self._split(rows, inputs)
        streams = [
            tokens * part[1][..., None] if line.masked else tokens  # a random start has noise in padding
            for tokens, line, part in zip(self._tokens(z), self.lines, parts, strict=True)
        ]
        seen = self._seen(streams, parts)
        on_grid: dict[tuple[int, int], Tensor] = {}
        for z_m, line in zip(streams, self.lines, strict=True):
            if line.grid is not None:
                own_part = z_m[:, line.n_cls :]
                on_grid[line.grid] = on_grid[line.grid] + own_part if line.grid in on_grid else own_part
        new = []
        for number, (z_m, x, line, part) in enumerate(zip(streams, injected, self.lines, parts, strict=True)):
            own, own_bias, near, taps, g, g_bias, out, out_bias, scale, shift = weights[
                _N_WEIGHTS * number : _N_WEIGHTS * (number + 1)
            ]
            around = _near(z_m, z_m[:, line.n_cls :] if line.grid is None else on_grid[line.grid], line, taps)
            factor, offset = F.linear(seen, g, g_bias)[:, None].chunk(2, dim=2)
            mixed = F.linear(z_m, own, own_bias) + F.linear(around, near)
            hidden = F.gelu(torch.addcmul(offset + mixed, mixed, factor))
            moved = F.layer_norm(x + z_m + F.linear(hidden, out, out_bias), (self.width,), scale, shift)
            new.append((moved * part[1][..., None] if line.masked else moved).flatten(1))
        return torch.cat(new, dim=1)

    def _tokens(self, z: Tensor) -> list[Tensor]:
        """Returns the tokens (k, n_all, d) of every stream of the states z (k, D)."""
        parts = torch.split(z, [line.n_all * self.width for line in self.lines], dim=1)
        return [part.reshape(-1, line.n_all, self.width) for part, line in zip(parts, self.lines, strict=True)]

    def _split(
        self, rows: Tensor | None, inputs: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[tuple[Tensor, ...]], Sequence[Tensor]]:
        """Returns the injected tokens and the other tensors of every stream for the states `rows`, and the weights."""
        counts = [2 if line.masked else 1 for line in self.lines]
        fixed = [one if rows is None else one[rows] for one in inputs[: 1 + sum(counts)]]
        parts, start = [], 1
        for count in counts:
            parts.append(tuple(fixed[start : start + count]))
            start += count
        return self._tokens(fixed[0]), parts, inputs[start:]


def _maximum(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the (k, d) maxima of tokens (k, n, d) where mask (k, n) is 1; 0 for samples without such tokens."""
    if mask is None:
        return tokens.amax(dim=1)
    found = tokens.masked_fill(mask[..., None] == 0, -torch.inf).amax(dim=1)
    return torch.where(mask.any(dim=1, keepdim=True), found, 0.0)


def _near(tokens: Tensor, read: Tensor, line: Line, taps: Tensor) -> Tensor:
    """Returns the (k, n_all, d) depthwise convolutions of the tokens around each place.

    Args:
        tokens: Tokens of the stream with CLS, (k, n_all, d), of which CLS and a single token see themselves alone.
        read: Tokens on the same places without CLS, (k, n, d), in which padding is 0.
        line: Layout of the stream.
        taps: Depthwise kernels, (d, 1, 3, 3).
    """
    middle = taps[:, 0, 1, 1]
    if line.n_tokens <= 1 and line.grid is None:
        return tokens * middle
    height, wide = line.grid or (line.n_tokens, 1)
    kernel, padding = (taps, (1, 1)) if line.grid else (taps[..., 1:2], (1, 0))
    places = read.reshape(-1, height, wide, len(taps)).permute(0, 3, 1, 2)
    found = F.conv2d(places, kernel, padding=padding, groups=len(taps))
    around = found.permute(0, 2, 3, 1).reshape(-1, line.n_tokens, len(taps))
    return torch.cat([tokens[:, :1] * middle, around], dim=1) if line.n_cls else around
