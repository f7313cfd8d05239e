"""Base class of layers whose output is a fixed point, with access to their solves and what these cost."""

from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nasfuse.nn.equilibrium.cells import Cell
from nasfuse.nn.equilibrium.implicit import Gradient, fixed_point
from nasfuse.nn.equilibrium.solvers import Solver
from nasfuse.nn.equilibrium.stopping import Solution, StoppingRule
from nasfuse.nn.knob import Knob
from nasfuse.nn.tracing import refuse_tracing

#: Where solves start.
Start = Literal["inputs", "zero", "random"]

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
        costs: Returns the multiply-accumulates of a state after 0 to `max_steps` steps, int64 of shape
            (states, max_steps + 1), or (1, max_steps + 1) if they are the same for all states.
        backward: Results of the backward passes so far; empty if the gradient is not implicit.
    """

    layer: "FixedPointLayer"
    number: int
    name: str
    cell: Cell
    inputs: tuple[Tensor, ...]
    solution: Solution
    costs: Callable[[], Tensor]
    backward: list[Solution] = field(default_factory=list)


class FixedPointLayer(nn.Module, ABC):
    """A layer that solves for fixed points of cells.

    Attributes:
        start: First iterates of a solve: the injected `inputs`, or `zero`. With `random`, half of the samples start at
            Gaussian noise in training mode, and the others at the inputs, as all samples do in evaluation mode.
        solver: Solver of all fixed points.
        gradient: How gradients are computed; `unroll` makes the layer a weight-tied network of `rule.max_steps` steps.
        rule: Stopping rule in training mode.
        inference_rule: Stopping rule in evaluation mode; may be changed after training.
        listener: Called with every solve; see `listening`.
        solved_outside: Called instead of the solver with the cell, its arguments and the first iterates, for traces
            in which the steps are not recorded; returns the fixed points. None: the solver runs.
    """

    def __init__(self, *, start: Start, solver: Solver, gradient: Gradient, rule: StoppingRule) -> None:
        """Sets the options of all solves."""
        super().__init__()
        self.start: Start = start
        self.solver, self.gradient, self.rule, self.inference_rule = solver, gradient, rule, rule
        self.listener: Callable[[Solved], None] | None = None
        self.solved_outside: Callable[[Cell, tuple[Tensor, ...], Tensor], Tensor] | None = None

    def check_tracing(self) -> None:
        """Raises TracingError if the layer is traced or exported and its number of steps is not fixed."""
        if self.gradient.kind != "unroll" and self.solved_outside is None:
            refuse_tracing(
                "the steps of a fixed point depend on the values of the sample",
                "train with gradient: unroll, whose steps are fixed, or run the network as it is",
            )

    def solve(
        self,
        number: int,
        name: str,
        cell: Cell,
        inputs: tuple[Tensor, ...],
        *,
        start: Tensor,
        costs: Callable[[], Tensor],
    ) -> Tensor:
        """Returns the fixed points (states, d) of `cell.step` and tells the listener; see `Solved`.

        In evaluation mode, they are solved for in float64: accelerated solvers amplify rounding, so that in float32 the
        last digits of the features decide about 1e-3 of a solution, and about the step at which some samples stop.

        Args:
            number: Index of the solve in the call of the layer.
            name: Name of the solve in records.
            cell: Cell of the solve.
            inputs: Arguments of `cell.step` other than the state.
            start: First iterates where they are the inputs.
            costs: Returns the multiply-accumulates by steps.
        """
        if self.solved_outside is not None and self.gradient.kind != "unroll":
            return self.solved_outside(cell, inputs, self._first(start))
        backward: list[Solution] = []
        gradient = self.gradient
        if gradient.kind in ("random_steps", "reversible") and not self.training:
            gradient = replace(gradient, kind="phantom")
        first, dtype = self._first(start), start.dtype
        if not self.training and gradient.kind != "unroll":
            first, inputs = first.double(), tuple(one.double() for one in inputs)
        z, solution = fixed_point(
            cell.step,
            first,
            inputs,
            solver=self.solver,
            rule=self.rule if self.training else self.inference_rule,
            gradient=gradient,
            on_backward=backward.append if self.listener is not None else None,
        )
        if self.listener is not None:
            self.listener(Solved(self, number, name, cell, inputs, solution, costs, backward))
        return z.to(dtype)

    def _first(self, start: Tensor) -> Tensor:
        if self.start == "zero":
            start = torch.zeros_like(start)
        elif self.start == "random" and self.training:
            at_noise = torch.rand(len(start), 1, device=start.device) < 0.5
            start = torch.where(at_noise, torch.randn_like(start), start)
        return start if self.gradient.kind == "unroll" else start.detach()

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


def full_precision(device: str) -> AbstractContextManager[object]:
    """Switches autocast off, because residuals in bfloat16 do not fall below about 1e-3."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def equilibrium_layers(network: nn.Module) -> list[FixedPointLayer]:
    """Returns the layers of `network` whose outputs are fixed points."""
    return [module for module in network.modules() if isinstance(module, FixedPointLayer)]


@contextmanager
def listening(layers: Sequence[FixedPointLayer]) -> Iterator[list[Solved]]:
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
        n_steps = solved.solution.n_steps.cpu()
        by_steps = solved.costs().expand(len(n_steps), -1)
        saved = (by_steps[:, -1:] - by_steps.gather(1, n_steps[:, None]))[:, 0].double()
        whole = len(saved) == solved.cell.n_states * n_samples
        total += saved.reshape(-1, n_samples).sum(dim=0) if whole else saved.sum() / n_samples
    return total
