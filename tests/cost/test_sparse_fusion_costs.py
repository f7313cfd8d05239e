"""The published costs of sparse fusion transformers (Ding et al., 2021), their baselines and MulT, from our blocks."""

import pytest

from benchmarks.published_transformers import (
    IEMOCAP_UNALIGNED,
    MOSEI,
    MOSEI_ALIGNED,
    MOSEI_KERNELS,
    MOSEI_UNALIGNED,
    MOSI_ALIGNED,
    MOSI_UNALIGNED,
    VGG100,
    VGG100_KERNELS,
    Concat,
    LateFusion,
    Mbt,
    MulT,
    Sft,
)
from nasfuse.cost import count_operators

SHAPES = {"mosei": (MOSEI, MOSEI_KERNELS), "vgg100": (VGG100, VGG100_KERNELS)}
#: From a shape and SFT's strides to the system.
SYSTEMS = {
    "sft": lambda shape, kernels: Sft(shape, kernels=kernels),
    "sft, 5 tokens": lambda shape, _: Sft.with_tokens(shape, 5),
    "sft, stride 16": lambda shape, _: Sft(shape, kernels=(16, 16, 16)),
    "sft, stride 4": lambda shape, _: Sft(shape, kernels=(4, 4, 4)),
    "sft, no pooling": lambda shape, _: Sft(shape, kernels=(1, 1, 1)),
    "sft 6 + 6": lambda shape, kernels: Sft(shape, kernels=kernels, n_before=6, n_after=6),
    "concat": lambda shape, _: Concat(shape),
    "concat, pool 64": lambda shape, _: Concat(shape, kernel=64),
    "late fusion": lambda shape, _: LateFusion(shape),
    "mbt": lambda shape, _: Mbt(shape),
    "mult 4": lambda shape, _: MulT(shape, heads=5, n_layers=4, cls=True),
    "mult 6": lambda shape, _: MulT(shape, heads=5, n_layers=6, cls=True),
}
# (system, MMAC and thousands of parameters as published, for MOSEI and VGG100)
ROWS = [
    ("sft", (102.3, 263.6), (217.6, 301.2)),
    ("sft, 5 tokens", (102.3, 262.7), (217.6, 301.2)),
    ("sft, stride 16", (111.2, 275.1), (217.6, 301.2)),
    ("sft, stride 4", (189.0, 384.2), (217.6, 301.2)),
    ("sft, no pooling", (1183, 1831), (217.6, 301.2)),
    ("sft 6 + 6", (353.8, 902.0), (316.8, 400.4)),
    ("concat", (1188.5, 1727), (178.1, 261.7)),
    ("concat, pool 64", (103.6, 154.9), (178.1, 261.7)),
    ("late fusion", (610.7, 1547), (416.2, 499.7)),
    ("mbt", (612.5, 1549), (416.2, 499.7)),
    ("mult 4", (1004, 1585), (1584, 1686)),
    ("mult 6", (1505, 2372), (2288, 2390)),
]
# (data, system, MACs, whether the published figure has the head in it)
EXACT = [
    ("mosei", "sft", 102_279_640, True),
    ("mosei", "sft, stride 16", 111_167_640, True),
    ("mosei", "sft, stride 4", 189_006_280, True),
    ("mosei", "sft, no pooling", 1_183_399_240, True),
    ("mosei", "concat", 1_188_542_240, False),
    ("mosei", "concat, pool 64", 103_643_040, False),
    ("mosei", "late fusion", 610_677_200, False),
    ("mosei", "mbt", 612_469_280, False),
    ("vgg100", "sft", 263_601_520, True),
    ("vgg100", "concat", 1_727_005_120, False),
    ("vgg100", "concat, pool 64", 154_866_640, False),
    ("vgg100", "late fusion", 1_546_793_520, False),
    ("vgg100", "mbt", 1_548_911_040, False),
]
CODE = {"width": 30, "heads": 5, "n_layers": 5}  # the default of the released code
PAPER = {"width": 40, "heads": 8, "n_layers": 4}
# (shape, options, MACs: exact or rounded to .1 M, thousands of parameters)
MULT = [
    (MOSI_ALIGNED, CODE, 58_152_480, 1071.2),
    (MOSI_ALIGNED, PAPER, 79_485_440, 1537.2),
    (MOSI_UNALIGNED, CODE, 675.2e6, 1071.2),
    (MOSI_UNALIGNED, PAPER, 827.0e6, 1537.2),
    (MOSEI_ALIGNED, CODE, 58_278_480, 1073.7),
    (MOSEI_ALIGNED, PAPER, 79_653_440, 1540.6),
    (MOSEI_UNALIGNED, CODE, 823.8e6, 1073.7),
    (MOSEI_UNALIGNED, PAPER, 1_000_335_440, 1540.6),
    (IEMOCAP_UNALIGNED, CODE, 676.8e6, 1075.0),
    (IEMOCAP_UNALIGNED, PAPER, 828.4e6, 1542.3),
]


def counted(system, shape):
    """MACs of a real forward pass of one sample."""
    return sum(count_operators(system.eval(), (shape.inputs(1),)).values())


@pytest.fixture(scope="module")
def costs():
    """From data set and system to (closed form, counted, head); each is counted once."""
    known = {}

    def cost(data, name):
        if (data, name) not in known:
            shape, kernels = SHAPES[data]
            system = SYSTEMS[name](shape, kernels)
            known[data, name] = system.macs(), counted(system, shape), system.macs_by_part()["head"]
        return known[data, name]

    return cost


def published_parameters(system):
    """Without what our systems have more of: affine norms before attention, norms of sources, learned bottlenecks."""
    more = ("norm_source.weight", "norm_source.bias", "bottlenecks")
    if not isinstance(system, MulT):  # its norms are affine
        more += (".norm.weight", ".norm.bias")
    return sum(p.numel() for name, p in system.named_parameters() if not name.endswith(more))


@pytest.mark.parametrize("data", SHAPES)
@pytest.mark.parametrize(("name", "mmacs", "_parameters"), ROWS)
def test_macs_as_published(costs, data, name, mmacs, _parameters):
    closed, found, _ = costs(data, name)
    assert closed == found
    assert closed / 1e6 == pytest.approx(mmacs[data == "vgg100"], rel=1e-3)


@pytest.mark.parametrize(("data", "name", "macs", "with_head"), EXACT)
def test_exact_macs(costs, data, name, macs, with_head):
    closed, found, head = costs(data, name)
    without = 0 if with_head else head
    assert (closed - without, found - without) == (macs, macs)


@pytest.mark.parametrize("data", SHAPES)
@pytest.mark.parametrize(("name", "_mmacs", "thousands"), ROWS)
def test_parameters_as_published(data, name, _mmacs, thousands):
    shape, kernels = SHAPES[data]
    expected = thousands[data == "vgg100"]
    found = published_parameters(SYSTEMS[name](shape, kernels)) / 1e3
    assert round(found, 1 if isinstance(expected, float) else None) == expected


@pytest.mark.parametrize(
    ("data", "n_fused", "parts"),
    [
        ("mosei", 16, (2_780_000, 50_477_040, 47_107_440, 1_914_880, 280)),
        ("vgg100", 21, (9_256_960, 127_913_840, 123_821_040, 2_605_680, 4_000)),
    ],
)
def test_where_the_cost_of_sft_is(data, n_fused, parts):
    shape, kernels = SHAPES[data]
    system = Sft(shape, kernels=kernels)
    assert system.n_fused() == n_fused
    assert tuple(system.macs_by_part().values()) == parts
    # Counted, by what a part less takes away.
    full = counted(system, shape)
    tokenizers = sum(
        sum(count_operators(one, (x,)).values()) for one, x in zip(system.tokenizers, shape.inputs(1), strict=True)
    )
    unimodal = full - counted(Sft(shape, kernels=kernels, n_before=0), shape)
    fused = full - counted(Sft(shape, kernels=kernels, n_after=0), shape)
    assert (tokenizers, unimodal, fused) == (parts[0], parts[1], parts[3])
    assert full - tokenizers - unimodal - fused == parts[2] + parts[4]


@pytest.mark.parametrize(("kernels", "n_fused"), [((16,) * 3, 66), ((4,) * 3, 263), ((1,) * 3, 1051)])
def test_fused_tokens_by_stride(kernels, n_fused):
    assert Sft(MOSEI, kernels=kernels).n_fused() == n_fused


@pytest.mark.parametrize(("shape", "options", "macs", "thousands"), MULT)
def test_mult_as_published(shape, options, macs, thousands):
    system = MulT(shape, **options)
    closed = system.macs()
    assert closed == counted(system, shape)
    assert (closed if isinstance(macs, int) else round(closed / 1e5) * 1e5) == macs
    assert round(published_parameters(system) / 1e3, 1) == thousands


@pytest.mark.parametrize("data", SHAPES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_logits_come_out(data, name):
    shape, kernels = SHAPES[data]
    assert SYSTEMS[name](shape, kernels)(shape.inputs(1)).shape == (1, shape.n_outputs)
