"""Layer of deep equilibrium fusion, from features to the fused fixed point, with access to its solves."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nasfuse.errors import InvalidInputError, NonFiniteError
from nasfuse.nn.equilibrium.cells import Cell, CoupledCell, FuseCell, Gate, ModalityCell, bound_spectra
from nasfuse.nn.equilibrium.implicit import Gradient, fixed_point
from nasfuse.nn.equilibrium.solvers import Solver, solver_macs
from nasfuse.nn.equilibrium.stopping import Solution, StoppingRule
from nasfuse.nn.knob import Knob
from nasfuse.nn.tracing import is_tracing, refuse_tracing

#: Caps (largest numbers of steps) to try after training, as shares of the cap in training.
_CAPS = (0.75, 0.5, 0.25)

#: Tolerances to try after training, as multiples of the tolerance in training.
_TOLERANCES = (10.0, 100.0)

#: Largest useful tolerance.
_LOOSEST = 0.5


@dataclass(frozen=True)
class Solved:
    """A solve: its result, and the map with its arguments, from which the Jacobian can be computed.

    Attributes:
        layer: Layer of the solve.
        number: Index of the solve in the call of the layer: 0 for the modalities and 1 for the fusion, or 0 for a joint
            solve.
        name: `modalities` (one state for each) or `fused`, or `joint` for both at once.
        cell: Cell with the map `cell.step`.
        inputs: Arguments of `cell.step` other than the state.
        solution: Result of the forward pass.
        backward: Results of the backward passes so far; empty if the gradient is not implicit.
    """

    layer: "EquilibriumLayer"
    number: int
    name: str
    cell: Cell
    inputs: tuple[Tensor, ...]
    solution: Solution
    backward: list[Solution] = field(default_factory=list)


class EquilibriumLayer(nn.Module):
    """Fuses N features of one width into the fixed point of a cell (DEQ fusion, Ni et al., 2023).

    The states start at the injected features, z_i = x_i and z_f = x_f = sum_i w_i x_i + w_0, or at zero as in the
    released code. A unique fixed point does not depend on the start, but the number of steps does.

    Attributes:
        width: Number of features of each input and of the output.
        n_modalities: Number of inputs, N.
        solver: Solver of all fixed points.
        gradient: How gradients are computed; `unroll` makes the layer a weight-tied network of `rule.max_steps` steps.
        rule: Stopping rule in training mode.
        inference_rule: Stopping rule in evaluation mode; may be changed after training.
        listener: Called with every solve; see `listening`.
    """

    def __init__(
        self,
        n_modalities: int,
        width: int,
        *,
        coupled: bool,
        gate: Gate,
        start: Literal["inputs", "zero"],
        solver: Solver,
        gradient: Gradient,
        rule: StoppingRule,
        spectral_bound: float | None,
    ) -> None:
        """Builds the cells.

        Raises:
            InvalidInputError: There are no modalities, or the width is not positive.
        """
        super().__init__()
        if n_modalities < 1 or width < 2:
            raise InvalidInputError(
                f"equilibrium fusion needs at least one modality and a width of at least 2, got {n_modalities} and "
                f"{width}; give it features (a single one is a constant after the cells' norms)"
            )
        self.width, self.n_modalities, self.coupled, self.start = width, n_modalities, coupled, start
        self.solver, self.gradient, self.rule, self.inference_rule = solver, gradient, rule, rule
        self.weights, self.offset = nn.Parameter(torch.ones(n_modalities)), nn.Parameter(torch.zeros(()))
        cells: list[Cell]
        if coupled:
            cells = [CoupledCell(n_modalities, width, gate=gate)]
            self._names = ["joint"]
        else:
            cells = [ModalityCell(n_modalities, width), FuseCell(n_modalities, width, gate=gate)]
            self._names = ["modalities", "fused"]
        self.cells = nn.ModuleList(cells)
        if spectral_bound is not None:
            bound_spectra(self.cells, spectral_bound)
        self.listener: Callable[[Solved], None] | None = None

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Returns the fused (b, width), in float32 or better, for N features (b, width).

        Raises:
            InvalidInputError: There are not N features, or their width is not `width`.
            NonFiniteError: A feature is NaN or infinite.
            TracingError: The layer is traced or exported, and the number of its steps is not fixed as with `unroll`.
        """
        self._check(features)
        self.check_tracing()
        with _full_precision(features[0].device.type):
            xs = [x.to(torch.promote_types(x.dtype, torch.float32)) for x in features]
            fused = sum((weight * x for weight, x in zip(self.weights, xs, strict=True)), start=self.offset)
            assert isinstance(fused, Tensor)
            if not len(fused):
                return fused
            self._check_finite(fused, xs)
            if self.coupled:
                joint = self._solve(0, xs, fused, start=torch.cat([*xs, fused], dim=1))
                return joint[:, -self.width :]
            found = self._solve(0, xs, fused, start=torch.cat(xs)).reshape(self.n_modalities, *fused.shape)
            return self._solve(1, list(found), fused, start=fused)

    def check_tracing(self) -> None:
        """Raises TracingError if the layer is traced or exported and its number of steps is not fixed."""
        if self.gradient.kind != "unroll":
            refuse_tracing(
                "the steps of a fixed point depend on the values of the sample",
                "train with gradient: unroll, whose steps are fixed, or run the network as it is",
            )

    def _solve(self, number: int, features: Sequence[Tensor], fused: Tensor, *, start: Tensor) -> Tensor:
        cell = self._cells()[number]
        inputs = cell.inputs(features, fused)
        backward: list[Solution] = []
        first = torch.zeros_like(start) if self.start == "zero" else start
        if self.gradient.kind != "unroll":
            first = first.detach()
        z, solution = fixed_point(
            cell.step,
            first,
            inputs,
            solver=self.solver,
            rule=self.rule if self.training else self.inference_rule,
            gradient=self.gradient,
            on_backward=backward.append if self.listener is not None else None,
        )
        if self.listener is not None:
            self.listener(Solved(self, number, self._names[number], cell, inputs, solution, backward))
        return z

    def _check(self, features: Sequence[Tensor]) -> None:
        if len(features) != self.n_modalities:
            raise InvalidInputError(
                f"equilibrium fusion of {self.n_modalities} modalities got {len(features)} features; give one for each"
            )
        for number, x in enumerate(features):
            if x.shape != (len(features[0]), self.width):
                raise InvalidInputError(
                    f"equilibrium fusion of width {self.width} got features {tuple(x.shape)} for modality {number} of "
                    f"a batch of {len(features[0])}; project them to (batch, {self.width})"
                )

    def _check_finite(self, fused: Tensor, xs: Sequence[Tensor]) -> None:
        if fused.is_meta or is_tracing() or bool(torch.isfinite(fused).all()):
            return
        for number, x in enumerate(xs):
            if not bool(torch.isfinite(x).all()):
                raise NonFiniteError(
                    f"the features of modality {number} have values that are NaN or infinite, so there is nothing to "
                    "solve; check the data, or lower training.lr"
                )
        raise NonFiniteError("the weights of the injected features are not finite; lower training.lr")

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the cap and the tolerance of the solver in evaluation mode; a weight-tied network has no knobs.

        Values to try are 3/4, 1/2 and 1/4 of the cap, and 10 and 100 times the tolerance.
        """
        rule = self.inference_rule
        if self.gradient.kind == "unroll":
            return ()
        caps = {max(round(share * rule.max_steps), 1) for share in _CAPS} - {rule.max_steps}
        tolerances = [factor * rule.tolerance for factor in _TOLERANCES if rule.max_steps > 1]
        return (
            Knob(
                "max_steps",
                get=lambda: self.inference_rule.max_steps,
                set=lambda value: self._change_rule(max_steps=int(value)),
                trained=self.rule.max_steps,
                cheaper=tuple(sorted(caps, reverse=True)),
                must_hold=True,
            ),
            Knob(
                "tolerance",
                get=lambda: self.inference_rule.tolerance,
                set=lambda value: self._change_rule(tolerance=value),
                trained=self.rule.tolerance,
                cheaper=tuple(value for value in tolerances if value <= _LOOSEST),
                must_hold=True,
                in_static_macs=False,
            ),
        )

    def _change_rule(self, **changes: Any) -> None:
        self.inference_rule = replace(self.inference_rule, **changes)

    def macs(self) -> int:
        """Returns the multiply-accumulates of a sample all of whose solves reach the cap of evaluation mode."""
        most = self.inference_rule.max_steps
        cells = enumerate(self._cells())
        return sum(cell.n_states * self.solve_macs(number, most)[most] for number, cell in cells)

    def solve_macs(self, number: int, max_steps: int) -> list[int]:
        """Returns the multiply-accumulates of one state of solve `number` for 0 to `max_steps` steps."""
        cell = self._cells()[number]
        overhead = [0] * (max_steps + 1)
        if self.gradient.kind != "unroll":
            overhead = solver_macs(self.solver, width=cell.width, max_steps=max_steps)
        return [cell.macs_once + steps * cell.macs_per_step + added for steps, added in enumerate(overhead)]

    def macs_per_step(self) -> int:
        """Returns the multiply-accumulates of one step of each solve, without those of the solver."""
        return sum(cell.n_states * cell.macs_per_step for cell in self._cells())

    def _cells(self) -> list[Cell]:
        return list(self.cells)  # type: ignore[arg-type]


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Switches autocast off, because residuals in bfloat16 do not fall below about 1e-3."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def equilibrium_layers(network: nn.Module) -> list[EquilibriumLayer]:
    """Returns the equilibrium layers of `network`."""
    return [module for module in network.modules() if isinstance(module, EquilibriumLayer)]


@contextmanager
def listening(layers: Sequence[EquilibriumLayer]) -> Iterator[list[Solved]]:
    """Yields a list to which every solve of `layers` inside the block is appended."""
    heard: list[Solved] = []
    for layer in layers:
        layer.listener = heard.append
    try:
        yield heard
    finally:
        for layer in layers:
            layer.listener = None


def saved_macs(solves: Sequence[Solved], n_samples: int) -> Tensor:
    """Returns the (n_samples,) multiply-accumulates that samples saved by converging before the cap.

    If samples have several tokens, every sample gets the mean of the batch.
    """
    total = torch.zeros(n_samples, dtype=torch.float64)
    for solved in solves:
        by_steps = torch.tensor(solved.layer.solve_macs(solved.number, solved.layer.inference_rule.max_steps))
        saved = (by_steps[-1] - by_steps[solved.solution.n_steps.cpu()]).double()
        whole = len(saved) == solved.cell.n_states * n_samples
        total += saved.reshape(-1, n_samples).sum(dim=0) if whole else saved.sum() / n_samples
    return total
