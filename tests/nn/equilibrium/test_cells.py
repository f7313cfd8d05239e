"""The cells: the paper's equations, the shortcuts that they allow, and what they cost."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from nasfuse.nn.equilibrium import Anderson, EquilibriumLayer, Gradient, StoppingRule
from nasfuse.nn.equilibrium.cells import (
    CoupledCell,
    FuseCell,
    ModalityCell,
    SpectralBound,
    bound_spectra,
    n_groups,
)

WIDTH, N, B = 32, 3, 4
GATES = {"linear": lambda values: values, "sigmoid": torch.sigmoid, "tanh": torch.tanh}


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def shaken(cell):
    """The cell with random parameters, so that no norm is an identity and no bias zero."""
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return cell


def block(parts, z, read, x):
    """The paper's residual block, with torch's own group norm."""
    h = F.relu(parts.norms[0](parts.inner(read)))
    return parts.norms[2](F.relu(parts.norms[1](parts.outer(h) + x) + z))


def fused_naively(cell, gate, new, old, x_f):
    purified = sum(old * GATES[gate](cell.purify(z + old)) for z in new)
    return cell.norm(F.relu(cell.combine(purified) + x_f))


def test_the_block_is_that_of_the_paper():
    cell = shaken(ModalityCell(N, WIDTH))
    xs, z = list(torch.randn(N, B, WIDTH)), torch.randn(N * B, WIDTH)
    found = cell.step(z, None, *cell.inputs(xs, xs[0])).chunk(N)
    for parts, own, x, out in zip(cell.blocks, z.chunk(N), xs, found, strict=True):
        assert torch.allclose(out, block(parts, own, own, x), atol=1e-12)


def test_any_rows_of_the_modalities():
    cell = shaken(ModalityCell(N, WIDTH))
    given, z = cell.inputs(list(torch.randn(N, B, WIDTH)), None), torch.randn(N * B, WIDTH)
    whole = cell.step(z, None, *given)
    for rows in ([0, 3, 4, 11], [5], [8, 9], list(range(N * B))):
        rows = torch.tensor(rows)
        assert torch.allclose(cell.step(z[rows], rows, *given), whole[rows], atol=1e-12)


@pytest.mark.parametrize("gate", GATES)
def test_the_collapsed_gate_is_the_naive_one(gate):
    cell = shaken(FuseCell(N, WIDTH, gate=gate))
    zs, x_f, old = list(torch.randn(N, B, WIDTH)), torch.randn(B, WIDTH), torch.randn(B, WIDTH)
    found = cell.step(old, None, *cell.inputs(zs, x_f))
    assert (found - fused_naively(cell, gate, zs, old, x_f)).abs().max() < 1e-13
    rows = torch.tensor([1, 3])
    assert torch.allclose(cell.step(old[rows], rows, *cell.inputs(zs, x_f)), found[rows], atol=1e-13)


@pytest.mark.parametrize("gate", GATES)
def test_the_coupled_cell_reads_the_fused_state_everywhere(gate):
    cell = shaken(CoupledCell(N, WIDTH, gate=gate))
    xs, x_f, z = list(torch.randn(N, B, WIDTH)), torch.randn(B, WIDTH), torch.randn(B, (N + 1) * WIDTH)
    *states, old = z.chunk(N + 1, dim=1)
    new = [block(parts, own, own + old, x) for parts, own, x in zip(cell.blocks, states, xs, strict=True)]
    expected = torch.cat([*new, fused_naively(cell, gate, new, old, x_f)], dim=1)
    assert torch.allclose(cell.step(z, None, *cell.inputs(xs, x_f)), expected, atol=1e-12)
    jacobian = torch.autograd.functional.jacobian(lambda one: cell.step(one, None, *cell.inputs(xs, x_f)), z)
    assert jacobian[0, :WIDTH, 0, -WIDTH:].abs().max() > 0
    assert jacobian[0, :, 1].abs().max() == 0, "samples do not see each other"


def test_the_released_joint_map_is_block_triangular():
    """Section 3.2 of the paper's page: a modality reads neither the fused state nor another modality."""
    modalities, fuse = shaken(ModalityCell(N, WIDTH)), shaken(FuseCell(N, WIDTH, gate="linear"))
    xs, x_f = list(torch.randn(N, 1, WIDTH)), torch.randn(1, WIDTH)

    def joint(z):
        new = modalities.step(z[: N * WIDTH].view(N, WIDTH), None, *modalities.inputs(xs, x_f))
        old = z[None, N * WIDTH :]
        return torch.cat([new.flatten(), fuse.step(old, None, *fuse.inputs(list(new[:, None]), x_f))[0]])

    jacobian = torch.autograd.functional.jacobian(joint, torch.randn((N + 1) * WIDTH))
    for row in range(N):
        for column in range(N + 1):
            part = jacobian[row * WIDTH : (row + 1) * WIDTH, column * WIDTH : (column + 1) * WIDTH]
            assert (part.abs().max() > 0) == (row == column)
    assert all(part.abs().max() > 0 for part in jacobian[-WIDTH:].chunk(N + 1, dim=1))


def test_costs_of_the_page():
    """Decoupled and collapsed: 2 N d^2 + 2 d^2 per iteration, plus d^2 once (N 3, d 500)."""
    modalities, fuse = ModalityCell(3, 500), FuseCell(3, 500, gate="linear")
    assert modalities.n_states * modalities.macs_per_step + fuse.macs_per_step == 2_000_000
    assert fuse.macs_once == 250_000
    assert FuseCell(3, 500, gate="tanh").macs_once == 750_000
    assert FuseCell(3, 500, gate="tanh").macs_per_step == fuse.macs_per_step
    assert CoupledCell(3, 500, gate="linear").macs_per_step == 2_000_000
    assert CoupledCell(3, 500, gate="sigmoid").macs_per_step == 2_500_000
    n_parameters = sum(p.numel() for cell in (modalities, fuse) for p in cell.parameters())
    assert n_parameters == 2_014_000


@pytest.mark.parametrize(("width", "groups"), [(500, 4), (32, 4), (24, 2), (16, 2), (8, 1), (7, 1), (30, 2), (33, 1)])
def test_groups(width, groups):
    assert n_groups(width) == groups


def test_spectra_are_bounded_and_small_matrices_left_alone():
    cells = nn.ModuleList([ModalityCell(2, 16), FuseCell(2, 16, gate="linear")])
    with torch.no_grad():
        cells[1].combine.weight.mul_(20)
    before = {name: p.clone() for name, p in cells.named_parameters()}
    bound_spectra(cells, 1.5)
    for _ in range(100):
        with torch.no_grad():
            cells[1].combine.parametrizations.weight.original.mul_(1)  # as an optimiser's step
        cells[1].combine.weight  # noqa: B018 - the access after a step is a power iteration
    linear = [module for module in cells.modules() if isinstance(module, nn.Linear)]
    norms = [torch.linalg.matrix_norm(module.weight, 2).item() for module in linear]
    assert all(norm <= 1.5 * 1.01 for norm in norms)
    assert max(norms) == pytest.approx(1.5, rel=0.01)
    assert torch.equal(cells[0].blocks[0].inner.weight, before["0.blocks.0.inner.weight"])


def bounded_layer(rule):
    return EquilibriumLayer(
        2,
        8,
        coupled=False,
        gate="linear",
        start="inputs",
        solver=Anderson(),
        gradient=Gradient(tolerance=1e-10),
        rule=rule,
        spectral_bound=0.5,
    ).double()


def vectors_of(layer):
    return [module.vector.clone() for module in layer.modules() if isinstance(module, SpectralBound)]


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_spectral_bound_is_the_same_when_a_checkpoint_computes_it_again(reentrant):
    rule = StoppingRule(1e-10, 50)
    layers, state = [bounded_layer(rule), bounded_layer(rule)], bounded_layer(rule).state_dict()
    for layer in layers:
        layer.load_state_dict(deepcopy(state))
    features = [torch.randn(4, 8, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def plain(*inputs):
        return layers[0](inputs)

    def again(*inputs):
        return checkpoint(lambda *own: layers[1](own), *inputs, use_reentrant=reentrant)

    for step in range(3):
        found = []
        for call, layer in zip((plain, again), layers, strict=True):
            layer.zero_grad()
            out = call(*features)
            (out[:, 0].sum() * (step + 1)).backward()
            found.append([out, *(parameter.grad for parameter in layer.parameters())])
            torch.optim.SGD(layer.parameters(), 0.1).step()
        for one, other in zip(*found, strict=True):
            assert torch.equal(one, other)
        assert all(torch.equal(*pair) for pair in zip(*map(vectors_of, layers), strict=True))


def test_a_spectral_bound_iterates_once_per_step_and_never_in_inference():
    layer, features = bounded_layer(StoppingRule(1e-3, 10)), [torch.randn(4, 8).double() for _ in range(2)]
    optimiser = torch.optim.SGD(layer.parameters(), 0.1)
    for _ in range(3):
        layer(features)[:, 0].sum().backward()
        optimiser.step()
        before = vectors_of(layer)
        first, once = layer(features), vectors_of(layer)
        second = layer(features)
        assert not any(torch.equal(*pair) for pair in zip(before, once, strict=True)), "one iteration"
        assert all(torch.equal(*pair) for pair in zip(once, vectors_of(layer), strict=True)), "and no second one"
        assert torch.equal(first, second)
    optimiser.step()
    layer.eval()
    before = vectors_of(layer)
    layer(features)
    assert all(torch.equal(*pair) for pair in zip(before, vectors_of(layer), strict=True))
