"""The layer: exact gradients for both cells and all solvers, honest reports, clear errors."""

import pytest
import torch
from torch.func import functional_call

from nasfuse.cost import count_operators
from nasfuse.errors import InvalidInputError, NonFiniteError
from nasfuse.nn.equilibrium import (
    Anderson,
    Broyden,
    EquilibriumLayer,
    Gradient,
    Picard,
    Status,
    StoppingRule,
    listening,
    saved_macs,
)

TIGHT = StoppingRule(1e-14, 400, patience=400)
EXACT = {"tolerance": 1e-14, "max_steps": 400}
SOLVERS = {"picard": Picard(), "anderson": Anderson(), "damped anderson": Anderson(mixing=0.7), "broyden": Broyden()}
WIDTH, N = 16, 3


def make_layer(
    *, coupled=False, gate="sigmoid", solver=SOLVERS["anderson"], rule=TIGHT, kind="implicit", width=WIDTH, n=N, **more
):
    """A layer whose maps contract."""
    layer = EquilibriumLayer(
        n,
        width,
        coupled=coupled,
        gate=gate,
        start=more.pop("start", "inputs"),
        solver=solver,
        gradient=Gradient(kind, more.pop("n_steps", 5), **more.pop("backward", EXACT)),
        rule=rule,
        spectral_bound=None,
    ).double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(0.3)
            if "norms.2" in name or "norm.weight" in name:
                parameter.mul_(0.6)
    return layer


def make_features(n_samples=2, *, width=WIDTH, n=N):
    return [torch.randn(n_samples, width, dtype=torch.float64, requires_grad=True) for _ in range(n)]


def gradients(layer, features, probe, **options):
    wanted = [*features, *layer.parameters()]
    return torch.autograd.grad((layer(features) * probe).sum(), wanted, **options)


@pytest.mark.parametrize("gate", ["linear", "sigmoid", "tanh"])
@pytest.mark.parametrize("coupled", [False, True])
def test_implicit_gradients_of_every_solver_are_those_of_400_unrolled_steps(coupled, gate):
    layer = make_layer(coupled=coupled, gate=gate, kind="unroll")
    features, probe = make_features(), torch.randn(2, WIDTH, dtype=torch.float64)
    expected = gradients(layer, features, probe)  # plain steps, whatever the solver
    layer.gradient = Gradient("implicit", 5, **EXACT)
    for name, layer.solver in SOLVERS.items():
        for one, other in zip(gradients(layer, features, probe), expected, strict=True):
            assert (one - other).abs().max() < 1e-10, name


@pytest.mark.parametrize(("case", "coupled"), list(enumerate([False, True, True, False])))
def test_gradcheck(case, coupled):
    """Along random directions; the test above compares every entry with unrolled steps."""
    solver = list(SOLVERS)[case]
    steps = {"rule": StoppingRule(1e-14, 36, patience=36), "backward": {**EXACT, "max_steps": 36}}
    layer = make_layer(coupled=coupled, gate="linear", solver=SOLVERS[solver], width=4, n=2, **steps)
    names = [name for name, _ in layer.named_parameters()]

    def fuse(first, second, *weights):
        return functional_call(layer, dict(zip(names, weights, strict=True)), ([first, second],))

    features, weights = make_features(width=4, n=2), [p.detach().clone() for p in layer.parameters()]
    inputs = [*features, *(one.requires_grad_() for one in weights)]
    assert torch.autograd.gradcheck(fuse, inputs, atol=1e-8, fast_mode=True)
    for position, weight in enumerate(weights):
        weight.requires_grad_(position % len(SOLVERS) == case)  # each pair takes a few solves
    assert torch.autograd.gradgradcheck(fuse, inputs, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("coupled", [False, True])
def test_one_layer_twice_before_backward_and_backward_twice(coupled):
    layer, probe = make_layer(coupled=coupled), torch.randn(2, WIDTH, dtype=torch.float64)
    first, second = make_features(), make_features()
    out = (layer(first) * probe).sum() + (layer(second) * probe).sum()
    together = torch.autograd.grad(out, list(layer.parameters()), retain_graph=True)
    again = torch.autograd.grad(out, list(layer.parameters()))
    apart = [gradients(layer, features, probe)[N:] for features in (first, second)]
    for one, two, *others in zip(together, again, *apart, strict=True):
        assert torch.equal(one, two)
        assert torch.allclose(one, sum(others), atol=1e-11)


@pytest.mark.parametrize("solver", SOLVERS)
def test_separate_and_joint_solves_give_the_same_fixed_point(solver):
    layer, features = make_layer(solver=SOLVERS[solver]), make_features(3)
    with torch.no_grad():
        found = layer(features)
        fused = layer.offset + sum(w * x for w, x in zip(layer.weights, features, strict=True))
        modalities, fuse = layer.cells
        z, old = torch.zeros(N * 3, WIDTH, dtype=torch.float64), torch.zeros(3, WIDTH, dtype=torch.float64)
        for _ in range(400):
            z = modalities.step(z, None, *modalities.inputs(features, fused))
            old = fuse.step(old, None, *fuse.inputs(z.chunk(N), fused))
    assert torch.allclose(found, old, atol=1e-11)


def test_the_start_changes_the_number_of_steps_but_not_the_fixed_point():
    features, answers, steps = make_features(8), [], []
    layer = make_layer()
    for layer.start in ("zero", "inputs"):
        with listening([layer]) as solves:
            answers.append(layer(features))
        steps.append([int(one.solution.n_steps.sum()) for one in solves])
    assert torch.allclose(*answers, atol=1e-11)
    assert steps[0] != steps[1]


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_results_are_independent_of_the_batch(coupled, training):
    layer = make_layer(coupled=coupled, rule=StoppingRule(1e-3, 30)).train(training)
    features = make_features(16)
    together = layer(features)
    for row in range(16):
        alone = layer([x[row : row + 1] for x in features])
        assert torch.allclose(alone[0], together[row], atol=1e-12)


@pytest.mark.parametrize("kind", ["phantom", "unroll"])
def test_approximate_gradients_approach_the_exact_one_with_more_steps(kind):
    features, probe = make_features(4), torch.randn(4, WIDTH, dtype=torch.float64)
    layer = make_layer()
    exact = torch.cat([one.flatten() for one in gradients(layer, features, probe)])
    errors = []
    for n_steps in (1, 5, 20):
        layer.rule = TIGHT if kind == "phantom" else StoppingRule(1e-14, n_steps)
        layer.gradient = Gradient(kind, n_steps, **EXACT)
        found = torch.cat([one.flatten() for one in gradients(layer, features, probe)])
        errors.append(float((found - exact).norm() / exact.norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.01
    assert errors[2] < 1e-3


def test_memory_does_not_grow_with_steps():
    kept = []
    for tolerance in (1e-1, 1e-12):
        layer, features, sizes = make_layer(rule=StoppingRule(tolerance, 300)), make_features(8), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, s=sizes: s.append(x.nbytes) or x, lambda x: x):
            layer(features)
        kept.append(sum(sizes))
    assert kept[0] == kept[1]


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_reported_cost_is_counted_evaluations_times_their_macs(coupled, solver):
    """The counter sees the products of the cells and the systems of Anderson; inner products are sums to it."""
    layer = make_layer(coupled=coupled, solver=SOLVERS[solver], rule=StoppingRule(1e-3, 25)).float().eval()
    features = [x.detach().float() for x in make_features(1)]
    with listening([layer]) as solves, torch.no_grad():
        layer(features)
    total = products = 0
    for number, solve in enumerate(solves):
        by_steps = layer.solve_macs(number, 25)
        for n_steps in solve.solution.n_steps.tolist():
            total += int(by_steps[n_steps])
            products += n_steps * solve.cell.macs_per_step + solve.cell.macs_once
    counted = count_operators(Flat(layer), tuple(features))
    assert sum(counted.values()) - counted.get("solve", 0) == products
    assert layer.macs() - int(saved_macs(solves, 1)) == total
    assert total >= products
    assert total > products or solver == "picard"


class Flat(torch.nn.Module):
    """The layer with features as separate arguments, as tracing wants it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *features):
        return self.layer(list(features))


def test_solver_overhead_of_anderson():
    """Step k adds n d for inner products and n d for mixing, n = min(k, m), and a system of n unknowns."""
    layer = make_layer(solver=Anderson(memory=2), rule=StoppingRule(1e-3, 4))
    cell = layer.cells[1]
    added = [macs - cell.macs_once - n * cell.macs_per_step for n, macs in enumerate(layer.solve_macs(1, 4))]
    system = 2**3 // 3 + 2**2
    assert added == [0, 0, 2 * WIDTH, 6 * WIDTH + system, 10 * WIDTH + 2 * system]


@pytest.mark.parametrize("coupled", [False, True])
def test_an_empty_batch(coupled):
    assert make_layer(coupled=coupled)(make_features(0)).shape == (0, WIDTH)


def test_a_listener_hears_every_solve_and_its_backward_system():
    layer = make_layer(rule=StoppingRule(1e-6, 100), backward={"tolerance": 1e-6, "max_steps": 100})
    features = make_features(4)
    with listening([layer]) as solves:
        layer(features).sum().backward()
    layer(features)
    assert [one.name for one in solves] == ["modalities", "fused"]
    assert [len(one.solution.status) for one in solves] == [4 * N, 4]
    assert all(one.solution.share(Status.CONVERGED) == 1 for one in solves)
    assert all(len(one.backward) == 1 and one.backward[0].share(Status.CONVERGED) == 1 for one in solves)


def test_a_map_that_does_not_converge_is_never_reported_as_converged():
    layer = make_layer(gate="linear", rule=StoppingRule(1e-6, 15), solver=Picard())
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.dim() == 2:
                parameter.mul_(40)
    with listening([layer]) as solves:
        out = layer(make_features(16))
    assert torch.isfinite(out).all()
    assert solves[-1].solution.share(Status.CONVERGED) < 0.2
    assert set(solves[-1].solution.status.tolist()) <= {int(Status.OUT_OF_STEPS), int(Status.STALLED), 0}


def test_autocast_does_not_touch_the_solve():
    layer = make_layer(rule=StoppingRule(1e-5, 100)).float()
    features = [x.detach().float().requires_grad_() for x in make_features(4)]
    plain = layer(features)
    with torch.autocast("cpu", torch.bfloat16), listening([layer]) as solves:
        mixed = layer([x.bfloat16() for x in features])
        mixed.sum().backward()
    assert mixed.dtype == torch.float32
    assert all(one.solution.share(Status.CONVERGED) == 1 for one in solves)
    assert torch.allclose(mixed, plain, atol=0.05)


class TestBadInput:
    @pytest.mark.parametrize(("n", "width"), [(0, 8), (2, 0), (2, 1)])
    def test_a_layer_without_modalities_is_refused(self, n, width):
        with pytest.raises(InvalidInputError, match="at least one modality and a width of at least 2"):
            make_layer(n=n, width=width)

    def test_another_number_of_features(self):
        with pytest.raises(InvalidInputError, match="of 3 modalities got 2 features"):
            make_layer()(make_features(n=2))

    @pytest.mark.parametrize("shape", [(2, 5), (3, WIDTH), (2, 4, WIDTH)])
    def test_another_shape(self, shape):
        with pytest.raises(InvalidInputError, match="for modality 1 of a batch of 2; project them"):
            make_layer(n=2)([torch.zeros(2, WIDTH).double(), torch.zeros(shape).double()])

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_values_that_are_not_finite(self, value):
        features = make_features()
        features[1] = features[1].detach().clone()
        features[1][0, 3] = value
        with pytest.raises(NonFiniteError, match="modality 1 have values that are NaN or infinite"):
            make_layer()(features)

    def test_no_steps(self):
        with pytest.raises(ValueError, match="max_steps must be at least 1"):
            StoppingRule(max_steps=0)
