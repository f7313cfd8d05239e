"""Cross-attention fusion: every stream attends to every other stream (MulT)."""

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor, nn

from nasfuse.nn.attention import CrossAttentionBlock
from nasfuse.nn.fusion.base import Fusion, Projections
from nasfuse.nn.packing import Packing
from nasfuse.nn.tokens import Extent, Tokens


class CrossAttention(Fusion):
    """Multimodal transformer (Tsai et al., ACL 2019).

    For every ordered pair (target, source), a stack of cross-attention blocks updates the tokens of the target with
    those of the source, which are the same at every stage. The result is the concatenation of the outputs (CLS or the
    mean token) of all pairs. Differences from the paper: there is no self-attention after the pairs and no causal
    mask, and the output is not the last step.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int,
        n_joint: int,
        heads: int,
        mlp_ratio: int,
        mlp_width: int | None = None,
        dropout: float,
    ) -> None:
        """Builds the operator for streams of `widths`, with at least one joint stage."""
        super().__init__()
        self.project = Projections(widths, width)
        self.pairs = list(permutations(widths, 2))
        self.width = width
        self.out_width = width * len(self.pairs)
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                CrossAttentionBlock(width, heads=heads, mlp_ratio=mlp_ratio, mlp_width=mlp_width, dropout=dropout)
                for _ in range(max(n_joint, 1))
            )
            for _ in self.pairs
        )

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        tokens = {name: states[name].each(self.project[name]) for name in self.project.names}
        lines = {name: state.in_line() for name, state in tokens.items()}
        read = []
        for (target, source), stack in zip(self.pairs, self._stacks(), strict=True):
            refined = lines[target].values
            for block in stack:
                refined = block(refined, lines[source].values, lines[source].mask, lines[source].sizes)
            read.append(tokens[target].out_of_line(refined).summary())
        return torch.cat(read, dim=1)

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the projections and of the blocks of all pairs."""
        total = sum(self.project.macs_per_token[name] * extent.n_all for name, extent in extents.items())
        for (target, source), stack in zip(self.pairs, self._stacks(), strict=True):
            n_target, n_source = extents[target].n_all, extents[source].n_all
            total += sum(block.macs(n_target, n_source) for block in stack)
        return total

    @property
    def out_packing(self) -> Packing:
        """Returns the packing of the fused vector, a block for each pair."""
        return ((len(self.pairs), self.width),)

    def _stacks(self) -> list[list[CrossAttentionBlock]]:
        return [list(stack) for stack in self.stacks]  # type: ignore[call-overload]
