"""Solvers against theory: rates, regularisation, maps without a fixed point, company that does not matter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.nn.equilibrium import Anderson, Broyden, Picard, Status, StoppingRule, solve

SOLVERS = [Picard(), Anderson(), Anderson(mixing=0.8), Broyden()]
FAR = StoppingRule(tolerance=1e-17, max_steps=100, patience=1000)


def linear(rate, *, width=30, n_samples=4, dtype=torch.float64):
    """A symmetric contraction whose spectral radius is `rate`, and its fixed points."""
    generator = torch.Generator().manual_seed(1)
    basis, _ = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    matrix = (basis * torch.linspace(0, rate, width, dtype=torch.float64)) @ basis.T
    x = torch.randn(n_samples, width, generator=generator, dtype=torch.float64)
    solution = torch.linalg.solve(torch.eye(width, dtype=torch.float64) - matrix, x.T).T
    matrix, x = matrix.to(dtype), x.to(dtype)
    return lambda z, rows: z @ matrix + (x if rows is None else x[rows]), torch.zeros_like(x), solution


def paper_problem(dtype):
    """The Anderson test problem of the DEQ fusion page: z = tanh(A z + x)."""
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(200, 200, generator=generator, dtype=torch.float64) / 200**0.5
    matrix = (0.9 * (random + random.T) / 2).to(dtype)
    x = torch.randn(8, 200, generator=generator, dtype=torch.float64).to(dtype)
    return lambda z, rows: torch.tanh(z @ matrix + (x if rows is None else x[rows])), torch.zeros_like(x)


def test_picard_converges_at_the_rate_of_the_contraction():
    function, start, solution = linear(0.8)
    errors = []
    for n_steps in (20, 40):
        found = solve(function, start, solver=Picard(), rule=StoppingRule(1e-17, n_steps, patience=1000))
        errors.append(float((found.z - solution).norm()))
    assert (errors[1] / errors[0]) ** (1 / 20) == pytest.approx(0.8, abs=0.01)


def test_damping_slows_picard_as_theory_says():
    function, start, _ = linear(0.8)
    found = solve(function, start, solver=Picard(damping=0.5), rule=FAR)
    rates = found.trace[60:80] / found.trace[59:79]
    assert float(rates.mean()) == pytest.approx(1 - 0.5 * (1 - 0.8), abs=0.01)


@pytest.mark.parametrize("solver", [Anderson(), Broyden(memory=40)])
def test_a_stiff_map_needs_a_fifth_of_the_steps(solver):
    function, start, solution = linear(0.99)
    rule = StoppingRule(1e-6, 3000, patience=3000)
    slow, fast = (solve(function, start, solver=one, rule=rule) for one in (Picard(), solver))
    assert fast.share(Status.CONVERGED) == slow.share(Status.CONVERGED) == 1
    assert 5 * int(fast.n_steps.max()) <= int(slow.n_steps.min())
    assert float((fast.z - solution).norm() / solution.norm()) < 1e-3


def test_relative_regularisation_does_not_stall_where_an_absolute_one_does():
    function, start = paper_problem(torch.float64)
    relative = solve(function, start, solver=Anderson(memory=6, regularisation=1e-4), rule=FAR)
    assert float(relative.trace[49].max()) < 1e-9
    small = solve(function, start, solver=Anderson(memory=6, regularisation=1e-4), rule=StoppingRule(1e-6, 40))
    assert small.share(Status.CONVERGED) == 1
    # The same solver on a problem a thousand times smaller: an absolute lambda would be plain averaging there.
    scaled = solve(
        lambda z, rows: 1e-3 * function(1e3 * z, rows), start, solver=Anderson(memory=6, regularisation=1e-4), rule=FAR
    )
    assert float(scaled.trace[49].max()) < 1e-9


def test_single_precision_reaches_a_relative_residual_of_1e_6():
    function, start = paper_problem(torch.float32)
    found = solve(function, start, solver=Anderson(), rule=StoppingRule(1e-6, 50))
    assert found.share(Status.CONVERGED) == 1


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("tolerance", [1e-1, 1e-3])
def test_a_map_without_fixed_point_never_converges(solver, tolerance):
    rule = StoppingRule(tolerance, 60, patience=100)
    for function in (lambda z, rows: z * z + 1, lambda z, rows: z + 1, lambda z, rows: torch.exp(z)):
        found = solve(function, torch.zeros(3, 2, dtype=torch.float64), solver=solver, rule=rule)
        assert set(found.status.tolist()) <= {int(Status.DIVERGED), int(Status.OUT_OF_STEPS), int(Status.STALLED)}
        assert torch.isfinite(found.z).all()


def test_an_expansion_diverges():
    found = solve(lambda z, rows: 2 * z + 1, torch.zeros(2, 3), solver=Picard(), rule=StoppingRule(1e-3, 100))
    assert found.share(Status.DIVERGED) == 1
    assert torch.isfinite(found.z).all()


def test_a_solve_without_improvement_is_stalled():
    found = solve(lambda z, rows: -z + 1, torch.zeros(2, 3), solver=Picard(), rule=StoppingRule(1e-6, 100, patience=5))
    assert found.share(Status.STALLED) == 1
    assert int(found.n_steps.max()) < 10


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=15)
@given(seed=st.integers(0, 999))
def test_results_are_independent_of_the_batch(solver, seed):
    generator = torch.Generator().manual_seed(seed)
    rates = torch.rand(6, 1, generator=generator, dtype=torch.float64) * 0.95
    x = torch.randn(6, 5, generator=generator, dtype=torch.float64)

    def function(z, rows):
        chosen = torch.arange(6) if rows is None else rows
        return torch.tanh(rates[chosen] * z.flip(1) + x[chosen])

    rule = StoppingRule(1e-6, 40)
    together = solve(function, torch.zeros_like(x), solver=solver, rule=rule)
    for row in range(6):
        alone = solve(
            lambda z, rows, row=row: torch.tanh(rates[row] * z.flip(1) + x[row]),
            torch.zeros(1, 5, dtype=torch.float64),
            solver=solver,
            rule=rule,
        )
        assert torch.allclose(alone.z[0], together.z[row], atol=1e-12)
        assert int(alone.n_steps[0]) == int(together.n_steps[row])
        assert int(alone.status[0]) == int(together.status[row])


def test_every_evaluation_is_counted_and_finished_samples_leave_the_batch():
    sizes = []
    rates = torch.tensor([[0.0], [0.1], [0.5], [0.9]], dtype=torch.float64)

    def function(z, rows):
        sizes.append(len(z))
        return (rates if rows is None else rates[rows]) * z + 1

    found = solve(function, torch.zeros(4, 3, dtype=torch.float64), solver=Picard(), rule=StoppingRule(1e-6, 300))
    assert found.share(Status.CONVERGED) == 1
    assert len(sizes) == int(found.n_steps.max()) == len(found.trace)
    assert sizes[0] == 4
    assert sizes[-1] == 1
    assert sorted(sizes, reverse=True) == sizes
    assert torch.equal((~found.trace.isnan()).sum(dim=0), found.n_steps)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_at_the_solution_takes_one_evaluation(solver):
    found = solve(lambda z, rows: 0.5 * z, torch.zeros(2, 3), solver=solver, rule=StoppingRule())
    assert found.n_steps.tolist() == [1, 1]
    assert found.share(Status.CONVERGED) == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_nan_is_divergence_and_affects_no_other_sample(solver):
    def function(z, rows):
        result = 0.5 * z + 1
        chosen = torch.arange(3) if rows is None else rows
        return torch.where((chosen == 1)[:, None], torch.nan, result)

    found = solve(function, torch.zeros(3, 2), solver=solver, rule=StoppingRule(1e-5, 60))
    assert found.status.tolist() == [0, int(Status.DIVERGED), 0]
    assert torch.allclose(found.z[[0, 2]], torch.tensor(2.0), atol=1e-3)
    assert torch.isfinite(found.z).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_steps": 0}, "max_steps must be at least 1, got 0; raise it"),
        ({"tolerance": 0.0}, "tolerance must be above 0 and below 1, got 0.0; change it"),
    ],
)
def test_impossible_rules(options, message):
    with pytest.raises(ValueError, match=message):
        StoppingRule(**options)


def test_every_status_has_its_advice():
    assert len({status.advice for status in Status}) == 4


def half_plus_one(z, rows):
    return 0.5 * z + 1


@pytest.mark.parametrize("solver", [Picard(), Anderson(), Broyden()])
class TestMapsThatWriteOverTensors:
    def test_a_map_that_overwrites_its_argument_is_refused(self, solver):
        with pytest.raises(ValueError, match="writes over its argument"):
            solve(lambda z, rows: z.mul_(0.5).add_(1), torch.ones(3, 4), solver=solver, rule=StoppingRule(1e-5, 50))

    def test_a_map_that_overwrites_its_result_is_refused(self, solver):
        room = torch.empty(3, 4)
        with pytest.raises(ValueError, match="writes over what it returned before"):
            solve(
                lambda z, rows: torch.mul(z, 0.5, out=room).add_(1),
                torch.ones(3, 4),
                solver=solver,
                rule=StoppingRule(1e-5, 50),
            )

    def test_tensors_of_a_map_are_not_changed(self, solver):
        constant = torch.full((3, 4), 7.0)
        found = solve(lambda z, rows: constant, torch.ones(3, 4), solver=solver, rule=StoppingRule(1e-5, 50))
        assert torch.equal(constant, torch.full((3, 4), 7.0))
        assert torch.equal(found.z, constant)
        assert found.share(Status.CONVERGED) == 1

    def test_the_identity_is_solved_at_once(self, solver):
        start = torch.randn(3, 4)
        found = solve(lambda z, rows: z, start, solver=solver, rule=StoppingRule(1e-5, 50))
        assert torch.equal(found.z, start)
        assert found.n_steps.tolist() == [1, 1, 1]


@pytest.mark.parametrize("solver", [Anderson(), Broyden()])
def test_a_linear_map_of_one_rate_takes_few_steps_in_single_precision_too(solver):
    found = solve(half_plus_one, torch.ones(3, 4), solver=solver, rule=StoppingRule(1e-5, 50))
    assert torch.allclose(found.z, torch.full((3, 4), 2.0), atol=1e-4)
    assert int(found.n_steps.max()) <= 6


@pytest.mark.parametrize(
    "make",
    [
        lambda: Picard(0.0),
        lambda: Picard(5.0),
        lambda: Anderson(memory=0),
        lambda: Anderson(mixing=2.0),
        lambda: Broyden(memory=0),
        lambda: StoppingRule(patience=0),
        lambda: StoppingRule(tolerance=1.0),
    ],
)
def test_impossible_options(make):
    with pytest.raises(ValueError, match="must be"):
        make()
