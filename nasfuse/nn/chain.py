"""Chain fusion: cells that each fuse one layer of each stream and the cell before (MFAS)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasfuse.nn.branch import Branch, Route
from nasfuse.nn.head import Head
from nasfuse.nn.packing import Packing, Packings
from nasfuse.nn.places import Line, Place
from nasfuse.nn.tokens import Extent, Tokens

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "leaky_relu": F.leaky_relu,
}


class Chain(nn.Module):
    """h_l = act(W_l [x_1; ...; x_M; h_{l-1}] + c_l) on the output vectors of the streams (Perez-Rua et al., 2019).

    MACs: d (sum_m d_m + d) for a cell of width d, without h_{l-1} in the first.
    """

    def __init__(self, in_widths: Sequence[int], *, width: int, activation: str, dropout: float) -> None:
        """Builds a cell for each of the `in_widths`, the features that it reads from streams."""
        super().__init__()
        self.width = width
        self.activation = _ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)
        self.cells = nn.ModuleList(
            nn.Linear(own + (width if number else 0), width) for number, own in enumerate(in_widths)
        )

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Returns the (b, width) features of the last cell for what each cell reads, (b, d_l)."""
        before: list[Tensor] = []
        for cell, read in zip(self.cells, layers, strict=True):
            before = [self.activation(cell(torch.cat([read, *(self.dropout(one) for one in before)], dim=1)))]
        return before[0]

    def macs(self) -> int:
        """Returns the multiply-accumulates of the cells."""
        cells: list[nn.Linear] = list(self.cells)  # type: ignore[arg-type]
        return sum(cell.in_features * cell.out_features for cell in cells)


class ChainBranch(Branch):
    """A chain of cells and a head.

    Attributes:
        chain: Cells.
    """

    def __init__(
        self,
        route: Route,
        cells: Sequence[Mapping[str, int]],
        *,
        chain: Chain,
        head: Head,
        read: Sequence[Packing],
    ) -> None:
        """Builds the branch.

        Args:
            route: Streams and stages.
            cells: Stages that each cell reads, by stream.
            chain: Cells.
            head: Head.
            read: Packing of the output vector at each place of each cell.
        """
        places = [Place(Line(name), n_stages) for cell in cells for name, n_stages in cell.items()]
        super().__init__(route, fusion=None, head=head, places=places, read=read)
        self.chain = chain
        self._sizes = [len(cell) for cell in cells]

    def _features(self, tokens: Sequence[Tokens]) -> Tensor:
        vectors = iter([one.vector() for one in tokens])
        fused: Tensor = self.chain([torch.cat([next(vectors) for _ in range(size)], dim=1) for size in self._sizes])
        return fused

    @property
    def packing(self) -> Packing:
        """Returns the packing of the features of the last cell."""
        return ((self.chain.width,),)

    def packings(self) -> Packings:
        """Returns the packings of the concatenations that the cells read."""
        found: Packings = {}
        left = list(self.read)
        for number, size in enumerate(self._sizes):
            blocks = [block for packing in left[:size] for block in packing]
            own = [(self.chain.width,)] if number else []
            found[f"chain.cells.{number}.weight"] = {1: (*blocks, *own)}
            left = left[size:]
        return found

    def macs(self, extents: Mapping[Place, Extent]) -> int:
        """Returns the multiply-accumulates of cells and head."""
        assert isinstance(self.head, Head), "label maps have no chain"
        return self.chain.macs() + self.head.macs()
