"""Gradients through fixed points: exact to rounding, re-entrant, differentiable, and small."""

import pytest
import torch

from nasfuse.nn.equilibrium import Anderson, Broyden, Gradient, Picard, Status, StoppingRule, fixed_point

SOLVERS = [Picard(), Anderson(), Broyden()]
TIGHT = StoppingRule(1e-14, 400, patience=400)


def cell(z, rows, weight, x):
    return torch.tanh(z @ weight.T + (x if rows is None else x[rows]))


def make_problem(n_samples=4, width=6):
    weight = (0.5 * torch.randn(width, width, dtype=torch.float64) / width**0.5).requires_grad_()
    return weight, torch.randn(n_samples, width, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def problem():
    return make_problem()


def solved(weight, x, *, solver=Anderson(), gradient=None, rule=TIGHT):  # noqa: B008 - options are immutable
    gradient = gradient or Gradient(tolerance=1e-14, max_steps=400)
    start = torch.zeros_like(x)
    return fixed_point(cell, start, (weight, x), solver=solver, rule=rule, gradient=gradient)[0]


def unrolled(weight, x, n_steps=400):
    z = torch.zeros_like(x)
    for _ in range(n_steps):
        z = cell(z, None, weight, x)
    return z


@pytest.mark.parametrize("solver", SOLVERS)
def test_implicit_gradients_are_those_of_400_unrolled_steps(problem, solver):
    expected = torch.autograd.grad((unrolled(*problem) ** 3).sum(), problem)
    found = torch.autograd.grad((solved(*problem, solver=solver) ** 3).sum(), problem)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-10


@pytest.mark.parametrize("solver", SOLVERS)
def test_gradcheck_once_and_twice(solver):
    """Along random directions; the test above compares every entry of the first derivatives with unrolled steps."""
    problem = make_problem(n_samples=3, width=4)

    def fixed_points(*inputs):
        return solved(*inputs, solver=solver)

    assert torch.autograd.gradcheck(fixed_points, problem, atol=1e-8, fast_mode=True)
    assert torch.autograd.gradgradcheck(fixed_points, problem, atol=1e-6, fast_mode=True)


def test_one_map_twice_before_backward(problem):
    weight, x = problem
    both = solved(weight, x) + solved(weight, 2 * x)
    together = torch.autograd.grad(both.sum(), problem)
    apart = [torch.autograd.grad(solved(weight, scale * x).sum(), problem) for scale in (1, 2)]
    for one, first, second in zip(together, *apart, strict=True):
        assert torch.allclose(one, first + second, atol=1e-11)


def test_backward_twice_gives_the_same(problem):
    loss = (solved(*problem) ** 2).sum()
    first = torch.autograd.grad(loss, problem, retain_graph=True)
    second = torch.autograd.grad(loss, problem)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_phantom_gradients_approach_the_exact_ones(problem):
    exact = torch.autograd.grad(solved(*problem).sum(), problem)[0]
    errors = []
    for n_steps in (1, 3, 10):
        phantom = solved(*problem, gradient=Gradient(kind="phantom", n_steps=n_steps))
        found = torch.autograd.grad(phantom.sum(), problem)[0]
        errors.append(float((found - exact).norm() / exact.norm()))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_unrolled_gradients_are_the_reference(problem):
    rule = StoppingRule(1e-14, 60, patience=60)
    found = solved(*problem, gradient=Gradient(kind="unroll"), rule=rule)
    assert torch.allclose(found, unrolled(*problem, n_steps=60), atol=1e-14)
    assert torch.autograd.grad(found.sum(), problem)[0].abs().max() > 0


def test_inputs_without_requires_grad_get_no_gradient(problem):
    weight, x = problem
    found = solved(weight, x.detach())
    assert torch.autograd.grad(found.sum(), weight)[0].shape == weight.shape
    with torch.no_grad():
        assert not solved(weight, x).requires_grad


def test_steps_of_the_solver_are_not_saved_for_backward(problem):
    def saved(n_steps, kind):
        total = 0

        def pack(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        gradient = Gradient(kind=kind)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            solved(*problem, gradient=gradient, rule=StoppingRule(1e-17, n_steps, patience=400))
        return total

    assert saved(5, "implicit") == saved(50, "implicit")
    assert saved(50, "unroll") > 5 * saved(5, "unroll")


def test_autocast_is_the_same_forward_and_backward():
    weight = (0.3 * torch.randn(8, 8) / 8**0.5).requires_grad_()
    x = torch.randn(3, 8, requires_grad=True)

    def low(z, rows, weight, x):
        return torch.tanh(torch.nn.functional.linear(z, weight) + (x if rows is None else x[rows])).float()

    rule = StoppingRule(1e-2, 30)
    with torch.autocast("cpu", torch.bfloat16):
        z, _ = fixed_point(low, torch.zeros_like(x), (weight, x), solver=Anderson(), rule=rule, gradient=Gradient())
    z.sum().backward()
    assert torch.isfinite(weight.grad).all()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("kind", ["implicit", "phantom", "unroll"])
def test_a_map_that_does_not_read_its_state(kind):
    c = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    found, _ = fixed_point(
        lambda z, rows, c: 2 * (c if rows is None else c[rows]),
        torch.zeros(4, 6, dtype=torch.float64),
        (c,),
        solver=Picard(),
        rule=StoppingRule(1e-6, 5),
        gradient=Gradient(kind),
    )
    (gradient,) = torch.autograd.grad(found.sum(), c)
    assert torch.allclose(gradient, torch.full_like(c, 2.0), rtol=1e-14, atol=0)


@pytest.mark.parametrize("options", [{"kind": "jfb"}, {"kind": "phantom", "n_steps": 0}, {"max_steps": 0}])
def test_impossible_gradients(options):
    with pytest.raises(
        ValueError, match="a gradient is one of implicit, phantom, unroll, random_steps, reversible, with"
    ):
        Gradient(**options)


@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_an_impossible_tolerance(tolerance):
    with pytest.raises(ValueError, match="tolerance of a gradient must be above 0 and below 1, got"):
        Gradient(tolerance=tolerance)


class TestRandomSteps:
    """f(z) = z / 2 + c from 0: after n steps z = 2 c (1 - 2^-n), and the last k of them have dz/dc = 2 (1 - 2^-k)."""

    def run(self, n_samples, *, cap=6, n_differentiated=3):
        c = torch.ones(n_samples, 2, dtype=torch.float64, requires_grad=True)
        z, found = fixed_point(
            lambda z, rows, c: z / 2 + (c if rows is None else c[rows]),
            torch.zeros(n_samples, 2, dtype=torch.float64),
            (c,),
            solver=Picard(),
            rule=StoppingRule(1e-1, cap),
            gradient=Gradient("random_steps", n_differentiated),
        )
        (gradient,) = torch.autograd.grad(z.sum(), c)
        return z.detach(), found, gradient

    def test_every_number_of_steps_is_as_likely(self):
        _, found, _ = self.run(6000)
        counts = torch.bincount(found.n_steps, minlength=7)
        assert counts[0] == 0
        assert bool((counts[1:] - 1000).abs().max() < 150), "five standard deviations"

    def test_a_sample_makes_its_own_steps_and_differentiates_the_last(self):
        z, found, gradient = self.run(50)
        n_steps = found.n_steps.double()[:, None].expand(-1, 2)
        assert torch.allclose(z, 2 * (1 - 0.5**n_steps))
        assert torch.allclose(gradient, 2 * (1 - 0.5 ** n_steps.clamp_max(3)))
        assert torch.equal(found.z, z)

    def test_residuals_are_those_of_the_last_step(self):
        _, found, _ = self.run(50)
        step = 0.5 ** (found.n_steps.double() - 1)
        assert torch.allclose(found.residual, step / (2 - step))
        assert torch.equal(found.status == Status.CONVERGED, found.residual < 0.1)
        assert torch.equal(torch.isfinite(found.trace).sum(dim=0), found.n_steps)
