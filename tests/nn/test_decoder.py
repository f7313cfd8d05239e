"""Decoders, and networks for label maps: sizes, costs, conditional execution, and what is refused."""

import pytest
import torch
from torch.nn import functional as F

from nasfuse.cost import count_network
from nasfuse.data.dataset import Batch
from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import ConfigError, InvalidInputError
from nasfuse.nn import build_network
from nasfuse.nn.decoder import Decoder, LearnedUpsampling
from nasfuse.nn.routing import router, sequential
from nasfuse.nn.tokens import from_map
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks.multiclass import Multiclass
from nasfuse.testing.router import AllOutputs

SIZE = (37, 22)
TASK = Task("segmentation", 5, SIZE)
RGB, DEPTH = (Modality(name, "image", (channels, *SIZE)) for name, channels in (("rgb", 3), ("depth", 1)))
RESNET = {"encoder": "resnet", "width": 4, "depth": 3}
ROUTES = ["rgb", "rgb+depth:0", "rgb+depth:1", "rgb+depth"]


class Pixels(Multiclass):
    """What networks ask of a task with a class for every pixel."""

    def confidence_features(self, outputs):
        probabilities = outputs.softmax(dim=1).amax(dim=1).mean(dim=(1, 2))
        return torch.stack([probabilities] * 3, dim=1)


@pytest.fixture
def pixels(monkeypatch):
    for module in (router, sequential):
        monkeypatch.setattr(module, "task_kind", lambda name: Pixels())


def parse(streams=None, **more):
    streams = streams or {"rgb": RESNET, "depth": RESNET}
    fusion = {} if len(streams) == 1 else {"fusion": {"kind": "sites"}}
    return NetworkConfig.parse({"route": list(streams), "streams": streams, **fusion, **more})


def inputs_of(n_samples, names=("rgb", "depth")):
    return {one.name: torch.randn(n_samples, *one.shape) for one in (RGB, DEPTH) if one.name in names}


class TestCosts:
    """Closed forms equal counts, whatever the decoder and the size of the label map."""

    @pytest.mark.parametrize(
        "decoder",
        [
            {},
            {"upsampling": "learned", "width": 6},
            {"context": "pyramid_pooling", "growth": 2.0, "blocks": 1, "upsampling": "learned"},
        ],
        ids=["light", "learned", "whole"],
    )
    @pytest.mark.parametrize("size", [SIZE, (50, 31), (9, 5)])
    def test_of_decoders(self, decoder, size):
        network = build_network(parse(decoder=decoder), [RGB, DEPTH], Task("segmentation", 5, size)).eval()
        inputs = inputs_of(1)
        assert network(inputs, {}).shape == (1, 5, *size)
        assert network.static_macs({}) == [count_network(network, Batch(inputs, {}, torch.zeros(1)))]

    @pytest.mark.parametrize(
        "stream",
        [
            {"encoder": "conv", "width": 4, "stride": 4},
            {"encoder": "conv", "width": 4, "stride": 2, "reducer": {"keep_ratio": 1.0}},
            {"encoder": "transformer", "width": 8, "stride": 5},
            {"encoder": "resnet", "width": 4, "depth": 0},
        ],
        ids=["two scales", "one scale", "transformer", "stem alone"],
    )
    def test_of_other_encoders(self, stream):
        network = build_network(parse({"rgb": stream}), [RGB], TASK).eval()
        inputs = inputs_of(1, ["rgb"])
        assert network(inputs, {}).shape == (1, 5, *SIZE)
        assert network.static_macs({}) == [count_network(network, Batch(inputs, {}, torch.zeros(1)))]

    @pytest.mark.parametrize(("reads", "form"), [("stems", "conv"), ("cheap_route", "mlp"), (None, None)])
    def test_of_routes(self, pixels, reads, form):
        how = {"kind": "sequential"} if reads is None else {"reads": reads, "form": form, "width": 8}
        network = build_network(parse(router={**how, "routes": ROUTES}), [RGB, DEPTH], TASK).eval()
        batch = Batch(inputs_of(1), {}, torch.zeros(1))
        assert network.route_macs({}) == [count_network(network, batch, route=number) for number in range(4)]
        assert network.all_routes_macs({}) == count_network(AllOutputs(network), batch)


@pytest.mark.parametrize(("reads", "form"), [("stems", "conv"), ("cheap_route", "mlp"), (None, None)])
@pytest.mark.parametrize("n_samples", [1, 2, 7, 16])
def test_conditional_execution_equals_dense_execution(pixels, reads, form, n_samples):
    how = {"kind": "sequential"} if reads is None else {"reads": reads, "form": form, "width": 8}
    network = build_network(parse(router={**how, "routes": ROUTES}), [RGB, DEPTH], TASK).eval()
    inputs, rows = inputs_of(n_samples), torch.arange(n_samples)
    with torch.inference_mode():
        dense = network.all_routes(inputs, {}).outputs
        assert dense.shape == (n_samples, 4, 5, *SIZE)
        for chosen in (rows % 4, torch.randint(4, (n_samples,))):
            assert (network(inputs, {}, chosen) - dense[rows, chosen]).abs().max() < 1e-5
        alone = [network.run_route(number, inputs, {})[0] for number in range(4)]
    assert (torch.stack(alone, dim=1) - dense).abs().max() < 1e-5


def test_stages_that_no_route_of_the_batch_needs_do_not_run():
    config = parse(router={"reads": "stems", "form": "mlp", "routes": ROUTES})
    network = build_network(config, [RGB, DEPTH], TASK).eval()
    rows = dict.fromkeys(range(4), 0)
    for number, stage in enumerate([network.streams["depth"].stem, *network.streams["depth"].stages]):
        stage.register_forward_hook(
            lambda _, inputs, result, number=number: rows.update({number: rows[number] + len(result.values)})
        )
    with torch.inference_mode():
        network(inputs_of(6), {}, torch.tensor([0, 0, 1, 2, 2, 3]))
    assert rows == {0: 6, 1: 3, 2: 1, 3: 1}


def test_routes_share_what_comes_before_the_first_site_that_differs(pixels):
    network = build_network(parse(router={"kind": "sequential", "routes": ROUTES}), [RGB, DEPTH], TASK).eval()
    runs = []
    for number, stage in enumerate([network.streams["rgb"].stem, *network.streams["rgb"].stages]):
        stage.register_forward_hook(lambda *_, number=number: runs.append(number))
    with torch.inference_mode():
        network.all_routes(inputs_of(1), {})
    assert [runs.count(number) for number in range(4)] == [1, 2, 3, 4]


def test_a_decoder_without_steps_is_one_convolution():
    options = {"growth": 1.0, "n_blocks": 0, "upsampling": "bilinear", "context": "none", "dropout": 0.0}
    decoder = Decoder([3], [(4, 3)], n_outputs=2, size=(9, 7), width=8, **options)
    x = torch.randn(2, 3, 4, 3)
    expected = F.interpolate(F.conv2d(x, decoder.out.weight, decoder.out.bias, padding=1), (9, 7), mode="bilinear")
    assert torch.allclose(decoder([from_map(x)]), expected, atol=1e-6)


def test_learned_upsampling_starts_as_an_average():
    up = LearnedUpsampling(2)
    x = torch.arange(3.0).expand(1, 2, 3, 3)
    assert torch.allclose(up(x, (6, 6))[0, 0, 2], torch.tensor([0.0, 0.25, 0.75, 1.25, 1.75, 1.5]))


def test_gradients_reach_every_part():
    network = build_network(parse(decoder={"context": "pyramid_pooling", "upsampling": "learned"}), [RGB, DEPTH], TASK)
    network(inputs_of(2), {}).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_a_vector_is_no_map():
    streams = {"rgb": {"encoder": "mlp"}}
    with pytest.raises(InvalidInputError, match="rgb: segmentation needs the map of an image after every stage"):
        build_network(parse(streams), [RGB], TASK)
    config = parse(fusion={"kind": "concat"})
    with pytest.raises(InvalidInputError, match="concat gives one vector per sample, and segmentation needs a map"):
        build_network(config, [RGB, DEPTH], TASK)


class TestRecipes:
    def recipe(self, task, training=None, **network):
        plain = {
            "training": training or {},
            "metric": "miou" if task == "segmentation" else "accuracy",
            "data": {"source": "x.npz", "target": "y", "modalities": {"rgb": "image", "depth": "image"}, "task": task},
            "network": {"route": ["rgb", "depth"], "streams": {"rgb": RESNET, "depth": RESNET}, **network},
        }
        return Recipe.parse(plain)

    def test_a_decoder_needs_label_maps(self):
        with pytest.raises(ConfigError, match="decoder: a multiclass has no label maps to decode; remove it"):
            self.recipe("multiclass", fusion={"kind": "sites"}, decoder={"width": 8})

    def test_label_maps_need_a_fusion_of_maps(self):
        with pytest.raises(ConfigError, match="kind: late gives one vector per sample, and segmentation needs"):
            self.recipe("segmentation", fusion={"kind": "late"})

    @pytest.mark.parametrize("kind", ["sites", "chain"])
    def test_streams_that_are_read_several_times_have_no_loss_of_their_own(self, kind):
        with pytest.raises(ConfigError, match=f"stream_loss: .* and kind: {kind} reads them several times; remove it"):
            self.recipe("multiclass", {"stream_loss": 0.5}, fusion={"kind": kind})

    def test_manifold_mixup_needs_one_depth(self):
        mixup = {"mixup": 0.2, "mixup_at": "manifold"}
        with pytest.raises(ConfigError, match="mixup_at: manifold mixes features at one depth, and a chain reads seve"):
            self.recipe("multiclass", mixup, fusion={"kind": "chain"})
        assert self.recipe("multiclass", mixup, fusion={"kind": "sites"}).network.main == "rgb"
