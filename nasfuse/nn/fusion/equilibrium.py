"""Equilibrium fusion of streams: the fixed point of a cell on pooled features, or token by token."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from nasfuse.nn.equilibrium import Anderson, Broyden, EquilibriumLayer, Gradient, Picard, Solver, StoppingRule
from nasfuse.nn.fusion.base import Projections, VectorFusion
from nasfuse.nn.knob import Knob
from nasfuse.nn.tokens import Extent, Tokens


class Equilibrium(VectorFusion):
    """Projects every stream to one width and fuses them into a fixed point (DEQ fusion, Ni et al., 2023).

    On features, every stream is pooled to one vector first. On tokens, the streams of a sample are brought to as many
    tokens as its shortest has (means of equal shares), the fixed point is found for each token, and the fused tokens
    are pooled.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        width: int,
        n_joint: int,
        expansion: int,
        dropout: float,
        level: Literal["features", "tokens"],
        solver: Literal["anderson", "picard", "broyden"],
        damping: float,
        gradient: Literal["implicit", "phantom", "unroll"],
        gradient_steps: int,
        max_steps: int,
        tolerance: float,
        inference_max_steps: int | None,
        inference_tolerance: float | None,
        **cell: Any,
    ) -> None:
        """Builds the layer for streams of `widths`; `cell` are the options of the cells."""
        super().__init__(width=width, n_joint=n_joint, expansion=expansion, dropout=dropout)
        self.level = level
        self.project = Projections(widths, width)
        chosen = _solver(solver, damping)
        rule = StoppingRule(tolerance, max_steps)
        self.layer = EquilibriumLayer(
            len(widths),
            width,
            solver=chosen,
            gradient=Gradient(gradient, gradient_steps, solver=chosen, rule=rule),
            rule=rule,
            **cell,
        )
        self.layer.inference_rule = StoppingRule(inference_tolerance or tolerance, inference_max_steps or max_steps)

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        if self.level == "features":
            return super().forward(states)
        aligned, mask = _align(states)
        rows = mask.flatten()
        features = [self.project[name](values.flatten(0, 1)[rows]) for name, values in aligned.items()]
        fused = mask.new_zeros(len(rows), self.out_width, dtype=features[0].dtype)
        if len(features[0]):
            found = self.layer(features)
            fused = fused.to(found.dtype).index_put((rows.nonzero()[:, 0],), found)
        pooled = Tokens(fused.view(*mask.shape, -1), mask).mean()
        for block in self.joint:
            pooled = block(pooled)
        return pooled

    def merge(self, features: Mapping[str, Tensor]) -> Tensor:
        """Returns (b, width) for one (b, d_m) per stream."""
        fused: Tensor = self.layer([self.project[name](values) for name, values in features.items()])
        return fused

    def merge_macs(self) -> int:
        """Returns the projections' multiply-accumulates and those of the layer, all at most, for one token each."""
        return sum(self.project.macs_per_token.values()) + self.layer.macs()

    def knobs(self) -> tuple[Knob, ...]:
        """Returns those of the layer."""
        return self.layer.knobs()

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates where no solve ends before `max_steps`."""
        n_tokens = min(extent.n_tokens for extent in extents.values()) if self.level == "tokens" else 1
        return super().macs(extents) + (n_tokens - 1) * self.merge_macs()


def _solver(name: str, damping: float) -> Solver:
    return {"anderson": Anderson(mixing=damping), "picard": Picard(damping), "broyden": Broyden()}[name]


def _align(states: Mapping[str, Tokens]) -> tuple[dict[str, Tensor], Tensor]:
    """Returns (b, n, d) per stream, and (b, n): which tokens are real, as many as the sample's shortest stream has.

    A token is the mean over an equal share of a stream's real tokens, so that padding changes nothing. Streams
    without any real token do not count, and give zeros.
    """
    masks = {name: _mask(tokens) for name, tokens in states.items()}
    lengths = torch.stack([mask.sum(dim=1) for mask in masks.values()])
    shortest = torch.where(lengths > 0, lengths, torch.iinfo(lengths.dtype).max).amin(dim=0)
    shortest = torch.where(lengths.amax(dim=0) > 0, shortest, 0)
    n_tokens = max(int(shortest.max()), 1)
    aligned = {}
    for (name, tokens), length in zip(states.items(), lengths, strict=True):
        mask = masks[name]
        place = (mask.cumsum(dim=1) - 1) * shortest[:, None] // length.clamp_min(1)[:, None]
        place = torch.where(mask, place, n_tokens)  # padding goes to a place that is dropped
        sums = tokens.values.new_zeros(len(mask), n_tokens + 1, tokens.values.shape[2])
        sums = sums.scatter_add(1, place[..., None].expand_as(tokens.values), tokens.masked())
        counts = sums.new_zeros(sums.shape[:2]).scatter_add(1, place, mask.to(sums.dtype))
        aligned[name] = (sums / counts.clamp_min(1)[..., None])[:, :n_tokens]
    return aligned, torch.arange(n_tokens, device=shortest.device) < shortest[:, None]


def _mask(tokens: Tokens) -> Tensor:
    return tokens.values.new_ones(tokens.values.shape[:2], dtype=torch.bool) if tokens.mask is None else tokens.mask
