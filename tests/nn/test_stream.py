"""Streams of every kind and encoder: shapes, masks, stages that do not run, and what is refused."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasfuse.domain.modality import ENCODERS, Modality
from nasfuse.errors import InvalidInputError
from nasfuse.nn.attention import Windows
from nasfuse.nn.build import STREAMS, build_network
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.stream import transformer_stream

PAIRS = [(name, encoder) for name, kind in (("v", "vector"), ("s", "sequence"), ("q", "sequence"), ("i", "image"))
         for encoder in ENCODERS[kind]]  # fmt: skip
SEQUENCES = [(name, encoder) for name, encoder in PAIRS if name in "sq"]


def make_stream(make_config, modalities, task, name, encoder, **options):
    network = build_network(make_config({name: encoder}, **options), list(modalities.values()), task)
    return network.eval(), network.streams[name]


def test_every_encoder_of_a_kind_can_be_built():
    assert set(STREAMS) == {encoder for encoders in ENCODERS.values() for encoder in encoders}


@pytest.mark.parametrize(("name", "encoder"), PAIRS)
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_the_extent_is_that_of_the_tokens(make_config, modalities, make_batch, task, name, encoder, stride):
    _, stream = make_stream(make_config, modalities, task, name, encoder, stride=stride, reducer=("average", 0.4))
    for n_stages in (0, 1, 2):
        tokens = stream(make_batch([name]).inputs[name], None, n_stages=n_stages)
        _, extent = stream.macs(modalities[name].shape[0], n_stages=n_stages)
        assert tokens.values.shape == (3, extent.n_tokens, 8)
        assert tokens.grid == extent.grid


@pytest.mark.parametrize(("name", "encoder"), PAIRS)
def test_stages_beyond_the_route_do_not_run(make_config, modalities, make_batch, task, name, encoder):
    _, stream = make_stream(make_config, modalities, task, name, encoder, depth=3)
    stream.stages[1].register_forward_hook(lambda *_: pytest.fail("stage 2 ran"))
    stream(make_batch([name]).inputs[name], None, n_stages=1)


def assert_alone_as_together(network, modalities, make_batch, name, lengths):
    longest = modalities[name].shape[0]
    batch = make_batch([name], n_samples=len(lengths), lengths={name: lengths})
    with torch.no_grad():
        together = network(batch.inputs, batch.masks)
        assert torch.isfinite(together).all()

        other = make_batch([name], n_samples=len(lengths)).inputs[name]
        mask = batch.masks[name].view(len(lengths), longest, *[1] * (other.dim() - 2))
        garbage = torch.where(mask, batch.inputs[name], other if name == "q" else 1000 * other)
        assert torch.allclose(network({name: garbage}, batch.masks), together, atol=1e-5), "padding matters"

        for row, length in enumerate(lengths):
            shown = max(length, 1)
            inputs = {name: batch.inputs[name][row : row + 1, :shown]}
            alone = network(inputs, {name: batch.masks[name][row : row + 1, :shown]})
            assert torch.allclose(alone[0], together[row], atol=1e-5), "the batch matters"


@pytest.mark.parametrize(("name", "encoder"), SEQUENCES)
@pytest.mark.parametrize(("stride", "keep_ratio"), [(1, 1.0), (2, 0.5), (3, 0.2)])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_sample_does_not_depend_on_its_batch_or_its_padding(
    make_config, modalities, make_batch, task, name, encoder, stride, keep_ratio, data
):
    lengths = data.draw(st.lists(st.integers(0, modalities[name].shape[0]), min_size=3, max_size=3))
    network, _ = make_stream(make_config, modalities, task, name, encoder, stride=stride, reducer=("max", keep_ratio))
    assert_alone_as_together(network, modalities, make_batch, name, lengths)


@pytest.mark.parametrize("kind", REDUCERS)
@pytest.mark.parametrize("window", [None, 2, 4, 5])
@pytest.mark.parametrize("readout", ["mean", "cls"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(0, 11), min_size=3, max_size=3), keep_ratio=st.sampled_from([0.2, 0.5, 0.7]))
def test_nor_with_any_reducer_window_and_readout(
    make_config, modalities, make_batch, task, kind, window, readout, lengths, keep_ratio
):
    options = {"reducer": (kind, keep_ratio), "window": window, "readout": readout, "depth": 3}
    network, _ = make_stream(make_config, modalities, task, "s", "transformer", **options)
    assert_alone_as_together(network, modalities, make_batch, "s", lengths)


@pytest.mark.parametrize(("name", "encoder"), SEQUENCES)
def test_a_full_mask_is_no_mask(make_config, modalities, make_batch, task, name, encoder):
    network, _ = make_stream(make_config, modalities, task, name, encoder, stride=2, reducer=("average", 0.4))
    full = make_batch([name], lengths={name: [modalities[name].shape[0]] * 3})
    assert torch.allclose(network(full.inputs, full.masks), network(full.inputs, {}), atol=1e-5)


@pytest.mark.parametrize(("name", "encoder"), SEQUENCES)
def test_gradients_are_finite_where_a_sequence_is_empty(make_config, modalities, make_batch, task, name, encoder):
    network, _ = make_stream(make_config, modalities, task, name, encoder, stride=2)
    batch = make_batch([name], lengths={name: [0, 4, 0]})
    network(batch.inputs, batch.masks).sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", ["s", "q"])
def test_an_empty_sequence_costs_one_step(make_config, modalities, task, name):
    for encoder in ENCODERS["sequence"]:
        _, stream = make_stream(make_config, modalities, task, name, encoder, stride=2)
        assert stream.macs(0, n_stages=2) == stream.macs(1, n_stages=2)


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


def test_one_id_per_token_is_the_embedding_alone(make_config, task):
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
