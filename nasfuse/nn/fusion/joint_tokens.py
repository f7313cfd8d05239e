"""Joint-token fusion: one transformer over the tokens of all streams."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nasfuse.nn.attention import Seen, TransformerBlock
from nasfuse.nn.embedding import new_embedding
from nasfuse.nn.fusion.base import Fusion, Projections
from nasfuse.nn.knob import Knob
from nasfuse.nn.reducers import Reducer, build_reducer
from nasfuse.nn.tokens import Extent, Tokens, join


class JointTokens(Fusion):
    """Transformer blocks on CLS and the tokens of all streams; the result is CLS.

    The joint part of sparse fusion transformers (Ding et al., 2021). CLS starts as the sum of the outputs of the
    streams (their CLS or mean tokens) plus a learned vector, and every modality has a learned embedding; the paper has
    neither. A reducer is applied to the tokens of each stream separately, between attention and MLP, so that the tokens
    of one stream are independent of the padding of another. MACs: block(1 + sum_m n_m) per stage.
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
        reducer: Mapping[str, Any],
    ) -> None:
        """Builds the operator for streams of `widths`, with at least one joint stage.

        `reducer` holds the options of `build_reducer` and the stage `at`.
        """
        super().__init__()
        self.out_width = width
        self.project = Projections(widths, width)
        self.cls = nn.Parameter(torch.zeros(1, width))
        self.modality = nn.ParameterList(new_embedding(width) for _ in widths)
        n_stages = max(n_joint, 1)
        self.layers = nn.ModuleList(
            TransformerBlock(width, heads=heads, mlp_ratio=mlp_ratio, mlp_width=mlp_width, dropout=dropout)
            for _ in range(n_stages)
        )
        options = {key: value for key, value in reducer.items() if key != "at"}
        self.reducer = build_reducer(**options, width=width, heads=heads)
        at = reducer["at"]
        self.reduces = [at is None or number == min(at, n_stages) for number in range(1, n_stages + 1)]

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        parts = []
        for name, embedding in zip(self.project.names, self.modality, strict=True):
            part = states[name].each(self.project[name])
            parts.append(part.each(embedding.add))
        cls = self.cls + torch.stack([part.summary() for part in parts]).sum(dim=0)
        joint = _with_cls(parts, cls)
        for block, reduces in zip(self._blocks(), self.reduces, strict=True):
            joint, seen = block.mix(joint)
            if reduces and self.reducer is not None:
                parts = [self.reducer(part, what) for part, what in _apart(joint, parts, seen)]
                joint = _with_cls(parts, joint.summary())
            joint = block.transform(joint)
        return joint.summary()

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of projections, blocks and reducers."""
        total = sum(self.project.macs_per_token[name] * extent.n_all for name, extent in extents.items())
        left = [Extent(extents[name].n_tokens, extents[name].grid) for name in self.project.names]
        for block, reduces in zip(self._blocks(), self.reduces, strict=True):
            total += block.attention.macs(sum(extent.n_tokens for extent in left), n_cls=1)
            if reduces and self.reducer is not None:
                reducer: Reducer = self.reducer
                total += sum(reducer.macs(extent) for extent in left)
                left = [reducer.extent(extent) for extent in left]
            total += block.mlp.macs(1 + sum(extent.n_tokens for extent in left))
        return total

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the keep ratio of the joint stages."""
        reducer: Reducer | None = self.reducer
        return () if reducer is None else reducer.knobs("keep_ratio")

    def _blocks(self) -> list[TransformerBlock]:
        return list(self.layers)  # type: ignore[arg-type]


def _with_cls(parts: list[Tokens], cls: Tensor) -> Tokens:
    """Returns the tokens of all streams as one set, with the fused CLS instead of those of the streams."""
    return replace(join([replace(part, cls=None) for part in parts]), cls=cls)


def _apart(joint: Tokens, parts: list[Tokens], seen: Seen) -> list[tuple[Tokens, Seen]]:
    """Returns the tokens of each stream with their values in `joint`, and their queries and keys."""
    result, start = [], 0
    for part in parts:
        stop = start + part.values.shape[1]
        result.append((replace(part, values=joint.values[:, start:stop], cls=None), seen.part(start, stop)))
        start = stop
    return result
