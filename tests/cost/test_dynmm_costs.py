"""The costs that DynMM (Xue & Marculescu, 2023) publishes, in its convention and in full, from its networks."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasfuse.cost import count_operators
from nasfuse.domain.modality import Task
from nasfuse.train.gate_table import GateTable
from nasfuse.train.routing import resource_loss

STEPS = 50  # of a MOSEI sample
VIDEO, AUDIO, TEXT = 35, 74, 300


class Mlp(nn.Sequential):
    def __init__(self, *widths):
        linear = [nn.Linear(before, after) for before, after in itertools.pairwise(widths)]
        super().__init__(*[layer for one in linear for layer in (one, nn.ReLU())][:-1])


class Maxout(nn.Module):
    """A linear layer to pairs, of which the larger passes."""

    def __init__(self, in_width, out_width):
        super().__init__()
        self.pairs = nn.Linear(in_width, 2 * out_width)

    def forward(self, x):
        return self.pairs(x).unflatten(1, (-1, 2)).amax(dim=2)


class LateFusion(nn.Module):
    """The costly MM-IMDB expert: text (b, 300) and image (b, 4096)."""

    def __init__(self):
        super().__init__()
        self.text = nn.Sequential(nn.BatchNorm1d(300), *self.block(300, 512), *self.block(512, 512))
        self.image = nn.Sequential(nn.BatchNorm1d(4096), *self.block(4096, 1024), *self.block(1024, 512))
        self.head = nn.Linear(1024, 23)

    @staticmethod
    def block(in_width, out_width):
        return Maxout(in_width, out_width), nn.BatchNorm1d(out_width), nn.Dropout(0.3)

    def forward(self, text, image):
        return self.head(torch.cat([self.text(text), self.image(image)], dim=1))


class Tran(nn.Module):
    """Five encoder layers on (b, t, n); the last step comes out."""

    def __init__(self, in_width, width):
        super().__init__()
        self.project = nn.Conv1d(in_width, width, 1, bias=False)
        layer = nn.TransformerEncoderLayer(width, 5, 2048, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 5, enable_nested_tensor=False)

    def forward(self, x):
        return self.layers(self.project(x.transpose(1, 2)).transpose(1, 2))[:, -1]


class SequenceExpert(nn.Module):
    """One `Tran` per modality and an MLP on their concatenation."""

    def __init__(self, trans, mlp):
        super().__init__()
        self.trans = nn.ModuleList(trans)
        self.mlp = mlp

    def forward(self, *sequences):
        return self.mlp(torch.cat([tran(x) for tran, x in zip(self.trans, sequences, strict=True)], dim=1))


class JointGate(nn.Module):
    """Reads all modalities, concatenated."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, *inputs):
        return self.network(torch.cat(inputs, dim=-1))


def sequences(*widths):
    return tuple(torch.zeros(1, STEPS, width) for width in widths)


TEXT_IMAGE = (torch.zeros(1, 300), torch.zeros(1, 4096))
ALL = sequences(VIDEO, AUDIO, TEXT)
IMDB = {
    "E1": (lambda: nn.Sequential(Mlp(300, 512, 512), nn.ReLU(), Mlp(512, 512, 23)), TEXT_IMAGE[:1]),
    "image": (lambda: nn.Sequential(Mlp(4096, 1024, 512), nn.ReLU(), Mlp(512, 512, 23)), TEXT_IMAGE[1:]),
    "E2": (LateFusion, TEXT_IMAGE),
    "gate": (lambda: JointGate(Mlp(4396, 128, 2)), TEXT_IMAGE),
}
MOSEI = {
    "E1": (lambda: SequenceExpert([Tran(TEXT, 120)], Mlp(120, 64, 1)), ALL[2:]),
    "video": (lambda: SequenceExpert([Tran(VIDEO, 120)], Mlp(120, 64, 1)), ALL[:1]),
    "audio": (lambda: SequenceExpert([Tran(AUDIO, 120)], Mlp(120, 64, 1)), ALL[1:2]),
    "E2": (
        lambda: SequenceExpert([Tran(VIDEO, 60), Tran(AUDIO, 120), Tran(TEXT, 120)], Mlp(300, 128, 1)),
        ALL,
    ),
    "gate": (lambda: JointGate(nn.Sequential(Tran(VIDEO + AUDIO + TEXT, 10), nn.Linear(10, 2))), ALL),
}


def thop(module, inputs):
    """MACs as the paper counts them: attention and layer norms are free, batch norms and biases of kernels are not."""
    total = 0

    def note(layer, arguments, output):
        nonlocal total
        if isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features
        elif isinstance(layer, nn.Conv1d | nn.Conv2d):
            total += output.numel() * (layer.weight[0].numel() + (layer.bias is not None))
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            total += 2 * output.numel()

    hooks = [layer.register_forward_hook(note) for layer in module.modules()]
    module.eval()(*inputs)  # with gradients, so that no fused path goes round the layers
    for hook in hooks:
        hook.remove()
    return total


def in_full(module, inputs):
    return sum(count_operators(module.eval(), inputs).values())


@pytest.fixture(scope="module")
def counted():
    """Counts in the paper's convention, by data set and network."""
    networks = {"imdb": IMDB, "mosei": MOSEI}
    return {data: {name: thop(make(), x) for name, (make, x) in known.items()} for data, known in networks.items()}


def test_mm_imdb_as_published(counted):
    assert counted["imdb"] == {"E1": 689_664, "image": 4_992_512, "E2": 10_306_136, "gate": 562_944}
    gate = counted["imdb"]["gate"]
    assert counted["imdb"]["E1"] + gate == 1_252_608
    assert counted["imdb"]["E2"] + gate == 10_869_080


def test_mosei_as_published(counted):
    assert counted["mosei"] == {
        "E1": 124_687_744,
        "video": 123_097_744,
        "audio": 123_331_744,
        "E2": 309_587_528,
        "gate": 10_444_520,
    }
    gate = counted["mosei"]["gate"]
    assert counted["mosei"]["E1"] + gate == 135_132_264
    assert counted["mosei"]["E2"] + gate == 320_032_048


@pytest.mark.parametrize(("data", "constants"), [("imdb", (1.25261, 10.86908)), ("mosei", (135.13226, 320.03205))])
def test_the_constants_of_the_released_code(counted, data, constants):
    macs = [counted[data][name] + counted[data]["gate"] for name in ("E1", "E2")]
    assert tuple(round(one / 1e6, 5) for one in macs) == constants


def test_batch_norms_are_all_that_separates_mm_imdb_from_a_count_in_full(counted):
    full = {name: in_full(make(), x) for name, (make, x) in IMDB.items()}
    assert full == {**counted["imdb"], "E2": 10_292_224}
    assert counted["imdb"]["E2"] - full["E2"] == 13_912


def test_attention_counted_mosei_costs_more():
    full = {name: in_full(make(), x) for name, (make, x) in MOSEI.items() if name in ("E1", "E2", "gate")}
    assert full == {"E1": 142_087_744, "E2": 349_487_528, "gate": 10_794_520}
    assert full["E1"] + full["gate"] == 152_882_264
    assert full["E2"] + full["gate"] == 360_282_048


@pytest.mark.parametrize("width", [10, 60, 120])
def test_a_tran_follows_its_formula(width):
    t, n, d, layers, hidden = STEPS, AUDIO, width, 5, 2048
    tran, x = Tran(n, d), sequences(n)
    paper = t * n * d + 2 * layers * t * d * hidden
    assert thop(tran, x) == paper
    assert in_full(tran, x) == paper + layers * (4 * t * d**2 + 2 * t**2 * d)


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (IMDB, {"E1": "0.691", "E2": "10.311", "gate": "0.563"}),
        (MOSEI, {"E1": "2.805", "E2": "6.922", "gate": "0.222"}),
    ],
)
def test_parameters_in_millions(networks, expected):
    found = {name: sum(p.numel() for p in networks[name][0]().parameters()) for name in expected}
    assert {name: f"{n / 1e6:.3f}" for name, n in found.items()} == expected


# (data, share of samples on E2, published MMAC)
ROWS = [
    ("imdb", 0.036, 1.6),
    ("imdb", 0.681, 7.8),
    ("imdb", 0.889, 9.8),
    ("mosei", 0.164, 165.5),
    ("mosei", 0.646, 254.5),
    ("mosei", 0.869, 295.8),
]


def table_of(macs, *, n_samples, n_up):
    """Two routes at `macs`; the gate prefers the second for `n_up` of the samples."""
    gate = torch.zeros(n_samples, 2)
    gate[:, 1] = torch.where(torch.arange(n_samples) < n_up, 1.0, -1.0)
    return GateTable(
        names=("E1", "E2"),
        gate=gate,
        digests=torch.zeros(n_samples, 2, 2),
        macs=torch.tensor([macs]).expand(n_samples, -1),
        static_macs=torch.tensor([macs]).expand(n_samples, -1),
        relative_costs=torch.tensor([0.0, 1.0]),
        targets=torch.zeros(n_samples, dtype=torch.int64),
        metric="accuracy",
        task=Task("multiclass", 2),
    )


@pytest.mark.parametrize(("data", "share", "published"), ROWS)
def test_the_expected_cost_is_the_published_one(counted, data, share, published):
    macs = [counted[data][name] + counted[data]["gate"] for name in ("E1", "E2")]
    n_samples, n_up = 1000, round(1000 * share)
    # Both figures are rounded: the cost to a tenth, the share to a thousandth.
    tolerance = 0.05e6 + 0.0005 * (macs[1] - macs[0])
    assert table_of(macs, n_samples=n_samples, n_up=n_up).at(0.5).macs == pytest.approx(published * 1e6, abs=tolerance)
    weights = F.one_hot((torch.arange(n_samples) < n_up).long(), 2).double()
    expected = float(resource_loss(weights, torch.tensor(macs, dtype=torch.float64)))
    assert expected == pytest.approx(macs[0] + n_up / n_samples * (macs[1] - macs[0]), rel=1e-12)
    assert expected == pytest.approx(published * 1e6, abs=tolerance)


@pytest.mark.parametrize(
    ("data", "name", "published"),
    [
        *[("imdb", "E1", 0.7), ("imdb", "image", 5.0), ("imdb", "E2", 10.3)],
        *[("mosei", "E1", 124.7), ("mosei", "video", 123.1), ("mosei", "audio", 123.3), ("mosei", "E2", 309.6)],
    ],
)
def test_the_static_rows(counted, data, name, published):
    assert round(counted[data][name] / 1e6, 1) == published


def test_the_soft_gate_counts_the_gate_twice(counted):
    cheap, full, gate = (counted["imdb"][name] for name in ("E1", "E2", "gate"))
    assert round((cheap + full + 2 * gate) / 1e6, 1) == 12.1
    assert round((cheap + full + gate) / 1e6, 2) == 11.56


@pytest.mark.parametrize(("row", "saving"), [(165.5, 46.5), (254.5, 17.8), (295.8, 4.5)])
def test_the_published_savings(counted, row, saving):
    assert round(100 * (1 - row / round(counted["mosei"]["E2"] / 1e6, 1)), 1) == saving
