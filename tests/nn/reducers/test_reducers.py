"""What holds for every reducer: counts, masks, CLS, padding, cost; a new kind is tested with no new code."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasfuse.cost import count_operators
from nasfuse.nn.attention import Seen
from nasfuse.nn.reducers import REDUCERS, build_reducer, n_kept
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.spec.stream import LEARNED

WIDTH, HEADS = 8, 2
RATIOS = [0.01, 0.1, 0.25, 0.34, 0.5, 0.7, 0.99]


def build(kind, ratio, **options):
    options = {"width": WIDTH, "heads": HEADS, "n_tokens": 12, **options}
    return build_reducer(kind, ratio, **options).eval()


def n_left(kind, n_tokens, ratio):
    """How many of `n_tokens` tokens are left, from the documentation."""
    if kind in ("max", "average", "strided", "attention"):
        return math.ceil(n_tokens / min(max(round(1 / ratio), 1), n_tokens))
    return max(math.ceil(round(ratio * n_tokens, 6)), 1)


class Reduced(torch.nn.Module):
    """Attention and the reducer after it, for the counter."""

    def __init__(self, block, reducer, cls):
        super().__init__()
        self.block, self.reducer, self.cls = block, reducer, cls

    def forward(self, values):
        mixed, seen = self.block.mix(Tokens(values, cls=self.cls))
        reduced = self.reducer(mixed, seen)
        return reduced.values, seen.query  # the latter, so that it is not taken for dead code


@pytest.mark.parametrize("kind", REDUCERS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_tokens=st.integers(1, 12),
    ratio=st.sampled_from(RATIOS),
    lengths=st.none() | st.lists(st.integers(0, 12), min_size=3, max_size=3),
    cls=st.booleans(),
)
def test_every_sample_keeps_its_share(block, make_tokens, kind, n_tokens, ratio, lengths, cls):
    lengths = None if lengths is None else [min(length, n_tokens) for length in lengths]
    tokens, reducer = make_tokens(n_tokens, lengths=lengths, cls=cls), build(kind, ratio)
    mixed, seen = block.mix(tokens)
    reduced = reducer(mixed, seen)
    assert reduced.values.shape == (3, n_left(kind, n_tokens, ratio), WIDTH)
    assert reducer.extent(Extent(n_tokens, None, tokens.n_cls)) == Extent(reduced.values.shape[1], None, tokens.n_cls)
    assert reduced.cls is mixed.cls, "CLS is never touched"
    assert torch.isfinite(reduced.values).all()
    assert (reduced.mask is None) == (lengths is None)
    if lengths is not None:
        # As many as alone, but where windows are cut at another place by a window longer than the sample.
        alone = [0 if n == 0 else n_left(kind, n, ratio) for n in lengths]
        assert reduced.mask.sum(dim=1).tolist() == alone
        assert (reduced.mask.long().diff(dim=1) <= 0).all(), "the real ones stand first"


@pytest.mark.parametrize("kind", REDUCERS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ratio=st.sampled_from(RATIOS), lengths=st.lists(st.integers(0, 9), min_size=2, max_size=4), cls=st.booleans())
def test_a_sample_is_reduced_as_it_is_alone(block, make_tokens, kind, ratio, lengths, cls):
    tokens, reducer = make_tokens(12, lengths=lengths, cls=cls), build(kind, ratio)
    mixed, seen = block.mix(tokens)
    together = reducer(mixed, seen)
    for row, length in enumerate(lengths):
        if length == 0:
            continue
        own = Tokens(tokens.values[[row], :length], cls=tokens.cls[[row]] if cls else None)
        alone = reducer(*block.mix(own))
        assert torch.allclose(alone.values[0], together.values[row][together.mask[row]], atol=1e-5)
        if alone.sizes is not None:
            assert torch.allclose(alone.sizes[0], together.sizes[row][together.mask[row]])


@pytest.mark.parametrize("kind", REDUCERS)
def test_padding_is_never_read(block, make_tokens, kind):
    tokens, reducer = make_tokens(12, lengths=[0, 1, 5, 12]), build(kind, 0.3)
    garbage = torch.where(tokens.mask[..., None], tokens.values, 1e3 * torch.randn_like(tokens.values))
    first, second = (reducer(*block.mix(part)) for part in (tokens, tokens.with_values(garbage)))
    assert torch.equal(first.mask, second.mask)
    assert torch.allclose(first.masked(), second.masked(), atol=1e-5)


@pytest.mark.parametrize("kind", REDUCERS)
@pytest.mark.parametrize("cls", [False, True])
@pytest.mark.parametrize("n_tokens", [1, 2, 7, 12])
@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.7])
def test_the_closed_form_is_what_is_counted(block, kind, cls, n_tokens, ratio):
    reducer = build(kind, ratio)
    module = Reduced(block, reducer, torch.randn(1, WIDTH) if cls else None)
    extent = Extent(n_tokens, None, int(cls))
    counted = sum(count_operators(module, (torch.randn(1, n_tokens, WIDTH),)).values())
    assert counted == block.attention.macs(n_tokens, int(cls)) + reducer.macs(extent)
    counted = sum(count_operators(module.train(), (torch.randn(1, n_tokens, WIDTH),)).values())
    assert counted == block.attention.macs(n_tokens, int(cls)) + reducer.macs(extent), "in training"


@pytest.mark.parametrize("kind", REDUCERS)
def test_gradients_are_finite_with_and_without_any_token(block, make_tokens, kind):
    tokens, reducer = make_tokens(6, lengths=[0, 1, 2, 6]), build(kind, 0.4).train()
    values = tokens.values.requires_grad_()
    reduced = reducer(*block.mix(tokens))
    (reduced.masked() * torch.randn_like(reduced.values)).sum().backward()
    assert torch.isfinite(values.grad).all()
    assert (values.grad[~tokens.mask] == 0).all()
    parameters = [*reducer.parameters()]
    assert bool(parameters) == (kind in LEARNED) == reducer.has_parameters
    assert all(torch.isfinite(p.grad).all() for p in parameters)
    assert any(p.grad.abs().sum() > 0 for p in parameters) or not parameters


@pytest.mark.parametrize("kind", REDUCERS)
def test_keeping_everything_is_no_work(block, make_tokens, kind):
    reducer = build_reducer(kind, 1.0, width=WIDTH, heads=HEADS, n_tokens=5)
    assert (reducer is None) == (kind not in ("top_k", "merge")), "nothing to learn, nothing to change later"
    if reducer is not None:
        tokens = make_tokens(5)
        assert reducer(tokens, None) is tokens
        assert reducer.extent(Extent(5)) == Extent(5)
        assert reducer.macs(Extent(5)) == 0


@pytest.mark.parametrize("kind", [kind for kind in REDUCERS if kind not in LEARNED])
def test_the_ratio_can_be_another_after_training(block, make_tokens, kind):
    reducer = build_reducer(kind, 0.5, 0.25, width=WIDTH, heads=HEADS, n_tokens=12)
    mixed, seen = block.mix(make_tokens(12))
    assert reducer.train()(mixed, seen).values.shape[1] == 6
    assert reducer.eval()(mixed, seen).values.shape[1] == 3
    assert reducer.extent(Extent(12)).n_tokens == 3
    reducer.inference_keep_ratio = 1.0
    assert reducer(mixed, seen) is mixed
    assert reducer.macs(Extent(12)) == 0


@pytest.mark.parametrize(("n", "ratio", "kept"), [(10, 0.3, 3), (10, 0.31, 4), (3, 0.1, 1), (1, 0.01, 1), (49, 0.1, 5)])
def test_at_least_one_token_and_no_rounding_error_is_kept(n, ratio, kept):
    assert n_kept(n, ratio) == kept


def test_the_saliency_is_one_row_of_attention():
    query, key, cls = torch.randn(2, 5, WIDTH), torch.randn(2, 5, WIDTH), torch.randn(2, WIDTH)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()
    saliency = Seen(query, key, cls, mask, None, HEADS).saliency()
    for b in range(2):
        expected = torch.zeros(5)
        for h in range(HEADS):
            part = slice(4 * h, 4 * h + 4)
            expected[mask[b]] += (key[b, mask[b], part] @ cls[b, part] / 2).softmax(0) / HEADS
        assert torch.allclose(saliency[b], expected, atol=1e-6)
    mean = Seen(query, key, None, mask, None, HEADS).saliency()
    asking = torch.stack([query[b, mask[b]].mean(0) for b in range(2)])
    assert torch.allclose(mean, Seen(query, key, asking, mask, None, HEADS).saliency(), atol=1e-6)
    assert torch.allclose(mean.sum(dim=1), torch.ones(2))
