"""The mixing cell and its layers: neighbourhoods, exact gradients, padding, costs, other sizes, errors."""

from dataclasses import replace

import pytest
import torch
from torch.func import functional_call

from nasfuse.errors import NonFiniteError
from nasfuse.nn.equilibrium import (
    Anderson,
    Gradient,
    MixingLayer,
    MixingMap,
    MixingStack,
    Picard,
    Status,
    StoppingRule,
    jacobian_penalty,
    listening,
    saved_macs,
    spectral_radius,
)
from nasfuse.nn.tokens import Extent, Tokens

WIDTH = 8
TIGHT = StoppingRule(1e-13, 400, patience=400)
EXACT = {"tolerance": 1e-13, "max_steps": 400}


def make_layer(*, kind="implicit", rule=TIGHT, solver=None, start="inputs", n_steps=5, n=3, scale=0.3):
    """A layer whose map contracts, on three streams."""
    layer = MixingLayer(
        n,
        WIDTH,
        start=start,
        solver=solver or Anderson(),
        gradient=Gradient(kind, n_steps, **EXACT),
        rule=rule,
        spectral_bound=None,
    ).double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.mul_(0.4 if "norm.weight" in name else scale)
    return layer


def make_states(n_samples=2, *, masked=True, cls=True, side=3, requires_grad=False):
    """An image, a sequence (of lengths 4, 2, 1, 0, 4, ...) and a vector."""
    double = {"dtype": torch.float64, "requires_grad": requires_grad}
    mask = torch.arange(4) < torch.tensor([4, 2, 1, 0]).repeat(n_samples)[:n_samples, None]
    return {
        "image": Tokens(
            torch.randn(n_samples, side * 4, WIDTH, **double),
            grid=(side, 4),
            cls=torch.randn(n_samples, WIDTH, **double) if cls else None,
        ),
        "sequence": Tokens(torch.randn(n_samples, 4, WIDTH, **double), mask if masked else None),
        "vector": Tokens(torch.randn(n_samples, 1, WIDTH, **double)),
    }


def values_of(states):
    return [one for tokens in states.values() for one in (tokens.values, tokens.cls) if one is not None]


def test_a_step_is_that_of_a_loop_over_tokens():
    layer, states = make_layer(scale=1.0), make_states(2, masked=False, cls=False)
    mapping, tensors = MixingMap.of(states)
    z = torch.randn_like(tensors[0])
    found = mapping.step(z, None, *tensors, *layer.cell.weights())
    parts = dict(zip(states, torch.split(z, [12 * WIDTH, 4 * WIDTH, WIDTH], dim=1), strict=True))
    parts = {name: part.view(2, -1, WIDTH) for name, part in parts.items()}
    seen = torch.cat([one for part in parts.values() for one in (part.mean(dim=1), part.amax(dim=1))], dim=1)
    new = []
    for block, (name, part) in zip(layer.cell.blocks, parts.items(), strict=True):
        factor, offset = block.modulation(seen).chunk(2, dim=1)
        for place in range(part.shape[1]):
            around = torch.zeros(2, WIDTH, dtype=torch.float64)
            for other in range(part.shape[1]):
                if name == "image":
                    row, column = other // 4 - place // 4, other % 4 - place % 4
                else:
                    row, column = other - place, 0
                if abs(row) <= 1 and abs(column) <= 1:
                    around += part[:, other] * block.taps.weight[:, 0, row + 1, column + 1]
            mixed = block.own(part[:, place]) + block.near(around)
            hidden = torch.nn.functional.gelu((1 + factor) * mixed + offset)
            new.append(block.norm(states[name].values[:, place] + part[:, place] + block.out(hidden)))
    assert torch.allclose(found.view(2, -1, WIDTH), torch.stack(new, dim=1), atol=1e-12)


def test_information_travels_one_token_per_step():
    layer, states = make_layer(n=1, scale=1.0), {"image": Tokens(torch.zeros(1, 49, WIDTH).double(), grid=(7, 7))}
    with torch.no_grad():
        layer.cell.blocks[0].modulation.weight.zero_()
    mapping, tensors = MixingMap.of(states)
    one = torch.randn(1, 49, WIDTH).double()
    other = one.clone()
    other[:, 24] += 1
    for n_steps in range(4):
        changed = (one - other).view(7, 7, WIDTH).abs().amax(dim=2) > 1e-12
        reach = torch.zeros(7, 7, dtype=torch.bool)
        reach[3 - n_steps : 4 + n_steps, 3 - n_steps : 4 + n_steps] = True
        assert torch.equal(changed, reach)
        one, other = (
            mapping.step(z.flatten(1), None, *tensors, *layer.cell.weights()).view(1, 49, -1) for z in (one, other)
        )


def test_streams_on_one_grid_read_each_other_at_their_places():
    layer = make_layer(n=3, scale=1.0)
    with torch.no_grad():
        for block in layer.cell.blocks:
            block.modulation.weight.zero_()
    states = {name: Tokens(torch.zeros(1, 25, WIDTH).double(), grid=(5, 5)) for name in "ab"}
    states["c"] = Tokens(torch.zeros(1, 25, WIDTH).double())
    mapping, tensors = MixingMap.of(states)
    z = torch.randn_like(tensors[0])
    other = z.clone()
    other.view(1, 3, 25, WIDTH)[:, 0, 12] += 1
    one, two = (mapping.step(state, None, *tensors, *layer.cell.weights()).view(3, 25, -1) for state in (z, other))
    changed = (one - two).abs().amax(dim=2) > 1e-12
    reach = torch.zeros(5, 5, dtype=torch.bool)
    reach[1:4, 1:4] = True
    assert torch.equal(changed, torch.stack([reach.flatten(), reach.flatten(), torch.zeros(25, dtype=torch.bool)]))


@pytest.mark.parametrize("solver", [Picard(), Anderson()])
def test_implicit_gradients_are_those_of_400_unrolled_steps(solver):
    layer, states = make_layer(solver=solver), make_states(3, requires_grad=True)
    probe, wanted = torch.randn(3, WIDTH).double(), [*values_of(states), *layer.parameters()]
    found = torch.autograd.grad((layer(states) * probe).sum(), wanted)
    layer.gradient = Gradient("unroll")
    for one, other in zip(found, torch.autograd.grad((layer(states) * probe).sum(), wanted), strict=True):
        assert (one - other).abs().max() < 1e-9


def test_gradcheck():
    layer, states = make_layer(), make_states(2, side=1)
    names = [name for name, _ in layer.named_parameters()]

    def fuse(*tensors):
        values = iter(tensors[: len(states)])
        own = {name: replace(tokens, values=next(values)) for name, tokens in states.items()}
        return functional_call(layer, dict(zip(names, tensors[len(states) :], strict=True)), (own,))

    inputs = [tokens.values.clone() for tokens in states.values()] + [p.detach().clone() for p in layer.parameters()]
    inputs = [one.requires_grad_() for one in inputs]
    assert torch.autograd.gradcheck(fuse, inputs, atol=1e-7, fast_mode=True)
    for position, weight in enumerate(inputs[len(states) :]):
        weight.requires_grad_(position % 3 == 0)  # second derivatives take many solves
    assert torch.autograd.gradgradcheck(fuse, inputs, atol=1e-5, fast_mode=True)


def test_a_sample_depends_neither_on_its_batch_nor_on_its_padding():
    layer, states = make_layer(rule=StoppingRule(1e-3, 50)).eval(), make_states(8)
    with listening([layer]) as solves:
        together = layer(states)
    for row in range(8):
        alone = {name: tokens.rows(torch.tensor([row])) for name, tokens in states.items()}
        n_real = max(int(alone["sequence"].mask.sum()), 1)
        alone["sequence"] = Tokens(alone["sequence"].values[:, :n_real], alone["sequence"].mask[:, :n_real])
        with listening([layer]) as own:
            assert torch.allclose(layer(alone)[0], together[row], atol=1e-10)
        assert own[0].solution.n_steps == solves[0].solution.n_steps[row]


def test_a_sample_costs_its_real_tokens_and_its_steps():
    layer, states = make_layer(rule=StoppingRule(1e-3, 50)).eval(), make_states(8)
    with listening([layer]) as solves:
        layer(states)
    saved = saved_macs(solves, 8)
    for row, (length, n_steps) in enumerate(
        zip(states["sequence"].lengths().tolist(), solves[0].solution.n_steps.tolist(), strict=True)
    ):
        extents = [Extent(12, (3, 4), n_cls=1), Extent(length), Extent(1)]
        taps = 9 * 12 + (3 * length if length > 1 else 0)
        step = (3 * (13 + length + 1) + 4 * 9) * WIDTH**2 + taps * WIDTH
        by_steps = layer.macs_by_steps(extents)
        solver = sum(layer.solver.macs(k, (14 + length) * WIDTH) for k in range(1, n_steps))
        assert by_steps[n_steps] == n_steps * step + solver + 2 * 3 * WIDTH**2
        assert layer.macs(extents) - saved[row] == by_steps[n_steps]
    assert saved.min() > 0


def test_a_cell_runs_on_grids_of_another_size():
    layer = make_layer(rule=StoppingRule(1e-6, 100)).eval()
    for side in (1, 2, 9):
        with listening([layer]) as solves:
            assert layer(make_states(4, side=side)).shape == (4, WIDTH)
        assert solves[0].solution.share(Status.CONVERGED) == 1


def test_the_fixed_point_does_not_depend_on_the_start():
    layer, states, found = make_layer(), make_states(6), []
    for layer.start in ("inputs", "zero", "random"):
        found.append(layer(states))
    assert torch.allclose(found[0], found[1], atol=1e-10)
    assert torch.allclose(found[0], found[2], atol=1e-10)


def test_half_of_the_training_samples_start_at_noise():
    layer = make_layer(start="random", kind="unroll", rule=StoppingRule(1e-3, 1))
    first = make_states(1)
    states = {name: tokens.rows(torch.zeros(400).long()) for name, tokens in first.items()}
    changed = (layer(states) - make_layer(kind="unroll").eval()(first)).abs().amax(dim=1)
    assert changed.shape == (400,)
    usual = replace(layer.rule, max_steps=1)
    layer.eval().inference_rule = usual
    plain = layer(states)
    assert torch.allclose(plain, plain[:1].expand(400, -1), atol=1e-12)
    at_inputs = ((layer.train()(states) - plain).abs().amax(dim=1) < 1e-10).double().mean()
    assert 0.4 < at_inputs < 0.6


def test_padding_of_a_start_is_not_read():
    layer, states = make_layer(scale=1.0), make_states(4)
    mapping, tensors = MixingMap.of(states)
    z = torch.randn_like(tensors[0])
    other = z.clone()
    other[:, 13 * WIDTH : 17 * WIDTH].view(4, 4, WIDTH)[~states["sequence"].mask] += 1
    one, two = (mapping.step(state, None, *tensors, *layer.cell.weights()) for state in (z, other))
    assert torch.equal(one, two)


def test_a_stack_of_one_cell_is_one_step():
    layer, stack = make_layer(kind="unroll", rule=StoppingRule(1e-3, 1)), MixingStack(3, WIDTH, n_cells=1).double()
    stack.cells[0].load_state_dict(layer.cell.state_dict())
    stack.read.load_state_dict(layer.read.state_dict())
    states = make_states(3)
    assert torch.allclose(layer(states), stack(states), atol=1e-12)
    extents = [Extent(12, (3, 4), n_cls=1), Extent(4), Extent(1)]
    assert layer.macs(extents) == stack.macs(extents)
    more = MixingStack(3, WIDTH, n_cells=5).macs(extents) - stack.macs(extents)
    assert more == 4 * layer.cell.step_macs(extents)


def test_the_jacobian_is_that_of_the_whole_state():
    layer = make_layer(rule=StoppingRule(1e-10, 200))
    with listening([layer]) as solves:
        layer(make_states(4))
    assert solves[0].name == "mixed"
    assert 0 < float(jacobian_penalty(solves[0])) < 1
    radius = spectral_radius(solves[0], n_rows=2)
    assert radius.shape == (2,)
    assert bool((radius < 1).all()), "it converged"


def test_an_empty_batch():
    assert make_layer()(make_states(0)).shape == (0, WIDTH)


@pytest.mark.parametrize("build", [make_layer, lambda: MixingStack(3, WIDTH, n_cells=2).double()])
def test_values_that_are_not_finite(build):
    states = make_states(2)
    states["sequence"].values[0, 1, 2] = float("nan")
    with pytest.raises(NonFiniteError, match="the tokens of stream sequence have values that are NaN or infinite"):
        build()(states)
