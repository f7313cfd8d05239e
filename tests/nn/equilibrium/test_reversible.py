"""Reversible iteration, compared with the same updates differentiated by autograd, and with closed forms."""

import pytest
import torch

from nasfuse.nn.equilibrium.reversible import reversible_iterate


def halving(z, rows, c):
    """Has the fixed point 2 c."""
    return z / 2 + c


def mixed(z, rows, weight, c):
    return torch.tanh(z @ weight + c)


def stored(function, start, inputs, n_steps):
    """The same updates, with all states kept by autograd."""
    other = last = start
    for _ in range(n_steps):
        other, last = last, (other + function(last, None, *inputs)) / 2
    return last


def drawn(dtype, *, width=5):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(width, width, generator=generator, dtype=torch.float64).mul(0.6)
    c, start = (torch.randn(7, width, generator=generator, dtype=torch.float64) for _ in range(2))
    return start.to(dtype), (weight.to(dtype).requires_grad_(), c.to(dtype).requires_grad_())


def test_two_updates_by_hand():
    """From 0: b = (0 + c) / 2, then a = (0 + c / 4 + c) / 2."""
    c = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    start = torch.zeros(1, 1, dtype=torch.float64)
    one, _ = reversible_iterate(halving, start, (c,), n_steps=1)
    two, _ = reversible_iterate(halving, start, (c,), n_steps=2)
    assert (one.item(), two.item()) == (0.5, 0.625)
    assert torch.autograd.grad(two, c)[0].item() == 0.625


def test_the_fixed_point_is_that_of_the_map():
    c = torch.tensor([[1.0, -3.0]], dtype=torch.float64)
    z, residuals = reversible_iterate(halving, torch.zeros_like(c), (c,), n_steps=200)
    assert torch.allclose(z, 2 * c, rtol=1e-12)
    assert residuals.shape == (200, 1)
    assert residuals[0].item() == 1.0
    assert residuals[-1].item() < 1e-12


@pytest.mark.parametrize("n_steps", [1, 2, 5, 16])
def test_gradients_are_those_of_all_updates(n_steps):
    start, inputs = drawn(torch.float64)
    z, _ = reversible_iterate(mixed, start, inputs, n_steps=n_steps)
    expected = stored(mixed, start, inputs, n_steps)
    assert torch.allclose(z, expected, rtol=1e-12)
    cotangent = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(z, inputs, cotangent), torch.autograd.grad(expected, inputs, cotangent), strict=True
    ):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_longest_iteration_is_reconstructed_from_float32_maps():
    start, inputs = drawn(torch.float32, width=64)
    z, _ = reversible_iterate(mixed, start, inputs, n_steps=32)
    ours = torch.autograd.grad(z.sum(), inputs)
    doubles = [one.detach().double().requires_grad_() for one in inputs]
    exact = torch.autograd.grad(stored(mixed, start.double(), doubles, 32).sum(), doubles)
    for one, expected in zip(ours, exact, strict=True):
        assert float((one.double() - expected).norm() / expected.norm()) < 1e-4


def test_memory_does_not_grow_with_the_updates():
    def kept(n_steps):
        sizes = []
        start, inputs = drawn(torch.float32)
        with torch.autograd.graph.saved_tensors_hooks(lambda one: sizes.append(one.numel()) or one, lambda one: one):
            reversible_iterate(mixed, start, inputs, n_steps=n_steps)
        return sum(sizes)

    assert kept(2) == kept(32) == 2 * 7 * 5 + 5 * 5 + 7 * 5


def test_a_map_without_its_state_gets_its_share():
    """The updates give c, c (of the other state, which also starts at 0) and (c + 2 c) / 2."""
    c = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    z, _ = reversible_iterate(lambda z, rows, c: 2 * c, torch.zeros_like(c), (c,), n_steps=3)
    assert torch.equal(torch.autograd.grad(z.sum(), c)[0], torch.full_like(c, 1.5))


def test_inputs_without_gradients_get_none():
    start, (weight, c) = drawn(torch.float32)
    z, _ = reversible_iterate(mixed, start, (weight.detach(), c), n_steps=4)
    z.sum().backward()
    assert weight.grad is None
    assert c.grad is not None
