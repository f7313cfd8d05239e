"""Attention against its definition, with masks, and its closed-form cost."""

import math

import pytest
import torch

from nasfuse.nn.attention import CrossAttentionBlock, SelfAttention, TransformerBlock, attend


def naive_attend(query, key, value, heads, mask):
    """One sample, one head and one query at a time, from the definition."""
    out = torch.zeros_like(query)
    size = query.shape[2] // heads
    for b in range(len(query)):
        real = range(key.shape[1]) if mask is None else torch.nonzero(mask[b]).flatten().tolist()
        if not len(real):
            continue
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            for q in range(query.shape[1]):
                scores = [float(query[b, q, part] @ key[b, k, part]) / math.sqrt(size) for k in real]
                weights = torch.softmax(torch.tensor(scores, dtype=query.dtype), 0)
                out[b, q, part] = sum(w * value[b, k, part] for w, k in zip(weights, real, strict=True))
    return out


@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("masked", [False, True])
def test_attend_is_its_definition(heads, masked):
    query, key, value = torch.randn(3, 4, 6), torch.randn(3, 5, 6), torch.randn(3, 5, 6)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]).bool() if masked else None
    out = attend(query, key, value, heads=heads, mask=mask)
    assert torch.allclose(out, naive_attend(query, key, value, heads, mask), atol=1e-6)


def test_a_sample_without_any_key_gets_zeros_and_finite_gradients():
    key = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.tensor([[False, False, False], [True, True, False]])
    out = attend(torch.randn(2, 2, 4), key, key, heads=2, mask=mask)
    out.sum().backward()
    assert (out[0] == 0).all()
    assert torch.isfinite(key.grad).all()
    assert (key.grad[0] == 0).all()


@pytest.mark.parametrize(("n_tokens", "width", "ratio"), [(1, 8, 1), (50, 64, 2), (16, 40, 4)])
def test_macs_are_those_of_the_reference_page(n_tokens, width, ratio):
    n, d = n_tokens, width
    attention = 4 * n * d**2 + 2 * n**2 * d
    assert SelfAttention(width, heads=4).macs(n) == attention
    block = TransformerBlock(width, heads=4, mlp_ratio=ratio, dropout=0.0)
    assert block.macs(n) == attention + 2 * ratio * n * d**2


def test_macs_of_sparse_fusion_transformers_are_reproduced():
    # Exact figures of the reference page for CMU-MOSEI: d 40, MLP ratio 1, streams of 500, 500 and 50 steps.
    block = TransformerBlock(40, heads=5, mlp_ratio=1, dropout=0.0)
    assert sum(block.macs(1 + length) for length in (500, 500, 50)) == 50_477_040
    assert 11 * block.macs(16) == 1_914_880
    # The concat control: 12 dense blocks, and with pooling by 64 after the first.
    assert 2_780_000 + 12 * block.macs(1053) == 1_188_542_240
    assert 2_780_000 + block.macs(1053) + 11 * block.macs(17) == 103_643_040


def test_macs_of_cross_attention_are_those_of_mult():
    # Per pair and layer 10 L_t d^2 + 2 L_s d^2 + 2 L_t L_s d with MLP ratio 4 (queries, output and MLP; K and V).
    block = CrossAttentionBlock(30, heads=5, mlp_ratio=4, dropout=0.0)
    assert block.macs(50, 375) == 10 * 50 * 900 + 2 * 375 * 900 + 2 * 50 * 375 * 30


@pytest.mark.parametrize("mode", [True, False])
def test_cross_attention_ignores_masked_sources(mode):
    block = CrossAttentionBlock(8, heads=2, mlp_ratio=2, dropout=0.0).train(mode)
    target, source = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2).bool()
    changed = torch.where(mask[..., None], source, 100 * torch.randn_like(source))
    assert torch.allclose(block(target, source, mask), block(target, changed, mask), atol=1e-6)
    assert torch.allclose(block(target, source, mask), block(target, source[:, :3], None), atol=1e-6)
