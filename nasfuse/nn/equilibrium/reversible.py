"""Reversible iteration towards a fixed point: exact gradients whose memory does not grow with the steps."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nasfuse.nn.equilibrium.stopping import relative_residual

#: Weight of f in an update. A backward step divides rounding errors of a state by one minus this weight.
_RELAXATION = 0.5


def reversible_iterate(
    function: Callable[..., Tensor], start: Tensor, inputs: Sequence[Tensor], *, n_steps: int
) -> tuple[Tensor, Tensor]:
    """Returns the state (b, d) after `n_steps` reversible updates, and the residuals (n_steps, b) of their maps.

    Two states a and b start at `start`. An update replaces one of them, a <- (a + f(b)) / 2, and the next one the
    other (reversible equilibrium models, McCallum et al., 2025, with their relaxation at 1/2). Both converge to the
    fixed point of f if it attracts. An update is inverted by a <- 2 a - f(b), so the backward pass reconstructs the
    states, in float64, instead of storing them. It can run once, and is not differentiable.

    Args:
        function: f(z, rows, *inputs) with `rows` None; see `nasfuse.nn.equilibrium.implicit`.
        start: First iterates, (b, d), which get no gradient.
        inputs: Parameters and injected features.
        n_steps: Number of evaluations of f, at least 1.
    """
    z, trace = _Reversible.apply(start, function, n_steps, *inputs)  # type: ignore[no-untyped-call]
    return z, trace


class _Reversible(torch.autograd.Function):
    """The last updated state as a function of `inputs`."""

    @staticmethod
    def forward(
        ctx: Any, start: Tensor, function: Callable[..., Tensor], n_steps: int, *inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        other, last = start.double(), start.double()
        trace = []
        for _ in range(n_steps):
            z = last.to(start.dtype)
            image = function(z, None, *inputs)
            trace.append(relative_residual(z, image))
            other, last = last, other + _RELAXATION * (image.double() - other)
        ctx.function, ctx.n_steps, ctx.dtype = function, n_steps, start.dtype
        ctx.save_for_backward(other, last, *inputs)
        residuals = torch.stack(trace)
        ctx.mark_non_differentiable(residuals)
        return last.to(start.dtype), residuals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor, _residuals: Tensor) -> tuple[Tensor | None, ...]:
        other, last, *inputs = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        inputs = [one.detach().requires_grad_(wanted) for one, wanted in zip(inputs, needed, strict=True)]
        wanted_inputs = [one for one in inputs if one.requires_grad]
        totals = [torch.zeros_like(one) for one in wanted_inputs]
        of_last = incoming.double()
        of_other = torch.zeros_like(of_last)
        for _ in range(ctx.n_steps):
            with torch.enable_grad():
                z = other.to(ctx.dtype).requires_grad_()
                image = ctx.function(z, None, *inputs)
            last, other = other, (last - _RELAXATION * image.detach().double()) / (1 - _RELAXATION)
            into_image = (_RELAXATION * of_last).to(image.dtype)
            grads: Sequence[Tensor | None] = [None] * (1 + len(wanted_inputs))
            if image.requires_grad:
                grads = torch.autograd.grad(image, [z, *wanted_inputs], into_image, allow_unused=True)
            through, *rest = grads
            if through is not None:
                of_other = of_other + through.double()
            for total, grad in zip(totals, rest, strict=True):
                if grad is not None:
                    total += grad
            of_last, of_other = of_other, (1 - _RELAXATION) * of_last
        left = iter(totals)
        return None, None, None, *[next(left) if wanted else None for wanted in needed]
