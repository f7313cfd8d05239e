"""Layers of mixing cells: their fixed point, and the same cell with weights of its own in every step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from nasfuse.errors import NonFiniteError
from nasfuse.nn.equilibrium.cells import bound_spectra
from nasfuse.nn.equilibrium.fixed_point_layer import FixedPointLayer, Start, full_precision
from nasfuse.nn.equilibrium.implicit import Gradient
from nasfuse.nn.equilibrium.mixing_cell import MixingCell, MixingMap
from nasfuse.nn.equilibrium.solvers import Solver, solver_macs
from nasfuse.nn.equilibrium.stopping import StoppingRule
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.nn.tracing import is_tracing


class MixingLayer(FixedPointLayer):
    """Fuses the tokens of all streams into the fixed point of a mixing cell.

    The state of a sample are the tokens of all its streams; it starts at the injected tokens, at zero or, in half of
    the samples of a training step, at noise. The output is linear in the means and maxima of the tokens of all streams.

    Attributes:
        width: Number of features of a token and of the output.
    """

    def __init__(
        self,
        n_streams: int,
        width: int,
        *,
        start: Start,
        solver: Solver,
        gradient: Gradient,
        rule: StoppingRule,
        spectral_bound: float | None,
    ) -> None:
        """Builds the cell for `n_streams` streams of tokens of `width`."""
        super().__init__(start=start, solver=solver, gradient=gradient, rule=rule)
        self.width = width
        self.cell, self.read = MixingCell(n_streams, width), nn.Linear(2 * n_streams * width, width)
        if spectral_bound is not None:
            bound_spectra(self.cell, spectral_bound)

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, width), in float32 or better, for tokens of `width` of every stream.

        Raises:
            NonFiniteError: A token is NaN or infinite.
            TracingError: The layer is traced or exported, and the number of its steps is not fixed as with `unroll`.
        """
        self.check_tracing()
        kinds = [Extent(tokens.values.shape[1], tokens.grid, tokens.n_cls) for tokens in states.values()]

        def costs() -> Tensor:
            lengths = torch.stack([tokens.lengths() for tokens in states.values()], dim=1)
            combinations, position = torch.unique(lengths, dim=0, return_inverse=True)
            table = [
                self.macs_by_steps([replace(kind, n_tokens=n) for kind, n in zip(kinds, row, strict=True)])
                for row in combinations.tolist()
            ]
            return torch.tensor(table)[position.cpu()]

        with full_precision(_device(states)):
            mapping, tensors = _prepared(states)
            inputs = (*tensors, *self.cell.weights())
            z = tensors[0]
            if len(z):
                z = self.solve(0, "mixed", mapping, inputs, start=z, costs=costs)
            fused: Tensor = self.read(mapping.summaries(z, None, *inputs))
            return fused

    def macs(self, extents: Sequence[Extent]) -> int:
        """Returns the multiply-accumulates of a sample with these tokens that reaches the cap of evaluation mode."""
        return self.macs_by_steps(extents)[-1]

    def macs_by_steps(self, extents: Sequence[Extent]) -> list[int]:
        """Returns the multiply-accumulates of a sample for 0 steps up to the cap of evaluation mode."""
        most, per_step = self.inference_rule.max_steps, self.cell.step_macs(extents)
        width = sum(extent.n_all for extent in extents) * self.width
        overhead = [0] * (most + 1)
        if self.gradient.kind != "unroll":
            overhead = solver_macs(self.solver, width=width, max_steps=most)
        return [steps * per_step + added + _macs_of(self.read) for steps, added in enumerate(overhead)]


class MixingStack(nn.Module):
    """A number of mixing cells one after another, each with weights of its own: the control of `MixingLayer`.

    Attributes:
        width: Number of features of a token and of the output.
    """

    def __init__(self, n_streams: int, width: int, *, n_cells: int) -> None:
        """Builds `n_cells` cells for `n_streams` streams of tokens of `width`."""
        super().__init__()
        self.width = width
        self.cells = nn.ModuleList(MixingCell(n_streams, width) for _ in range(n_cells))
        self.read = nn.Linear(2 * n_streams * width, width)

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, width), in float32 or better, for tokens of `width` of every stream.

        Raises:
            NonFiniteError: A token is NaN or infinite.
        """
        with full_precision(_device(states)):
            mapping, tensors = _prepared(states)
            z = tensors[0]
            for cell in self._cells():
                z = mapping.step(z, None, *tensors, *cell.weights())
            fused: Tensor = self.read(mapping.summaries(z, None, *tensors))
            return fused

    def macs(self, extents: Sequence[Extent]) -> int:
        """Returns the multiply-accumulates of a sample with these tokens."""
        return sum(cell.step_macs(extents) for cell in self._cells()) + _macs_of(self.read)

    def _cells(self) -> list[MixingCell]:
        return list(self.cells)  # type: ignore[arg-type]


def _macs_of(layer: nn.Linear) -> int:
    return layer.in_features * layer.out_features


def _device(states: Mapping[str, Tokens]) -> str:
    return next(iter(states.values())).values.device.type


def _prepared(states: Mapping[str, Tokens]) -> tuple[MixingMap, tuple[Tensor, ...]]:
    """Returns the map for these tokens and its first arguments, in float32 or better; see `MixingMap.of`."""
    exact = {name: _exact(tokens) for name, tokens in states.items()}
    mapping, tensors = MixingMap.of(exact)
    if not (tensors[0].is_meta or is_tracing() or bool(torch.isfinite(tensors[0]).all())):
        (name, *_) = [name for name, one in exact.items() if not bool(torch.isfinite(one.in_line().masked()).all())]
        raise NonFiniteError(
            f"the tokens of stream {name} have values that are NaN or infinite, so there is nothing to solve; check "
            "the data, or lower training.lr"
        )
    return mapping, tensors


def _exact(tokens: Tokens) -> Tokens:
    return tokens.each(lambda values: values.to(torch.promote_types(values.dtype, torch.float32)))
