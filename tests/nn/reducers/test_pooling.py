"""Pooling against naive windows: every real token counts, padding never does."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.nn.reducers import REDUCERS, build_reducer
from nasfuse.nn.tokens import Extent, Tokens

WIDTH = 8
POOLED = {"max": lambda rows: rows.amax(0), "average": lambda rows: rows.mean(0), "strided": lambda rows: rows[0]}
GRIDS = ("max", "average")


def pool(kind, keep_ratio):
    return build_reducer(kind, keep_ratio, width=2)


@pytest.mark.parametrize("kind", POOLED)
@settings(max_examples=40)
@given(
    n_tokens=st.integers(1, 12),
    keep_ratio=st.sampled_from([0.01, 0.1, 0.25, 0.34, 0.5, 0.7, 0.99]),
    lengths=st.none() | st.lists(st.integers(0, 12), min_size=3, max_size=3),
)
def test_windows_along_a_sequence(kind, n_tokens, keep_ratio, lengths):
    values = torch.randn(3, n_tokens, 2)
    mask = None if lengths is None else torch.arange(n_tokens) < torch.tensor(lengths)[:, None]
    reducer = pool(kind, keep_ratio)
    reduced = reducer(Tokens(values, mask), None)
    window = min(round(1 / keep_ratio), n_tokens)
    assert reduced.values.shape[1] == math.ceil(n_tokens / window) == reducer.extent(Extent(n_tokens)).n_tokens
    assert (reduced.mask is None) == (mask is None)
    for sample in range(3):
        for place, start in enumerate(range(0, n_tokens, window)):
            rows = values[sample, start : start + window]
            if mask is not None:
                rows = rows[mask[sample, start : start + window]]
                assert bool(reduced.mask[sample, place]) == bool(len(rows))
            if window == 1:  # nothing is dropped, padding stays what it is
                rows = values[sample, start : start + 1]
            expected = POOLED[kind](rows) if len(rows) else torch.zeros(2)
            assert torch.allclose(reduced.values[sample, place], expected, atol=1e-6)


@pytest.mark.parametrize("kind", GRIDS)
@settings(max_examples=40)
@given(
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    keep_ratio=st.sampled_from([0.01, 0.06, 0.12, 0.25, 0.5, 0.99]),
)
def test_windows_on_a_grid(kind, grid, keep_ratio):
    height, wide = grid
    values = torch.randn(2, height * wide, 3)
    reducer = pool(kind, keep_ratio)
    reduced = reducer(Tokens(values, None, grid), None)
    side = round(math.sqrt(1 / keep_ratio))
    rows, columns = min(side, height), min(side, wide)
    assert reduced.grid == (math.ceil(height / rows), math.ceil(wide / columns))
    assert reducer.extent(Extent(height * wide, grid)) == Extent(math.prod(reduced.grid), reduced.grid)
    image = values.view(2, height, wide, 3)
    for i in range(reduced.grid[0]):
        for j in range(reduced.grid[1]):
            cell = image[0, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns].reshape(-1, 3)
            got = reduced.values[0, i * reduced.grid[1] + j]
            assert torch.allclose(got, POOLED[kind](cell), atol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in REDUCERS if kind not in GRIDS])
def test_other_reducers_read_a_grid_row_by_row(block, kind):
    image = Tokens(torch.randn(2, 12, WIDTH), None, (4, 3))
    reducer = build_reducer(kind, 0.3, width=WIDTH, heads=2, n_tokens=12).eval()
    on_grid = reducer(*block.mix(image))
    in_line = reducer(*block.mix(Tokens(image.values)))
    assert on_grid.grid is None
    assert torch.equal(on_grid.values, in_line.values)
    assert reducer.extent(Extent(12, (4, 3))) == Extent(on_grid.values.shape[1])


def test_attention_weighs_the_tokens_of_a_window(block, make_tokens):
    mixed, seen = block.mix(make_tokens(7, lengths=[7, 4, 3]))
    reduced = build_reducer("attention", 1 / 3, width=WIDTH)(mixed, seen)
    saliency = seen.saliency()
    for sample, length in enumerate([7, 4, 3]):
        for place, start in enumerate(range(0, length, 3)):
            part = slice(start, min(start + 3, length))
            weights = saliency[sample, part] / saliency[sample, part].sum()
            assert torch.allclose(reduced.values[sample, place], weights @ mixed.values[sample, part], atol=1e-6)


@pytest.mark.parametrize("kind", GRIDS)
def test_gradients_are_finite_where_a_window_is_all_padding(kind):
    values = torch.randn(1, 6, 2, requires_grad=True)
    mask = torch.tensor([[True, True, False, False, False, False]])
    pool(kind, 0.5)(Tokens(values, mask), None).values.sum().backward()
    assert torch.isfinite(values.grad).all()
    assert (values.grad[:, 2:] == 0).all()
