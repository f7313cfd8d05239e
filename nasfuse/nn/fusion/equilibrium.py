"""Equilibrium fusion: the fixed point of a cell on pooled features, on aligned tokens, or on all tokens."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.nn.equilibrium import (
    Anderson,
    Broyden,
    EquilibriumLayer,
    Gradient,
    MixingLayer,
    MixingStack,
    Picard,
    Solver,
    StoppingRule,
)
from nasfuse.nn.fusion.base import Projections, VectorFusion
from nasfuse.nn.knob import Knob
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.nn.tracing import is_tracing


class Equilibrium(VectorFusion):
    """DEQ fusion (Ni et al., 2023): streams are projected to one width and fused into a fixed point.

    With level `features`, every stream is reduced to one vector first (CLS or the mean token). With level `tokens`, the
    streams of a sample are averaged to the number of tokens of its shortest stream (means over equal shares, weighted
    by the sizes of merged tokens), a fixed point is solved for each token, and the fused tokens are averaged by size.
    CLS tokens are fused as one additional token with the same weight.

    With the cell `mixing` the streams keep their tokens, and one fixed point is solved for all of them; see
    `nasfuse.nn.equilibrium.MixingCell`.
    """

    layer: EquilibriumLayer | MixingLayer | MixingStack
    cell: Literal["deq", "mixing"]

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
        gradient: Literal["implicit", "phantom", "unroll", "random_steps", "reversible"],
        gradient_steps: int,
        max_steps: int,
        tolerance: float,
        backward_max_steps: int,
        backward_tolerance: float,
        inference_max_steps: int | None,
        inference_tolerance: float | None,
        start: Literal["inputs", "zero", "random"],
        spectral_bound: float | None,
        cell: Literal["deq", "mixing"] = "deq",
        tied: bool = True,
        **deq: Any,
    ) -> None:
        """Builds the operator for streams of `widths`; `deq` holds the options of DEQ fusion's cell.

        `tied` is False for a mixing cell with weights of its own in each of `max_steps` steps.
        """
        super().__init__(width=width, n_joint=n_joint, expansion=expansion, dropout=dropout)
        self.level = level
        self.project = Projections(widths, width)
        self.cell = cell
        if not tied:
            self.layer = MixingStack(len(widths), width, n_cells=max_steps)
            return
        options: dict[str, Any] = {
            "start": start,
            "solver": _solver(solver, damping),
            "gradient": Gradient(gradient, gradient_steps, tolerance=backward_tolerance, max_steps=backward_max_steps),
            "rule": StoppingRule(tolerance, max_steps),
            "spectral_bound": spectral_bound,
        }
        if cell == "mixing":
            self.layer = MixingLayer(len(widths), width, **options)
        else:
            self.layer = EquilibriumLayer(len(widths), width, **deq, **options)
        self.layer.inference_rule = StoppingRule(inference_tolerance or tolerance, inference_max_steps or max_steps)

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        if self.cell == "deq" and self.level == "features":
            return super().forward(states)
        fused = self._mixed(states) if self.cell == "mixing" else self._aligned(states)
        for block in self.joint:
            fused = block(fused)
        return fused

    def _mixed(self, states: Mapping[str, Tokens]) -> Tensor:
        fused: Tensor = self.layer({name: states[name].each(self.project[name]) for name in self.project.names})
        return fused

    def _aligned(self, states: Mapping[str, Tokens]) -> Tensor:
        assert isinstance(self.layer, EquilibriumLayer)
        self.layer.check_tracing()
        aligned, mask, sizes = _align(states)
        rows = mask.flatten()
        features = [self.project[name](values.flatten(0, 1)[rows]) for name, values in aligned.items()]
        fused = mask.new_zeros(rows.shape, dtype=features[0].dtype)[:, None].expand(-1, self.out_width)
        if is_tracing() or len(features[0]):
            found = self.layer(features)
            fused = fused.to(found.dtype).index_put((rows.nonzero()[:, 0],), found)
        return Tokens(fused.reshape(*mask.shape, self.out_width), mask, sizes=sizes).mean()

    def merge(self, features: Mapping[str, Tensor]) -> Tensor:
        """Returns (b, width) for one (b, d_m) per stream."""
        fused: Tensor = self.layer([self.project[name](values) for name, values in features.items()])
        return fused

    def merge_macs(self) -> int:
        """Returns the largest multiply-accumulates of the projections and of the layer, for one token per stream."""
        assert isinstance(self.layer, EquilibriumLayer)
        return sum(self.project.macs_per_token.values()) + self.layer.macs()

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the knobs of the solver."""
        return () if isinstance(self.layer, MixingStack) else self.layer.knobs()

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates if every solve takes `max_steps`."""
        if not isinstance(self.layer, EquilibriumLayer):
            projected = sum(self.project.macs_per_token[name] * extent.n_all for name, extent in extents.items())
            return projected + self.layer.macs([extents[name] for name in self.project.names]) + self.joint_macs()
        n_places = 1
        if self.level == "tokens":
            n_places = min(extent.n_tokens for extent in extents.values())
            n_places += max(extent.n_cls for extent in extents.values())
        return n_places * self.merge_macs() + self.joint_macs()


def _solver(name: str, damping: float) -> Solver:
    return {"anderson": Anderson(mixing=damping), "picard": Picard(damping), "broyden": Broyden()}[name]


def _align(states: Mapping[str, Tokens]) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
    """Averages the tokens of the streams of each sample to the number of tokens of its shortest stream.

    A position holds the mean over an equal share of a stream's real tokens, weighted by their sizes; padding is
    ignored. Streams without real tokens are ignored and filled with 0. If a stream has a CLS token, an additional first
    position holds the output of each stream: its CLS token or its mean.

    Returns:
        Values (b, n, d) by stream, the mask of the positions (b, n), and their sizes (b, n) with a mean of 1 per
        sample; None if all sizes are equal.
    """
    masks = {name: _mask(tokens) for name, tokens in states.items()}
    lengths = torch.stack([mask.sum(dim=1) for mask in masks.values()])
    shortest = torch.where(lengths > 0, lengths, torch.iinfo(lengths.dtype).max).amin(dim=0)
    shortest = torch.where(lengths.amax(dim=0) > 0, shortest, 0)
    # A trace needs positions for the largest length.
    n_places = max(mask.shape[1] for mask in masks.values()) if is_tracing() else max(int(shortest.max()), 1)
    aligned, weights = {}, []
    for (name, tokens), length in zip(states.items(), lengths, strict=True):
        place = (masks[name].long().cumsum(dim=1) - 1) * shortest[:, None] // length.clamp_min(1)[:, None]
        place = torch.where(masks[name], place, n_places)  # padding goes to a place that is dropped
        aligned[name], counts = _shares(tokens, masks[name], place, n_places)
        whole = counts.sum(dim=1, keepdim=True).clamp_min(1)
        weights.append(torch.ones_like(counts) if tokens.sizes is None else counts / whole * shortest[:, None])
    mask = torch.arange(n_places, device=shortest.device) < shortest[:, None]
    sizes = None
    if any(tokens.sizes is not None for tokens in states.values()):
        present = (lengths > 0).to(weights[0].dtype)[..., None]
        sizes = (torch.stack(weights) * present).sum(dim=0) / present.sum(dim=0).clamp_min(1)
    if any(tokens.cls is not None for tokens in states.values()):
        aligned = {name: torch.cat([states[name].summary()[:, None], own], dim=1) for name, own in aligned.items()}
        mask = F.pad(mask, (1, 0), value=True)
        sizes = None if sizes is None else F.pad(sizes, (1, 0), value=1.0)
    return aligned, mask, sizes


def _shares(tokens: Tokens, mask: Tensor, place: Tensor, n_places: int) -> tuple[Tensor, Tensor]:
    """Returns the means of the tokens at each position, weighted by size, and the total sizes.

    `place` (b, t) has the position of each token; tokens at position `n_places` are left out. The shapes are
    (b, n_places, d) and (b, n_places).
    """
    weights = mask.to(tokens.values.dtype) if tokens.sizes is None else tokens.sizes * mask
    sums = tokens.values.new_zeros(tokens.values.shape[0], n_places + 1, tokens.values.shape[2])
    sums = sums.scatter_add(1, place[..., None].expand_as(tokens.values), tokens.values * weights[..., None])
    counts = sums.new_zeros(sums.shape[:2]).scatter_add(1, place, weights)
    return (sums / counts.clamp_min(1)[..., None])[:, :n_places], counts[:, :n_places]


def _mask(tokens: Tokens) -> Tensor:
    return tokens.values.new_ones(tokens.values.shape[:2], dtype=torch.bool) if tokens.mask is None else tokens.mask
