"""Bottleneck fusion: streams that exchange only through a few shared tokens (MBT)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasfuse.nn.attention import TransformerBlock
from nasfuse.nn.fusion.base import Fusion, Projections
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.tokens import Extent, Tokens, join_masks


class Bottleneck(Fusion):
    """Multimodal bottleneck transformer (Nagrani et al., 2021).

    In every joint stage each stream runs its own block on [its tokens, shared tokens]; the shared tokens
    are learned and the copies that come out are averaged. Out: the mean of the streams' mean tokens, so
    that a linear head averages the streams' logits, as in the paper.
    MACs per stage: sum_m block(n_m + B).
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int,
        n_joint: int,
        heads: int,
        mlp_ratio: int,
        dropout: float,
        n_bottlenecks: int,
    ) -> None:
        """Builds at least one joint stage for streams of `widths`."""
        super().__init__()
        self.out_width = width
        self.project = Projections(widths, width)
        self.shared = nn.Parameter(torch.randn(1, n_bottlenecks, width) * 0.02)
        self.layers = nn.ModuleList(
            PerStream(
                {name: TransformerBlock(width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout) for name in widths}
            )
            for _ in range(max(n_joint, 1))
        )

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        tokens = {name: state.with_values(self.project[name](state.values)) for name, state in states.items()}
        batch = next(iter(tokens.values())).values.shape[0]
        shared = self.shared.expand(batch, -1, -1)
        for layer in self.layers:
            outgoing = []
            for name, state in tokens.items():
                joined = torch.cat([state.values, shared], dim=1)
                joined = layer[name](joined, join_masks([state, Tokens(shared)]))  # type: ignore[index]
                n_own = state.values.shape[1]
                tokens[name] = state.with_values(joined[:, :n_own])
                outgoing.append(joined[:, n_own:])
            shared = torch.stack(outgoing).mean(dim=0)
        return torch.stack([state.mean() for state in tokens.values()]).mean(dim=0)

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the projections' multiply-accumulates plus one block per stream and stage."""
        total = 0
        for name, extent in extents.items():
            total += self.project.macs_per_token[name] * extent.n_tokens
            n_tokens = extent.n_tokens + self.shared.shape[1]
            total += sum(layer[name].macs(n_tokens) for layer in self.layers)  # type: ignore[index]
        return total
