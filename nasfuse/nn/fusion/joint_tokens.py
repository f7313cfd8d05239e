"""Joint tokens: one transformer over the tokens of all streams."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasfuse.nn.attention import TransformerBlock
from nasfuse.nn.fusion.base import Fusion, Projections
from nasfuse.nn.tokens import Extent, Tokens, join_masks


class JointTokens(Fusion):
    """Transformer blocks on [CLS, tokens of every stream], read at CLS.

    The dense part of sparse fusion transformers (Ding et al., 2021). CLS starts as the sum of the streams'
    mean tokens plus a learned vector (there: the sum of the streams' own CLS tokens), and every modality
    has a learned embedding (there: none). MACs: block(1 + sum_m n_m) per stage.
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
    ) -> None:
        """Builds at least one joint stage for streams of `widths`."""
        super().__init__()
        self.out_width = width
        self.project = Projections(widths, width)
        self.cls = nn.Parameter(torch.zeros(1, width))
        self.modality = nn.ParameterList(nn.Parameter(torch.randn(width) * 0.02) for _ in widths)
        self.layers = nn.ModuleList(
            TransformerBlock(width, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout) for _ in range(max(n_joint, 1))
        )

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        tokens = [
            states[name].with_values(self.project[name](states[name].values) + embedding)
            for name, embedding in zip(self.project.names, self.modality, strict=True)
        ]
        cls = self.cls + torch.stack([part.mean() for part in tokens]).sum(dim=0)
        parts = [Tokens(cls[:, None]), *tokens]
        joint = torch.cat([part.values for part in parts], dim=1)
        mask = join_masks(parts)
        for layer in self.layers:
            joint = layer(joint, mask)
        return joint[:, 0]

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the projections' multiply-accumulates plus one block per stage."""
        projected = sum(self.project.macs_per_token[name] * extent.n_tokens for name, extent in extents.items())
        n_tokens = 1 + sum(extent.n_tokens for extent in extents.values())
        blocks: list[TransformerBlock] = list(self.layers)  # type: ignore[arg-type]
        return projected + sum(block.macs(n_tokens) for block in blocks)
