"""Bottleneck fusion: streams that exchange information only through a few shared tokens (MBT)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasfuse.nn.attention import TransformerBlock
from nasfuse.nn.embedding import new_embedding
from nasfuse.nn.fusion.base import Fusion, Projections
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.tokens import Extent, Tokens, join


class Bottleneck(Fusion):
    """Multimodal bottleneck transformer (Nagrani et al., 2021).

    In every joint stage, each stream runs its own block on its tokens and the shared tokens. The shared tokens are
    learned; their outputs are averaged over streams after every stage. The result is the mean of the outputs of the
    streams (CLS or the mean token), so that a linear head averages their logits, as in the paper.
    MACs per stage: sum_m block(n_m + B), n_m with CLS.
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
        n_bottlenecks: int,
    ) -> None:
        """Builds the operator for streams of `widths`, with at least one joint stage."""
        super().__init__()
        self.out_width = width
        self.project = Projections(widths, width)
        self.shared = new_embedding(1, n_bottlenecks, width)
        self.layers = nn.ModuleList(
            PerStream(
                {
                    name: TransformerBlock(
                        width, heads=heads, mlp_ratio=mlp_ratio, mlp_width=mlp_width, dropout=dropout
                    )
                    for name in widths
                }
            )
            for _ in range(max(n_joint, 1))
        )

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        tokens = {name: states[name].each(self.project[name]) for name in self.project.names}
        batch = next(iter(tokens.values())).values.shape[0]
        shared = self.shared.expand(batch, -1, -1)
        for layer in self.layers:
            outgoing = []
            for name, state in tokens.items():
                line = join([state.in_line(), Tokens(shared)])
                mixed: Tokens = layer[name].run(line)  # type: ignore[index]
                n_own = line.values.shape[1] - shared.shape[1]
                tokens[name] = state.out_of_line(mixed.values[:, :n_own])
                outgoing.append(mixed.values[:, n_own:])
            shared = torch.stack(outgoing).mean(dim=0)
        return torch.stack([state.summary() for state in tokens.values()]).mean(dim=0)

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of the projections and of one block per stream and stage."""
        total = 0
        for name, extent in extents.items():
            total += self.project.macs_per_token[name] * extent.n_all
            n_tokens = extent.n_all + self.shared.shape[1]
            total += sum(layer[name].macs(n_tokens) for layer in self.layers)  # type: ignore[index]
        return total
