"""Token merging against the paper's steps, one sample and one link at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.nn.attention import Seen
from nasfuse.nn.reducers import build_reducer
from nasfuse.nn.tokens import Tokens

WIDTH, HEADS = 8, 2


def naive_round(values, keys, sizes, n_merged):
    """Lists of tensors in, lists out."""
    n = len(values)
    a, b = list(range(0, n, 2)), list(range(1, n, 2))
    links = []
    for i in a:
        cosines = [float(torch.cosine_similarity(keys[i], keys[j], dim=0)) for j in b]
        if cosines:
            best = max(range(len(b)), key=cosines.__getitem__)
            links.append((cosines[best], i, b[best]))
    links.sort(key=lambda link: -link[0])
    gone = {i: j for _, i, j in links[:n_merged]}
    result = []
    for j in range(n):
        if j in gone:
            continue
        group = [j, *(i for i, into in gone.items() if into == j)]
        total = sum(sizes[i] for i in group)
        mean = lambda what, group=group, total=total: sum(sizes[i] * what[i] for i in group) / total  # noqa: E731
        result.append((mean(values), mean(keys), total))
    return [list(column) for column in zip(*result, strict=True)]


@settings(max_examples=60)
@given(length=st.integers(1, 12), ratio=st.sampled_from([0.05, 0.2, 0.3, 0.5, 0.6, 0.9]))
def test_rounds_are_those_of_the_paper(length, ratio):
    values = torch.randn(1, 12, WIDTH)
    mask = (torch.arange(12) < length)[None]
    key = torch.randn(1, 12, WIDTH)
    reduced = build_reducer("merge", ratio, width=WIDTH, heads=HEADS)(
        Tokens(values, mask), Seen(values, key, None, mask, None, HEADS)
    )
    keys = list(key[0, :length].view(length, HEADS, -1).mean(dim=1))
    state = [list(values[0, :length]), keys, [1.0] * length]
    target = max(-(-length * round(100 * ratio) // 100), 1)
    while len(state[0]) > target:
        n = len(state[0])
        state = naive_round(*state, n_merged=min(n - target, n // 2))
    assert int(reduced.mask.sum()) == target
    assert torch.allclose(reduced.values[0, :target], torch.stack(state[0]), atol=1e-5)
    assert torch.allclose(reduced.sizes[0, :target], torch.tensor(state[2]), atol=1e-5)


def test_similar_tokens_are_merged_and_sizes_are_conserved():
    groups = torch.randn(3, WIDTH)
    values = groups.repeat_interleave(4, dim=0)[None]
    merged = build_reducer("merge", 0.25, width=WIDTH, heads=1)(
        Tokens(values), Seen(values, values, None, None, None, 1)
    )
    assert torch.allclose(merged.values[0], groups, atol=1e-5)
    assert merged.sizes.tolist() == [[4.0, 4.0, 4.0]]
    assert torch.allclose(merged.mean(), values.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.8])
def test_the_mean_is_kept(block, make_tokens, ratio):
    mixed, seen = block.mix(make_tokens(12, lengths=[1, 5, 12]))
    merged = build_reducer("merge", ratio, width=WIDTH, heads=HEADS)(mixed, seen)
    assert torch.allclose(merged.mean(), mixed.mean(), atol=1e-5)
    assert torch.allclose((merged.sizes * merged.mask).sum(dim=1), torch.tensor([1.0, 5.0, 12.0]), atol=1e-5)


@pytest.mark.parametrize("kind", ["average", "attention", "top_k", "max", "strided"])
def test_sizes_are_kept_by_a_following_reducer(block, make_tokens, kind):
    mixed, seen = block.mix(make_tokens(12, lengths=[1, 5, 12]))
    merged = build_reducer("merge", 0.7, width=WIDTH, heads=HEADS)(mixed, seen)
    again, seen = block.mix(merged)
    reduced = build_reducer(kind, 0.4, width=WIDTH, heads=HEADS)(again, seen)
    assert torch.allclose((reduced.sizes * reduced.mask).sum(dim=1), torch.tensor([1.0, 5.0, 12.0]), atol=1e-5)
    if kind == "average":
        assert torch.allclose(reduced.mean(), again.mean(), atol=1e-5)


def test_saliency_counts_sizes(block):
    values, cls = torch.randn(1, 3, WIDTH), torch.randn(1, WIDTH)
    _, repeated = block.mix(Tokens(torch.cat([values, values[:, 2:]], dim=1), cls=cls))
    _, sized = block.mix(Tokens(values, cls=cls, sizes=torch.tensor([[1.0, 1.0, 2.0]])))
    expected = repeated.saliency()
    assert torch.allclose(sized.saliency()[:, :2], expected[:, :2], atol=1e-6)
    assert torch.allclose(sized.saliency()[:, 2], expected[:, 2:].sum(dim=1), atol=1e-6)


def test_attention_counts_a_token_as_often_as_its_size_says(block):
    # Two equal tokens are one token of size two.
    values = torch.randn(1, 3, WIDTH)
    twice = Tokens(torch.cat([values, values[:, 2:]], dim=1))
    sized = Tokens(values, sizes=torch.tensor([[1.0, 1.0, 2.0]]))
    assert torch.allclose(block.run(twice).values[:, :3], block.run(sized).values, atol=1e-6)
    assert torch.allclose(twice.mean(), sized.mean(), atol=1e-6)
