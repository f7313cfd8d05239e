"""The counter against the closed form of every network, to the unit, and against torch's own counter."""

import copy
import zlib
from itertools import product

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasfuse.cost import count_network
from nasfuse.domain.modality import ENCODERS
from nasfuse.nn import build_network
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.schema.fields import accepts

KINDS = {"v": "vector", "s": "sequence", "q": "sequence", "i": "image"}
# A fifth or a third of all fusions with all pairs of encoders. Streams know neither each other nor their fusion, and
# the fusion knows nothing of an encoder but the shape of its features; so it is enough that each meets each other one.
CASES = [
    pytest.param(kind, ((first, a), (second, b)), id=f"{first}:{a}+{second}:{b}-{kind}")
    for first, second, share in (("s", "i", 5), ("q", "v", 3))
    for (i, a), (j, b), (k, kind) in product(
        enumerate(ENCODERS[KINDS[first]]), enumerate(ENCODERS[KINDS[second]]), enumerate(FUSIONS)
    )
    if (i + j + k) % share == 0
]
# Placements around and beyond the depth of 2, strides that do not divide the sizes, every reducer, windows, CLS: each
# case of a fusion and a pair of encoders takes one of each, and together they take all.
SHAPES = {
    "placement": (0, 1, 3),
    "stride": (1, 2, 5),
    "reducer": [(kind, ratio) for kind in REDUCERS for ratio in (1.0, 0.3)],
    "window": (None, 2, 4),
    "readout": ("mean", "cls"),
}
MODES = tuple(product((True, False), (True, False)))


def shape_of(kind, pair):
    return {name: values[zlib.crc32(f"{name}{kind}{pair}".encode()) % len(values)] for name, values in SHAPES.items()}


def one_sample(make_batch, names, *, masked):
    longest = {"s": 11, "q": 9}
    lengths = {name: [longest[name]] for name in names if name in longest} if masked else {}
    return make_batch(names, n_samples=1, lengths=lengths)


def assert_equal(network, make_batch, names, *, modes=MODES):
    """Compares both counts in `modes`: pairs of whether the network is in training mode and its input masked."""
    closed = network.macs({"s": 11, "q": 9})
    assert isinstance(closed, int)
    for training, masked in modes:
        counted = count_network(network.train(training), one_sample(make_batch, names, masked=masked))
        assert counted == closed, f"training {training}, masked {masked}"


def mode_of(kind, pair):
    return MODES[zlib.crc32(f"mode{kind}{pair}".encode()) % len(MODES)]


@pytest.mark.parametrize(("kind", "pair"), CASES)
def test_two_streams(make_config, modalities, make_batch, task, kind, pair):
    config = make_config(dict(pair), fusion=kind, **shape_of(kind, pair), dropout=0.1)
    network = build_network(config, list(modalities.values()), task)
    assert_equal(network, make_batch, [name for name, _ in pair], modes=[mode_of(kind, pair)])


def test_the_cases_above_take_every_shape_in_turn():
    taken = [shape_of(*case.values) for case in CASES]
    assert {name: {shape[name] for shape in taken} for name in SHAPES} == {
        name: set(values) for name, values in SHAPES.items()
    }


def test_in_the_cases_above_every_fusion_meets_every_encoder_and_mode_and_every_encoder_those_of_the_other_stream():
    cases = [case.values for case in CASES]
    every = [(name, encoder) for name, kind in KINDS.items() for encoder in ENCODERS[kind]]
    assert {(kind, one) for kind, pair in cases for one in pair} == set(product(FUSIONS, every))
    assert {(kind, mode_of(kind, pair)) for kind, pair in cases} == set(product(FUSIONS, MODES))
    assert {pair for _, pair in cases} == {
        pair for pair in product(every, every) if (pair[0][0], pair[1][0]) in (("s", "i"), ("q", "v"))
    }


@pytest.mark.parametrize("kind", FUSIONS)
def test_four_streams(make_config, modalities, make_batch, task, kind):
    encoders = {"v": "mlp", "s": "conv", "q": "transformer", "i": "transformer"}
    network = build_network(make_config(encoders, fusion=kind, stride=2), list(modalities.values()), task)
    assert_equal(network, make_batch, list(encoders))


@pytest.mark.parametrize(("name", "encoder"), [(n, e) for n, kind in KINDS.items() for e in ENCODERS[kind]])
@pytest.mark.parametrize("stride", [1, 4])
def test_one_stream(make_config, modalities, make_batch, task, name, encoder, stride):
    config = make_config({name: encoder}, stride=stride, reducer=("average", 0.4), depth=3)
    network = build_network(config, list(modalities.values()), task)
    assert_equal(network, make_batch, [name])


@pytest.mark.parametrize("kind", REDUCERS)
@pytest.mark.parametrize(("window", "readout"), [(None, "mean"), (3, "cls")])
@pytest.mark.parametrize(("name", "ratio"), [("s", 0.15), ("i", 0.4)])
def test_one_transformer(make_config, modalities, make_batch, task, kind, window, readout, name, ratio):
    config = make_config({name: "transformer"}, reducer=(kind, ratio), window=window, readout=readout)
    network = build_network(config, list(modalities.values()), task)
    mode = MODES[zlib.crc32(f"mode{kind}{window}{name}".encode()) % len(MODES)]
    assert_equal(network, make_batch, [name], modes=[mode])


@pytest.mark.parametrize("kind", [kind for kind in REDUCERS if accepts(NetworkConfig, "fusion.reducer.kind", kind)])
@pytest.mark.parametrize("at", [None, 2])
def test_joint_tokens_with_a_reducer(make_config, modalities, make_batch, task, kind, at):
    config = make_config({"s": "transformer", "i": "transformer"}, fusion="joint_tokens", placement=0, depth=3)
    plain = config.to_plain()
    plain["fusion"]["reducer"] = {"kind": kind, "keep_ratio": 0.3, "at": at}
    network = build_network(NetworkConfig.parse(plain), list(modalities.values()), task)
    assert_equal(network, make_batch, ["s", "i"])


@pytest.mark.parametrize("encoder", ENCODERS["sequence"])
@pytest.mark.parametrize("length", [1, 2, 5, 10])
def test_shorter_sequences(make_config, modalities, make_batch, task, encoder, length):
    config = make_config({"s": encoder, "q": encoder}, fusion="cross_attention", stride=3, reducer=("max", 0.3))
    network = build_network(config, list(modalities.values()), task).eval()
    batch = one_sample(make_batch, ["s", "q"], masked=True)
    for part in (batch.inputs, batch.masks):
        for name in ("s", "q"):
            part[name] = part[name][:, : min(length, 9)]
    assert count_network(network, batch) == network.macs({"s": min(length, 9), "q": min(length, 9)})


def test_the_count_is_per_sample(make_config, modalities, make_batch, task):
    config = make_config({"s": "transformer", "i": "conv"}, fusion="joint_tokens")
    network = build_network(config, list(modalities.values()), task)
    assert count_network(network, make_batch(["s", "i"], n_samples=5)) == network.macs({"s": 11})


@pytest.mark.parametrize("kind", FUSIONS)
def test_torch_agrees_on_the_meta_device(make_config, modalities, make_batch, task, kind):
    encoders = {"s": "transformer", "i": "conv", "v": "mlp"}
    network = build_network(make_config(encoders, fusion=kind, stride=2), list(modalities.values()), task).eval()
    batch = one_sample(make_batch, list(encoders), masked=True).to(torch.device("meta"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(network).to("meta")(batch.inputs, batch.masks)
    assert counter.get_total_flops() == 2 * network.macs({"s": 11})
