"""Single operators and stock modules: the numbers of the reference page, in both modes, and no silent zero."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasfuse.cost import count_operators
from nasfuse.cost.operators import FREE, HANDLES
from nasfuse.errors import UncountedOperatorError
from nasfuse.nn.attention import CrossAttentionBlock


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x @ x

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def total(module, inputs):
    return sum(count_operators(module, inputs).values())


def random(*shapes):
    return tuple(torch.randn(*shape) for shape in shapes)


HEADS = ((1, 2, 50, 32),) * 3
# FLOPs as the reference page has them; MACs are half.
FLOPS = [
    ("attention", Call(F.scaled_dot_product_attention), random(*HEADS), 640_000),
    (
        "masked attention",
        Call(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(50, 50).tril().bool())),
        random(*HEADS),
        640_000,
    ),
    ("nn.MultiheadAttention", Attention(), random((1, 50, 64)), 2_278_400),
    (
        "nn.TransformerEncoderLayer",
        nn.TransformerEncoderLayer(64, 2, 128, batch_first=True),
        random((1, 50, 64)),
        3_916_800,
    ),
    ("nn.LSTM", nn.LSTM(64, 32, batch_first=True), random((1, 50, 64)), 1_228_800),
    ("nn.GRU", nn.GRU(64, 32, batch_first=True), random((1, 50, 64)), 921_600),
]
A, B, C, D, E = 2, 3, 4, 5, 6
MACS = [
    ("linear", nn.Linear(D, E), random((A, B, D)), A * B * D * E),
    ("matrix products in batches", Call(torch.bmm), random((A, C, D), (A, D, E)), A * C * D * E),
    ("baddbmm", Call(torch.baddbmm), random((A, C, E), (A, C, D), (A, D, E)), A * C * D * E),
    ("addmm", Call(torch.addmm), random((C, E), (C, D), (D, E)), C * D * E),
    ("matmul, batch on the right", Call(torch.matmul), random((C, D), (A, D, E)), A * C * D * E),
    ("matmul, batch on the left", Call(torch.matmul), random((A, C, D), (D, E)), A * C * D * E),
    ("matmul, batches broadcast", Call(torch.matmul), random((A, 1, C, D), (B, D, E)), A * B * C * D * E),
    ("matrix times vector", Call(torch.matmul), random((C, D), (D,)), C * D),
    ("vector times matrix", Call(torch.matmul), random((D,), (D, E)), D * E),
    ("batch times vector", Call(torch.matmul), random((A, C, D), (D,)), A * C * D),
    ("vector times vector", Call(torch.matmul), random((D,), (D,)), D),
    ("mv", Call(torch.mv), random((C, D), (D,)), C * D),
    ("dot", Call(torch.dot), random((D,), (D,)), D),
    ("einsum", Call(lambda a, b: torch.einsum("bij, bjk -> bik", a, b)), random((A, C, D), (A, D, E)), A * C * D * E),
    (
        "einsum, many digits",
        Call(lambda a, b: torch.einsum("ij,jk->ik", a, b)),
        random((101, 103), (103, 107)),
        101 * 103 * 107,
    ),
    ("einsum that only transposes", Call(lambda a: torch.einsum("ij->ji", a)), random((C, D)), 0),
    ("convolution 1-D", nn.Conv1d(B, C, 3, stride=2, padding=1), random((A, B, 9)), A * 5 * 3 * B * C),
    ("convolution 2-D", nn.Conv2d(B, C, 3), random((A, B, 8, 7)), A * 6 * 5 * 9 * B * C),
    ("convolution in groups", nn.Conv2d(4, 8, 3, groups=2), random((A, 4, 8, 7)), A * 6 * 5 * 9 * 2 * 8),
    ("convolution of the same size", nn.Conv2d(B, C, 3, padding="same"), random((A, B, 8, 7)), A * 56 * 9 * B * C),
    ("transposed convolution", nn.ConvTranspose2d(B, C, 3, stride=2), random((A, B, 8, 7)), A * 56 * 9 * B * C),
    ("recurrent layer", nn.RNN(D, E), random((B, A, D)), B * A * (D * E + E * E)),
    ("recurrent cell", nn.LSTMCell(D, E), random((A, D)), A * 4 * (D * E + E * E)),
    (
        "LSTM, two layers, two directions, projected",
        nn.LSTM(8, 4, num_layers=2, bidirectional=True, proj_size=2),
        random((5, 3, 8)),
        5 * 3 * 2 * ((16 * 8 + 16 * 2 + 4 * 2) + (16 * 4 + 16 * 2 + 4 * 2)),
    ),
    ("cross-attention block", CrossAttentionBlock(8, heads=2, mlp_ratio=3, dropout=0.1), None, None),
    (
        "norms and pooling",
        nn.Sequential(
            nn.BatchNorm2d(3),
            nn.GroupNorm(3, 3),
            nn.InstanceNorm2d(3, affine=True),
            nn.MaxPool2d(2),
            nn.AvgPool2d(2),
            nn.AdaptiveAvgPool2d(2),
            nn.AdaptiveMaxPool2d(1),
            nn.LayerNorm(1),
            nn.RMSNorm(1),
        ),
        random((2, 3, 16, 16)),
        0,
    ),
    (
        "activations and reshaping",
        nn.Sequential(nn.GELU(), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Flatten(), nn.Dropout(), nn.Softmax(1)),
        random((2, 3, 4)),
        0,
    ),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("module", "inputs", "flops"), [row[1:] for row in FLOPS], ids=[row[0] for row in FLOPS])
def test_the_cases_that_stock_counters_get_wrong(module, inputs, flops, training):
    assert total(module.train(training), inputs) == flops // 2


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("module", "inputs", "macs"), [row[1:] for row in MACS], ids=[row[0] for row in MACS])
def test_operators(module, inputs, macs, training):
    if isinstance(module, CrossAttentionBlock):
        inputs = (*random((1, 5, 8), (1, 7, 8)), torch.ones(1, 7, dtype=torch.bool))
        macs = module.macs(5, 7)
    assert total(module.train(training), inputs) == macs


def test_a_batch_costs_its_samples():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    assert total(layer, random((3, 5, 8))) == 3 * total(layer, random((1, 5, 8)))


def test_the_fast_path_is_switched_back_on():
    before = torch.backends.mha.get_fastpath_enabled()
    count_operators(nn.Linear(2, 2), random((1, 2)))
    assert torch.backends.mha.get_fastpath_enabled() == before


@pytest.mark.parametrize(
    ("function", "inputs", "operator"),
    [
        (torch.cdist, random((3, 4), (5, 4)), "aten::cdist"),
        (torch.linalg.inv, random((3, 3)), "aten::linalg_inv"),
        (torch.linalg.solve, random((3, 3), (3, 3)), "aten::linalg_solve"),
        (torch.fft.rfft, random((3, 8)), "aten::fft_rfft"),
        (torch.addmv, random((3,), (3, 4), (4,)), "aten::addmv"),
        (torch.kron, random((2, 2), (3, 3)), "aten::kron"),
        (nn.Bilinear(3, 4, 5), random((2, 3), (2, 4)), "aten::bilinear"),
        (Square.apply, random((3, 3)), r"prim::PythonOp\.Square"),
        (
            lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c),
            random((2, 3), (3, 4), (4, 5)),
            r"aten::einsum with 'ij,jk,kl->il'",
        ),
    ],
)
def test_an_unknown_operator_is_named_not_counted_as_nothing(function, inputs, operator):
    with pytest.raises(UncountedOperatorError, match=rf"^no MACs are known for the operators? {operator}"):
        count_operators(Call(function), inputs)


def test_all_unknown_operators_are_named_at_once():
    with pytest.raises(UncountedOperatorError, match=r"operators aten::cdist, aten::linalg_inv, so a count would be"):
        count_operators(Call(lambda x: torch.linalg.inv(torch.cdist(x, x))), random((3, 3)))


def test_no_operator_is_both_counted_and_free():
    assert not FREE & HANDLES.keys()
