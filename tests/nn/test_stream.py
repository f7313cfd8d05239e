"""Streams of every kind and encoder: the conformance suite, then reducers, windows, CLS tokens, and what is refused."""

import pytest
import torch

from nasfuse.domain.modality import ENCODERS, Modality
from nasfuse.errors import InvalidInputError
from nasfuse.nn.attention import Windows
from nasfuse.nn.build import STREAMS, build_network
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.stream import transformer_stream
from nasfuse.testing import EncoderSuite
from nasfuse.testing.encoder import assert_samples_are_independent
from nasfuse.testing.inputs import MODALITIES

PAIRS = [(name, encoder) for name, kind in (("v", "vector"), ("s", "sequence"), ("q", "sequence"), ("i", "image"))
         for encoder in ENCODERS[kind]]  # fmt: skip

#: Stride, keep ratio of a pooling reducer, and readout; an MLP and a linear stream have none of them.
SHAPES = [(1, 1.0, "mean"), (2, 0.5, "cls"), (3, 0.2, "mean"), (5, 0.4, "cls")]

CASES = [(*pair, shape) for pair in PAIRS for shape in (SHAPES[:1] if pair[1] in ("mlp", "linear") else SHAPES)]


class TestSuite(EncoderSuite):
    @pytest.fixture(params=CASES, ids=str)
    def case(self, request):
        return request.param

    @pytest.fixture
    def modality(self, case):
        return MODALITIES[case[0]]

    @pytest.fixture
    def make_encoder(self, case, make_config, task):
        _, encoder, (stride, keep_ratio, readout) = case

        def make(modality, *, depth):
            options = {"stride": stride, "reducer": ("average", keep_ratio), "readout": readout, "depth": depth}
            config = make_config({modality.name: encoder}, **options)
            return build_network(config, [modality], task).streams[modality.name]

        return make


def make_stream(make_config, modalities, task, name, encoder, **options):
    network = build_network(make_config({name: encoder}, **options), list(modalities.values()), task)
    return network.eval(), network.streams[name]


def test_every_encoder_of_a_kind_can_be_built():
    assert set(STREAMS) == {encoder for encoders in ENCODERS.values() for encoder in encoders}


@pytest.mark.parametrize("kind", REDUCERS)
@pytest.mark.parametrize("window", [None, 2, 4, 5])
@pytest.mark.parametrize("readout", ["mean", "cls"])
def test_samples_are_independent_with_any_reducer_window_and_readout(
    make_config, modalities, task, kind, window, readout
):
    for keep_ratio in (0.2, 0.5, 0.7):
        options = {"reducer": (kind, keep_ratio), "window": window, "readout": readout, "depth": 3}
        _, stream = make_stream(make_config, modalities, task, "s", "transformer", **options)
        assert_samples_are_independent(stream, modalities["s"])


@pytest.mark.parametrize("encoder", ["conv", "transformer"])
def test_a_stride_longer_than_the_input_is_refused(make_config, modalities, task, encoder):
    with pytest.raises(
        InvalidInputError, match=r"^stride 12 of stream s is longer than its 11 steps; make it smaller$"
    ):
        make_stream(make_config, modalities, task, "s", encoder, stride=12)
    with pytest.raises(
        InvalidInputError, match=r"^stride 7 of stream i is longer than a side of its 7 x 6 image; make it smaller$"
    ):
        make_stream(make_config, modalities, task, "i", encoder, stride=7)


def test_tokens_of_one_id_need_no_projection(make_config, task):
    ids = {"q": Modality("q", "sequence", (9,), 13)}
    _, stream = make_stream(make_config, ids, task, "q", "transformer", depth=0, stride=1)
    assert stream.macs(9, n_stages=0)[0] == 0
    _, stream = make_stream(make_config, ids, task, "q", "transformer", depth=0, stride=2)
    assert stream.macs(9, n_stages=0)[0] == 5 * 2 * 8 * 8


def test_cls_begins_as_the_mean_of_the_tokens(make_config, modalities, make_batch, task):
    _, stream = make_stream(make_config, modalities, task, "s", "transformer", readout="cls", stride=2)
    batch = make_batch(["s"], lengths={"s": [0, 3, 11]})
    tokens = stream(batch.inputs["s"], batch.masks["s"], n_stages=0)
    assert torch.allclose(tokens.cls, stream.stem.cls + tokens.mean(), atol=1e-6)
    assert torch.equal(tokens.summary(), tokens.cls)
    assert stream.macs(11, n_stages=0)[1].n_all == 7


@pytest.mark.parametrize(
    ("at", "counts"), [(None, [11, 6, 3, 2]), (1, [11, 6, 6, 6]), (2, [11, 11, 6, 6]), (9, [11, 11, 11, 6])]
)
def test_one_stage_or_every_stage_reduces(modalities, make_batch, at, counts):
    reducer = {"kind": "max", "keep_ratio": 0.5, "inference_keep_ratio": None, "at": at}
    stream = transformer_stream(
        modalities["s"], depth=3, width=8, dropout=0.0, heads=2, mlp_ratio=1, stride=1, window=None, readout="mean",
        reducer=reducer,
    )  # fmt: skip
    inputs = make_batch(["s"]).inputs["s"]
    for n_stages, count in enumerate(counts):
        assert stream(inputs, None, n_stages=n_stages).values.shape[1] == count
        assert stream.macs(11, n_stages=n_stages)[1].n_tokens == count


def test_shifted_windows_stand_in_every_second_stage(make_config, modalities, task):
    options = {"window": 4, "depth": 4, "reducer": ("max", 1.0)}
    _, stream = make_stream(make_config, modalities, task, "s", "transformer", **options)
    windows = [stage.block.attention.windows for stage in stream.stages]
    assert windows == [Windows(4), Windows(4, 2), Windows(4), Windows(4, 2)]
    _, stream = make_stream(make_config, modalities, task, "s", "transformer", **{**options, "window": 11})
    assert all(stage.block.attention.windows is None for stage in stream.stages), "one window is full attention"
