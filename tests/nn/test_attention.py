"""Attention against its definition, with masks, and its closed-form cost."""

import math

import pytest
import torch

from nasfuse.domain.modality import Modality, Task
from nasfuse.nn import build_network
from nasfuse.nn.attention import (
    CrossAttentionBlock,
    SelfAttention,
    TransformerBlock,
    Windows,
    attend,
    attend_in_windows,
)
from nasfuse.nn.residual_mlp import ResidualMlp
from nasfuse.spec.network import NetworkConfig


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


def naive_windows(query, key, value, heads, mask, windows, n_cls):
    """One query at a time, with the keys of its window and CLS."""
    out = torch.zeros_like(query)
    n_tokens = query.shape[1] - n_cls
    for place in range(query.shape[1]):
        seen = list(range(n_cls))
        if place < n_cls:
            seen = list(range(query.shape[1]))
        else:
            own = (place - n_cls + windows.shift) // windows.size
            seen += [n_cls + other for other in range(n_tokens) if (other + windows.shift) // windows.size == own]
        keys, values = key[:, seen], value[:, seen]
        known = None if mask is None else mask[:, seen]
        out[:, place : place + 1] = naive_attend(query[:, place : place + 1], keys, values, heads, known)
    return out


@pytest.mark.parametrize("n_cls", [0, 1])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("size", "shift"), [(2, 0), (2, 1), (3, 0), (3, 1), (4, 2), (7, 0), (7, 3), (9, 4)])
def test_windows_are_their_definition(size, shift, n_cls, masked):
    windows = Windows(size, shift)
    query, key, value = (torch.randn(3, 7 + n_cls, 6) for _ in range(3))
    mask = torch.arange(7 + n_cls) < torch.tensor([[7 + n_cls], [3 + n_cls], [n_cls]]) if masked else None
    options = {"heads": 2, "mask": mask, "windows": windows, "n_cls": n_cls}
    out = attend_in_windows(query, key, value, **options, sizes=None)
    real = torch.ones(3, 7 + n_cls, 1) if mask is None else mask[..., None]
    assert torch.allclose(out * real, naive_windows(query, key, value, **options) * real, atol=1e-6)
    sizes = torch.ones(3, 7 + n_cls)
    assert torch.allclose(attend_in_windows(query, key, value, **options, sizes=sizes), out, atol=1e-6)


def test_the_pairs_of_windows_grow_linearly():
    windows = Windows(64, 32)
    assert [windows.n_pairs(n, 0) / (n * 64) for n in (32, 544, 4128)] == [0.5, 9 * 64 / 544, 65 * 64 / 4128]
    assert windows.n_pairs(20, 1) == 21**2, "one window is full attention"


def test_sizes_are_repetitions():
    query, key, value = torch.randn(1, 2, 4), torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    repeated = attend(query, key.repeat_interleave(torch.tensor([1, 3, 2]), 1), value.repeat_interleave(
        torch.tensor([1, 3, 2]), 1), heads=2, mask=None)  # fmt: skip
    sized = attend(query, key, value, heads=2, mask=None, sizes=torch.tensor([[1.0, 3.0, 2.0]]))
    assert torch.allclose(sized, repeated, atol=1e-6)
    mask = torch.tensor([[True, True, False]])
    some = attend(query, key, value, heads=2, mask=mask, sizes=torch.tensor([[1.0, 3.0, 2.0]]))
    expected = attend(query, key[:, [0, 1, 1, 1]], value[:, [0, 1, 1, 1]], heads=2, mask=None)
    assert torch.allclose(some, expected, atol=1e-6)


def test_macs_of_dynmm_text_expert_are_reproduced():
    """Its full count on CMU-MOSEI is 142,087,744 for 50 steps of 300 features, with a head MLP 120-64-1."""
    words = Modality("text", "sequence", (50, 300))
    stream = {"encoder": "transformer", "depth": 5, "width": 120, "heads": 5, "mlp_width": 2048}
    config = NetworkConfig.parse({"route": ["text"], "streams": {"text": stream}})
    encoder = build_network(config, [words], Task("regression", 1)).streams["text"]
    assert encoder.macs(50, n_stages=5)[0] == 142_087_744 - (120 * 64 + 64)


@pytest.mark.parametrize("fusion", ["joint_tokens", "bottleneck", "cross_attention"])
def test_the_hidden_width_in_place_of_the_ratio(make_config, modalities, task, fusion):
    """Of streams and fusion; without it, recipes are as they were."""
    plain = make_config({"s": "transformer", "i": "transformer"}, fusion=fusion, width=8).to_plain()
    assert "mlp_width" not in str(plain)

    def network(**changes):
        parts = {name: {**stream, **changes} for name, stream in plain["streams"].items()}
        changed = {**plain, "streams": parts, "fusion": {**plain["fusion"], **changes}}
        torch.manual_seed(0)
        return build_network(NetworkConfig.parse(changed), list(modalities.values()), task)

    def hidden(built):
        return [module.hidden for module in built.modules() if isinstance(module, ResidualMlp)]

    assert set(hidden(network(mlp_width=19))) == {19}
    assert set(hidden(network(mlp_ratio=4))) == {32, 64}


def test_a_ratio_and_its_width_are_the_same_network():
    blocks = []
    for options in ({"mlp_ratio": 3}, {"mlp_ratio": 2, "mlp_width": 24}):
        torch.manual_seed(0)
        blocks.append(TransformerBlock(8, heads=2, dropout=0.0, **options))
    first, second = (block.state_dict() for block in blocks)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert blocks[0].macs(5) == blocks[1].macs(5)
