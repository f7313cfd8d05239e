"""Gradients of a fixed point: implicit (exact), phantom, or through the steps of an iteration towards it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from nasfuse.nn.equilibrium.linear import solve_linear
from nasfuse.nn.equilibrium.reversible import reversible_iterate
from nasfuse.nn.equilibrium.solvers import Map, Solver, solve
from nasfuse.nn.equilibrium.stopping import Solution, Status, StoppingRule, norms, relative_residual

#: f(z, rows, *inputs): the map on the samples `rows` of the batch (None: all). All tensors that need a gradient are in
#: `inputs`, the features of the whole batch and the parameters.
Function = Callable[..., Tensor]

Kind = Literal["implicit", "phantom", "unroll", "random_steps", "reversible"]


@dataclass(frozen=True)
class Gradient:
    """How the gradient of a fixed point is computed.

    With J = df/dz at the solution z and the incoming gradient v, the gradient is g^T df/d inputs with g = J^T g + v.

    Attributes:
        kind: `implicit` solves this system until |J^T g + v - g| is at most `tolerance` |v| for each sample. `phantom`
            differentiates `n_steps` steps from the solution (Geng et al., 2021); one step is Jacobian-free
            backpropagation. `unroll` differentiates every step of plain iteration; its memory grows with their number.
            `random_steps` makes a random number of plain steps for each sample, uniform between 1 and the cap, and
            differentiates the last `n_steps` of them (progressive training, Bansal et al., 2022, in which the number is
            that of the batch). The loss of a batch is thus one of several depths. `reversible` makes as many
            reversible updates as the cap and differentiates all of them, reconstructing their states.
        n_steps: Number of differentiated steps of `phantom` and `random_steps`.
        tolerance: Largest residual of the backward system of `implicit`, relative to the incoming gradient.
        max_steps: Largest number of products with J^T in one backward system of `implicit`.
    """

    kind: Kind = "implicit"
    n_steps: int = 5
    tolerance: float = 1e-3
    max_steps: int = 32

    def __post_init__(self) -> None:
        """Checks the kind, the steps and the tolerance."""
        if self.kind not in get_args(Kind) or self.n_steps < 1 or self.max_steps < 1:
            raise ValueError(
                f"a gradient is one of {', '.join(get_args(Kind))}, with n_steps and max_steps of at least 1; got "
                f"{self.kind}, {self.n_steps} and {self.max_steps}"
            )
        if not 0 < self.tolerance < 1:
            raise ValueError(
                f"the tolerance of a gradient must be above 0 and below 1, got {self.tolerance}; change it"
            )


def fixed_point(
    function: Function,
    start: Tensor,
    inputs: Sequence[Tensor],
    *,
    solver: Solver,
    rule: StoppingRule,
    gradient: Gradient,
    on_backward: Callable[[Solution], None] | None = None,
) -> tuple[Tensor, Solution]:
    """Returns the differentiable fixed points (b, d) of `function`, and the result of the solver.

    Only the solution is saved for the backward pass, so memory does not grow with the number of steps. The function
    may be called several times before the backward pass, which may be repeated and differentiated.

    Args:
        function: f(z, rows, *inputs), in which samples are independent.
        start: First iterates, (b, d).
        inputs: Parameters and injected features.
        solver: Solver of the forward pass.
        rule: Stopping rule of the forward pass.
        gradient: How the gradient is computed. `unroll` and `reversible` make exactly `rule.max_steps` steps without
            a solver, `random_steps` up to as many.
        on_backward: Called with the result of the backward solver of `implicit`.
    """
    tracked = torch.is_grad_enabled() and any(one.requires_grad for one in inputs)

    def bound(z: Tensor, rows: Tensor | None) -> Tensor:
        return function(z, rows, *inputs)

    if gradient.kind == "unroll":
        return _unroll(bound, start, rule)
    if gradient.kind == "random_steps":
        return _random_steps(bound, start, rule, n_differentiated=gradient.n_steps)
    if gradient.kind == "reversible":
        z, trace = reversible_iterate(function, start, inputs, n_steps=rule.max_steps)
        return z, _plain_solution(z, _all_steps(z, rule), trace, rule)
    found = solve(bound, start, solver=solver, rule=rule)
    if not tracked:
        return found.z, found
    if gradient.kind == "phantom":
        z = found.z
        for _ in range(gradient.n_steps):
            z = bound(z, None)
        return z, found
    return _Implicit.apply(found.z, function, gradient, on_backward, *inputs), found  # type: ignore[no-untyped-call]


def _unroll(bound: Map, start: Tensor, rule: StoppingRule) -> tuple[Tensor, Solution]:
    """Returns the iterate after `rule.max_steps` plain steps, and the same with its residual."""
    z, trace = start, []
    for _ in range(rule.max_steps):
        before, z = z, bound(z, None)
        with torch.no_grad():
            trace.append(relative_residual(before, z))
    return z, _plain_solution(z, _all_steps(z, rule), torch.stack(trace), rule)


def _all_steps(z: Tensor, rule: StoppingRule) -> Tensor:
    return torch.full((len(z),), rule.max_steps, device=z.device)


def _random_steps(bound: Map, start: Tensor, rule: StoppingRule, *, n_differentiated: int) -> tuple[Tensor, Solution]:
    """Returns the iterates after a random number of plain steps for each sample, and the same with their residuals.

    All samples make their last step together; a sample with fewer steps joins the batch later.
    """
    n_steps = torch.randint(1, rule.max_steps + 1, (len(start),), device=start.device)
    z = start
    trace = torch.full((rule.max_steps, len(start)), torch.nan, dtype=norms(start[:0]).dtype, device=start.device)
    for left in range(int(n_steps.max()), 0, -1):
        rows = (n_steps >= left).nonzero()[:, 0]
        with torch.set_grad_enabled(torch.is_grad_enabled() and left <= n_differentiated):
            before = z[rows]
            after = bound(before, rows if len(rows) < len(z) else None)
            z = z.index_put((rows,), after)
        with torch.no_grad():
            trace[n_steps[rows] - left, rows] = relative_residual(before, after)
    return z, _plain_solution(z, n_steps, trace, rule)


def _plain_solution(z: Tensor, n_steps: Tensor, trace: Tensor, rule: StoppingRule) -> Solution:
    """Returns the result of plain iteration with the residuals `trace` (steps, b)."""
    residual = trace.gather(0, n_steps[None] - 1)[0]
    status = torch.where(residual < rule.tolerance, int(Status.CONVERGED), int(Status.OUT_OF_STEPS))
    status = torch.where(torch.isfinite(residual), status, int(Status.DIVERGED))
    return Solution(z.detach(), n_steps, residual, status, trace)


class _Implicit(torch.autograd.Function):
    """z* as a function of `inputs`; backward solves g = J^T g + v at z* and returns g^T df/d inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        function: Function,
        gradient: Gradient,
        on_backward: Callable[[Solution], None] | None,
        *inputs: Tensor,
    ) -> Tensor:
        ctx.function, ctx.gradient, ctx.on_backward = function, gradient, on_backward
        device = z.device.type
        ctx.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        output = z.clone()
        ctx.save_for_backward(output, *inputs)
        return output

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        needed = ctx.needs_input_grad[4:]
        options = ctx.gradient
        twice = torch.is_grad_enabled()  # the gradient itself is differentiated
        z, *inputs = [one.detach() for one in saved]
        if not twice:
            for one, wanted in zip(inputs, needed, strict=True):
                one.requires_grad_(wanted)
        with torch.enable_grad():
            transposed = _Transposed(_with_autocast(ctx.function, *ctx.autocast), z.requires_grad_(), inputs)
            found = solve_linear(
                transposed, incoming.detach(), tolerance=options.tolerance, max_steps=options.max_steps
            )
            g, image = found.z, transposed.whole
            if twice:
                adjoint = _adjoint(transposed.function)
                g = _Implicit.apply(g, adjoint, options, None, incoming, *saved)  # type: ignore[no-untyped-call]
                # Aliases of the inputs exclude derivatives through z*, which also depends on the inputs.
                z, *inputs = [one.view_as(one) for one in saved]
                image = transposed.function(z, None, *inputs)
            wanted_inputs = [one for one, wanted in zip(inputs, needed, strict=True) if wanted]
            product, *grads = torch.autograd.grad(image, [z, *wanted_inputs], g, create_graph=twice, allow_unused=True)
        if ctx.on_backward is not None:
            ctx.on_backward(_judged(found, product, incoming, options.tolerance))
        left = iter(grads)
        return None, None, None, None, *[next(left) if wanted else None for wanted in needed]


def _with_autocast(function: Function, device: str, dtype: torch.dtype, enabled: bool) -> Function:
    """Returns `function` with the autocast settings of the forward pass."""

    def wrapped(*args: Any) -> Tensor:
        with torch.autocast(device, dtype, enabled=enabled):
            image: Tensor = function(*args)
        return image

    return wrapped


@torch.no_grad()
def _judged(found: Solution, product: Tensor | None, incoming: Tensor, tolerance: float) -> Solution:
    """Returns the solution of g = J^T g + v with the residual computed from its `product` J^T g.

    The solver updates its residual recursively, and by rounding it can be less than the true residual, which decides
    on convergence.
    """
    left = norms(incoming - found.z if product is None else product + incoming - found.z)
    size = norms(incoming)
    residual = torch.where(size > 0, left / size, 0.0)
    missed = (found.status == Status.CONVERGED) & ~(residual <= tolerance)
    return replace(found, residual=residual, status=torch.where(missed, int(Status.STALLED), found.status))


class _Transposed:
    """The map g -> J^T g on some rows; the graph of f is built once, and again after rows have been removed."""

    def __init__(self, function: Function, z: Tensor, inputs: Sequence[Tensor]) -> None:
        self.function, self.z, self.inputs = function, z, inputs
        self.whole = self.image = function(z, None, *inputs)
        self.point = z
        self.rows: Tensor | None = None

    def __call__(self, g: Tensor, rows: Tensor | None) -> Tensor:
        if rows is None:
            return _vjp(self.whole, self.z, g)
        if rows is not self.rows:
            self.rows = rows
            with torch.enable_grad():
                self.point = self.z.detach()[rows].requires_grad_()
                self.image = self.function(self.point, rows, *[one.detach() for one in self.inputs])
        return _vjp(self.image, self.point, g)


def _vjp(image: Tensor, point: Tensor, g: Tensor, *, create_graph: bool = False) -> Tensor:
    """Returns J^T g; zero if the map does not depend on its state."""
    if not image.requires_grad:
        return torch.zeros_like(g)
    options = {"retain_graph": True, "create_graph": create_graph, "allow_unused": True}
    (product,) = torch.autograd.grad(image, point, g, **options)
    return torch.zeros_like(g) if product is None else product


def _adjoint(function: Function) -> Function:
    """Returns the backward system as a map that can itself be differentiated."""

    def adjoint(g: Tensor, rows: Tensor | None, incoming: Tensor, z: Tensor, *inputs: Tensor) -> Tensor:
        with torch.enable_grad():
            point = z if rows is None else z[rows]
            point = point.view_as(point) if point.requires_grad else point.detach().requires_grad_()
            image = function(point, rows, *inputs)
            product = _vjp(image, point, g, create_graph=True)
        return product + (incoming if rows is None else incoming[rows])

    return adjoint
