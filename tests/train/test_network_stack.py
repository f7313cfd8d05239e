"""A stack of networks against its networks one by one, for all kinds of networks."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from nasfuse.data.dataset import Batch
from nasfuse.domain.modality import ENCODERS, Modality, Task
from nasfuse.nn.build import build_network
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.sites import SITE_OPERATORS
from nasfuse.spec.network import NetworkConfig
from nasfuse.testing.inputs import MODALITIES, random_inputs
from nasfuse.train.network_stack import NetworkStack, clip_norms_, joined
from nasfuse.train.optimizer import adamw
from nasfuse.train.stackable import reason_against
from nasfuse.train.stream_loss import StreamLoss

#: Samples of the batches of three networks in two steps: the last batches of an epoch differ in size.
SIZES = [(4, 4, 4), (3, 1, 2)]


PAIR = {name: Modality(name, "image", (2, 6, 6)) for name in ("rgb", "depth")}
ALL = {**MODALITIES, **PAIR}
MULTICLASS = Task("multiclass", 4)


def make_batches(names, sizes):
    """Batches in float64, whose sequences are as long as the longest one of a batch."""
    found = []
    for size in sizes:
        inputs, masks = {}, {}
        for name in names:
            values = random_inputs(ALL[name], size)
            inputs[name] = values.double() if values.is_floating_point() else values
            if ALL[name].kind == "sequence":
                lengths = torch.randint(1, ALL[name].shape[0] + 1, (size,))
                inputs[name] = inputs[name][:, : lengths.max()]
                masks[name] = torch.arange(int(lengths.max())) < lengths[:, None]
        found.append(Batch(inputs, masks, torch.randint(4, (size,))))
    return found


def make_networks(config, *, share=0.0, n=3):
    networks = [build_network(config, list(ALL.values()), MULTICLASS).double() for _ in range(n)]
    return networks, [StreamLoss(one, share=share, n_outputs=4).double() for one in networks]


def loss_of(targets):
    return lambda outputs: nn.functional.cross_entropy(outputs[: len(targets)], targets)


def one_by_one(network, stream_loss, optimizer, batch):
    """A step as in a training of one network, written down once more."""
    network.train()
    loss = loss_of(batch.targets)
    with stream_loss.listening():
        outputs = network(batch.inputs, batch.masks, present=batch.present)
    value = stream_loss.of(loss(outputs), loss)
    optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_([*network.parameters(), *stream_loss.parameters()], 0.5)
    optimizer.step()
    return value.item()


def assert_same_steps(config, *, share=0.0):
    names = config.route
    networks, stream_losses = make_networks(config, share=share)
    twins, twin_losses = copy.deepcopy(networks), []
    for twin, own in zip(twins, stream_losses, strict=True):
        again = StreamLoss(twin, share=share, n_outputs=4).double()
        again.load_state_dict(own.state_dict())
        twin_losses.append(again)
    stack = NetworkStack(networks, stream_losses, lr=0.02, weight_decay=0.1)
    optimizers = [
        adamw(nn.ModuleList(pair), lr=0.02, weight_decay=0.1) for pair in zip(twins, twin_losses, strict=True)
    ]
    for sizes in SIZES:
        batches = make_batches(names, sizes)
        stack.train()
        outputs, of_streams = stack.run(batches)
        losses = [
            stream_loss.weighted(
                loss_of(batch.targets)(outputs[number]),
                [one[number] for one in of_streams],
                loss_of(batch.targets),
            )
            for number, (stream_loss, batch) in enumerate(zip(stream_losses, batches, strict=True))
        ]
        stack.step(torch.stack(losses), lr=0.02, clip_norm=0.5)
        expected = [one_by_one(*each) for each in zip(twins, twin_losses, optimizers, batches, strict=True)]
        assert [loss.item() for loss in losses] == pytest.approx(expected, abs=1e-9)
    stack.release()
    for network, twin in zip(networks, twins, strict=True):
        state = network.state_dict()
        for key, value in twin.state_dict().items():
            assert torch.allclose(state[key], value, atol=1e-8), key
            assert state[key].untyped_storage().nbytes() == state[key].nbytes, "weights of its own"


#: Kinds of networks that have no stack.
NONE = {"v maxout", "equilibrium", "s merge", "s gumbel", "i gumbel"}


@pytest.fixture
def check(make_recipe, dataset):
    """Checks that networks are the same as one by one, or that there is a reason why they are not stacked."""

    def of(name, config, **options):
        recipe = make_recipe().model_copy(update={"network": config})
        data = replace(dataset, modalities=tuple(ALL.values()))
        reason = reason_against(recipe, build_network(config, data.modalities, MULTICLASS), data)
        assert (reason is not None) == (name in NONE), reason
        if reason is None:
            assert_same_steps(config, **options)

    return of


@pytest.mark.parametrize(
    ("name", "encoder"),
    [(modality.name, encoder) for modality in MODALITIES.values() for encoder in sorted(ENCODERS[modality.kind])],
)
def test_encoders(make_config, check, name, encoder):
    check(f"{name} {encoder}", make_config({name: encoder}, stride=2, depth=1))


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_fusions_with_a_loss_of_streams(make_config, check, fusion):
    config = make_config({"v": "mlp", "s": "transformer", "i": "conv"}, fusion=fusion, depth=1)
    check(fusion, config, share=0.5)


@pytest.mark.parametrize("name", ["s", "i"])
@pytest.mark.parametrize("kind", sorted(REDUCERS))
def test_reducers(make_config, check, kind, name):
    config = make_config({name: "transformer"}, reducer=(kind, 0.3), readout="cls", window=2, depth=1)
    check(f"{name} {kind}", config)


@pytest.mark.parametrize("fusion", [*({"kind": "sites", "operator": one} for one in SITE_OPERATORS), {"kind": "chain"}])
def test_fusions_at_sites(check, fusion):
    stream = {"encoder": "resnet", "depth": 1, "width": 8, "stride": 1}
    config = NetworkConfig.parse(
        {"route": ["rgb", "depth"], "streams": {"rgb": stream, "depth": stream}, "fusion": fusion}
    )
    check(fusion.get("operator", "chain"), config)


def test_networks_do_not_change_each_other(make_config):
    """A NaN in the weights of one network stays there."""
    config = make_config({"v": "mlp", "s": "transformer", "i": "conv"}, fusion="concat", depth=1)
    networks, stream_losses = make_networks(config)
    with torch.no_grad():
        for parameter in networks[1].parameters():
            parameter.fill_(float("nan"))
    stack = NetworkStack(networks, stream_losses, lr=0.02, weight_decay=0.1)
    batches = make_batches(config.route, (4, 4, 4))
    stack.train()
    outputs, _ = stack.run(batches)
    losses = torch.stack([loss_of(batch.targets)(own) for batch, own in zip(batches, outputs, strict=True)])
    stack.step(losses, lr=0.02, clip_norm=1.0)
    assert [bool(torch.isfinite(loss)) for loss in losses] == [True, False, True]
    for number, network in enumerate(networks):
        finite = [bool(torch.isfinite(parameter).all()) for parameter in network.parameters()]
        assert all(finite) == (number != 1)


def test_dropout_differs_between_networks_and_follows_the_generator(make_config):
    config = make_config({"v": "mlp"}, dropout=0.5)
    network = build_network(config, list(ALL.values()), MULTICLASS).double()
    networks = [copy.deepcopy(network) for _ in range(2)]
    stack = NetworkStack(
        networks, [StreamLoss(one, share=0.0, n_outputs=4) for one in networks], lr=0.1, weight_decay=0.0
    )
    batch = make_batches(["v"], (4,))[0]
    stack.train()
    torch.manual_seed(3)
    first, _ = stack.run([batch, batch])
    torch.manual_seed(3)
    again, _ = stack.run([batch, batch])
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])


def test_gradients_are_clipped_for_each_network():
    torch.manual_seed(0)
    shapes, scales = [(3, 2), (4,), ()], torch.tensor([0.01, 1.0, 100.0])
    gradients = [torch.randn(3, *shape) * scales.view(-1, *[1] * len(shape)) for shape in shapes]
    single = [[nn.Parameter(torch.zeros(shape)) for shape in shapes] for _ in range(3)]
    for number, parameters in enumerate(single):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient[number].clone()
        nn.utils.clip_grad_norm_(parameters, 1.0)
    clip_norms_(gradients, 1.0)
    for number, parameters in enumerate(single):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert torch.allclose(gradient[number], parameter.grad)


def test_smaller_batches_are_filled_up():
    short = Batch({"s": torch.ones(1, 2, 3)}, {}, torch.zeros(1), {})
    long = Batch(
        {"s": torch.full((2, 4, 3), 2.0)},
        {"s": torch.tensor([[True] * 4, [True] + [False] * 3])},
        torch.zeros(2),
        {"s": torch.tensor([True, False])},
    )
    inputs, masks, present = joined([short, long])
    assert inputs["s"].shape == (2, 2, 4, 3)
    assert torch.equal(inputs["s"][0, 0], torch.tensor([[1.0] * 3] * 2 + [[0.0] * 3] * 2)), "padded"
    assert torch.equal(inputs["s"][0, 1], inputs["s"][0, 0]), "a copy of the first sample"
    assert torch.equal(inputs["s"][1], long.inputs["s"])
    assert masks["s"].tolist() == [[[True, True, False, False]] * 2, long.masks["s"].tolist()]
    assert present["s"].tolist() == [[True, True], [True, False]]
