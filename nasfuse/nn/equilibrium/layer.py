"""Layer of deep equilibrium fusion, from one vector of features per modality to the fused fixed point."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nasfuse.errors import InvalidInputError, NonFiniteError
from nasfuse.nn.equilibrium.cells import CoupledCell, FeatureCell, FuseCell, Gate, ModalityCell, bound_spectra
from nasfuse.nn.equilibrium.fixed_point_layer import FixedPointLayer, Start, full_precision
from nasfuse.nn.equilibrium.implicit import Gradient
from nasfuse.nn.equilibrium.solvers import Solver, solver_macs
from nasfuse.nn.equilibrium.stopping import StoppingRule
from nasfuse.nn.tracing import is_tracing


class EquilibriumLayer(FixedPointLayer):
    """Fuses N features of one width into the fixed point of a cell (DEQ fusion, Ni et al., 2023).

    The states start at the injected features, z_i = x_i and z_f = x_f = sum_i w_i x_i + w_0, or at zero as in the
    released code. A unique fixed point does not depend on the start, but the number of steps does.

    Attributes:
        width: Number of features of each input and of the output.
        n_modalities: Number of inputs, N.
    """

    def __init__(
        self,
        n_modalities: int,
        width: int,
        *,
        coupled: bool,
        gate: Gate,
        start: Start,
        solver: Solver,
        gradient: Gradient,
        rule: StoppingRule,
        spectral_bound: float | None,
    ) -> None:
        """Builds the cells.

        Raises:
            InvalidInputError: There are no modalities, or the width is not positive.
        """
        super().__init__(start=start, solver=solver, gradient=gradient, rule=rule)
        if n_modalities < 1 or width < 2:
            raise InvalidInputError(
                f"equilibrium fusion needs at least one modality and a width of at least 2, got {n_modalities} and "
                f"{width}; give it features (a single one is a constant after the cells' norms)"
            )
        self.width, self.n_modalities, self.coupled = width, n_modalities, coupled
        self.weights, self.offset = nn.Parameter(torch.ones(n_modalities)), nn.Parameter(torch.zeros(()))
        cells: list[FeatureCell]
        if coupled:
            cells = [CoupledCell(n_modalities, width, gate=gate)]
            self._names = ["joint"]
        else:
            cells = [ModalityCell(n_modalities, width), FuseCell(n_modalities, width, gate=gate)]
            self._names = ["modalities", "fused"]
        self.cells = nn.ModuleList(cells)
        if spectral_bound is not None:
            bound_spectra(self.cells, spectral_bound)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Returns the fused (b, width), in float32 or better, for N features (b, width).

        Raises:
            InvalidInputError: There are not N features, or their width is not `width`.
            NonFiniteError: A feature is NaN or infinite.
            TracingError: The layer is traced or exported, and the number of its steps is not fixed as with `unroll`.
        """
        self._check(features)
        self.check_tracing()
        with full_precision(features[0].device.type):
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

    def _solve(self, number: int, features: Sequence[Tensor], fused: Tensor, *, start: Tensor) -> Tensor:
        cell = self._cells()[number]

        def costs() -> Tensor:
            return torch.tensor([self.solve_macs(number, self.inference_rule.max_steps)])

        return self.solve(number, self._names[number], cell, cell.inputs(features, fused), start=start, costs=costs)

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

    def _cells(self) -> list[FeatureCell]:
        return list(self.cells)  # type: ignore[arg-type]
