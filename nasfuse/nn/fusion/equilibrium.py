"""Equilibrium fusion of streams: the fixed point of a cell on pooled features, or token by token."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.nn.equilibrium import Anderson, Broyden, EquilibriumLayer, Gradient, Picard, Solver, StoppingRule
from nasfuse.nn.fusion.base import Projections, VectorFusion
from nasfuse.nn.tokens import Extent, Tokens


class Equilibrium(VectorFusion):
    """Projects every stream to one width and fuses them into a fixed point (DEQ fusion, Ni et al., 2023).

    On features, every stream is pooled to one vector first. On tokens, the streams are brought to as many tokens as
    the shortest has (means of equal spans), the fixed point is found for each token, and the fused tokens are pooled.
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
        self.set_rule(inference_max_steps or max_steps, inference_tolerance or tolerance)

    def set_rule(self, max_steps: int, tolerance: float) -> None:
        """Sets the inference-time knobs."""
        self.layer.inference_rule = StoppingRule(tolerance, max_steps)

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        if self.level == "features":
            return super().forward(states)
        n_tokens = min(tokens.values.shape[1] for tokens in states.values())
        aligned = {name: _align(tokens, n_tokens) for name, tokens in states.items()}
        masks = torch.stack([mask for _, mask in aligned.values()]).any(dim=0)
        rows = masks.flatten()
        features = [self.project[name](values).flatten(0, 1)[rows] for name, (values, _) in aligned.items()]
        fused = masks.new_zeros(len(rows), self.out_width, dtype=torch.float32)
        if len(features[0]):
            found = self.layer(features)
            fused = fused.to(found.dtype).index_put((rows.nonzero()[:, 0],), found)
        pooled = Tokens(fused.view(*masks.shape, -1), masks).mean()
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

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates where no solve ends before `max_steps`."""
        n_tokens = min(extent.n_tokens for extent in extents.values()) if self.level == "tokens" else 1
        return super().macs(extents) + (n_tokens - 1) * self.merge_macs()


def _solver(name: str, damping: float) -> Solver:
    return {"anderson": Anderson(mixing=damping), "picard": Picard(damping), "broyden": Broyden()}[name]


def _align(tokens: Tokens, n_tokens: int) -> tuple[Tensor, Tensor]:
    """Returns (b, n_tokens, d) means over the real tokens of equal spans, and (b, n_tokens): which have any."""
    values, mask = tokens.masked(), tokens.mask
    weights = values.new_ones(values.shape[:2]) if mask is None else mask.to(values.dtype)
    if values.shape[1] == n_tokens:
        return values, weights > 0
    means = F.adaptive_avg_pool1d(values.transpose(1, 2), n_tokens).transpose(1, 2)
    shares = F.adaptive_avg_pool1d(weights[:, None], n_tokens)[:, 0]
    return means / shares.clamp_min(torch.finfo(shares.dtype).tiny)[..., None], shares > 0
