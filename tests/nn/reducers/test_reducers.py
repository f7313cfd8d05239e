"""Reducers: every entry of the registry through the conformance suite, then what the documentation says of counts."""

import math

import pytest
import torch

from nasfuse.nn.attention import Seen
from nasfuse.nn.reducers import REDUCERS, build_reducer, n_kept
from nasfuse.nn.tokens import Extent
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.reducer import LearnedReducer, StreamReducerConfig
from nasfuse.spec.schema.fields import accepts, members_of
from nasfuse.testing import ReducerSuite
from nasfuse.testing.reducer import HEADS, LONGEST, RATIOS, WIDTH


def config_of(kind):
    (config,) = [one for one in members_of(StreamReducerConfig) if one.model_fields["kind"].default == kind]
    return config


def build(kind, *ratios):
    given = dict(zip(("keep_ratio", "inference_keep_ratio"), ratios, strict=False))
    options = config_of(kind)().model_dump(exclude={"kind", "at"}) | given
    return REDUCERS[kind].for_stage(options, width=WIDTH, heads=HEADS, n_tokens=LONGEST)


class TestSuite(ReducerSuite):
    @pytest.fixture(params=REDUCERS)
    def make_reducer(self, request):
        return lambda *ratios: build(request.param, *ratios)


def n_left(kind, n_tokens, ratio):
    """How many of `n_tokens` tokens are left, from the documentation."""
    if kind in ("max", "average", "strided", "attention"):
        return math.ceil(n_tokens / min(max(round(1 / ratio), 1), n_tokens))
    return max(math.ceil(round(ratio * n_tokens, 6)), 1)


@pytest.mark.parametrize("kind", REDUCERS)
def test_the_number_of_kept_tokens_is_the_documented_one(kind):
    for ratio in RATIOS:
        reducer = build(kind, ratio)
        for n_tokens in range(1, LONGEST + 1):
            assert reducer.extent(Extent(n_tokens)).n_tokens == n_left(kind, n_tokens, ratio)


@pytest.mark.parametrize("kind", REDUCERS)
def test_learned_reducers_are_those_that_recipes_treat_as_learned(kind):
    is_learned = build(kind, 0.3).has_parameters
    assert issubclass(config_of(kind), LearnedReducer) == is_learned
    assert accepts(NetworkConfig, "fusion.reducer.kind", kind) == (not is_learned)


@pytest.mark.parametrize("kind", REDUCERS)
def test_no_reducer_is_built_if_all_tokens_are_always_kept(kind):
    for ratios in ((1.0,), (1.0, 1.0), (0.5,)):
        options = config_of(kind)().model_dump(exclude={"kind", "at", "keep_ratio", "inference_keep_ratio"})
        reducer = build_reducer(kind, *ratios, width=WIDTH, heads=HEADS, n_tokens=5, **options)
        assert (reducer is None) == (ratios[0] == 1.0 and kind not in ("top_k", "merge"))
        assert reducer is None or type(reducer) is REDUCERS[kind]
        assert reducer is None or reducer.keep_ratio == ratios[0]


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
