"""Manifold mixup: at every depth features are mixed as by hand, with the label's weight, and hooks are gone after."""

import pytest
import torch

from nasfuse.nn import build_network
from nasfuse.nn.tokens import Tokens
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.training import TrainingConfig
from nasfuse.train import manifold_mixup, train_network
from nasfuse.train.manifold_mixup import ManifoldMixup, mixed_at, n_depths
from nasfuse.train.mixup import Mixture

CPU = torch.device("cpu")
LENGTHS = {"s": [3, 11, 0, 6, 1], "q": [9, 2, 5, 0, 7]}
#: Stages that run before the fusion, and the stage after which each stream is mixed at each depth but the last.
STAGES = {"v": 0, "s": 1, "q": 2, "i": 3}
MIXED_AFTER = {"v": [0, 0, 0, 0], "s": [0, 1, 1, 1], "q": [0, 1, 2, 2], "i": [0, 1, 2, 3]}
ENCODERS = [
    {"v": "mlp", "s": "conv", "q": "transformer", "i": "conv"},
    {"v": "mlp", "s": "transformer", "q": "mlp", "i": "transformer"},
]
EVERYTHING = [(encoders, fusion) for encoders in ENCODERS for fusion in ("concat", "joint_tokens")]
DEPTHS = range(5)


class Given:
    """Tokens of streams, whatever a route asks for."""

    def __init__(self, tokens):
        self.tokens = tokens

    def at(self, place):
        return self.tokens[place.line.stream]


def mixed_by_hand(tokens, mixture):
    mask = tokens.mask
    values = tokens.values if mask is None else tokens.values * mask[..., None]
    values = mixture.weight * values + (1 - mixture.weight) * values[mixture.order]
    return Tokens(values, None if mask is None else mask | mask[mixture.order], tokens.grid)


def logits_by_hand(network, batch, *, depth, mixture, mixed_after=MIXED_AFTER):
    tokens = {}
    for name, n_stages in network.branch.route.n_stages.items():
        stream = network.streams[name]
        tokens[name] = stream.stem(batch.inputs[name], batch.masks.get(name))
        for stage in range(n_stages + 1):
            if stage > 0:
                tokens[name] = stream.stages[stage - 1](tokens[name])
            if mixed_after[name][depth : depth + 1] == [stage]:
                tokens[name] = mixed_by_hand(tokens[name], mixture)
    _, features = network.branch.run(Given(tokens))
    if depth == len(mixed_after[name]):
        features = mixture.weight * features + (1 - mixture.weight) * features[mixture.order]
    return network.branch.head(features)


@pytest.fixture
def make_network(make_config, modalities, task):
    """Networks in inference mode and double precision, whose streams differ in depth."""

    def make(encoders, fusion, *, stages=STAGES, reducer=("max", 0.5)):
        plain = make_config(encoders, fusion=fusion, placement=3, reducer=reducer).to_plain()
        for name in encoders:
            plain["streams"][name]["depth"] = stages[name]
        return build_network(NetworkConfig.parse(plain), list(modalities.values()), task).eval().double()

    return make


@pytest.fixture
def make_doubles(make_batch):
    """Batches of five in double precision, padded unless told otherwise."""

    def make(names, *, lengths=LENGTHS):
        batch = make_batch(names, n_samples=5, lengths={name: lengths[name] for name in lengths if name in names})
        for name, values in batch.inputs.items():
            batch.inputs[name] = values.double() if values.is_floating_point() else values
        return batch

    return make


@pytest.fixture
def mixture():
    return Mixture(0.3, torch.tensor([2, 0, 1, 4, 3]))


@pytest.mark.parametrize(("encoders", "fusion"), EVERYTHING)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("reducer", [("max", 0.5), ("average", 1.0)])
def test_every_kind_of_input_is_mixed_as_by_hand(make_network, make_doubles, mixture, encoders, fusion, depth, reducer):
    network, batch = make_network(encoders, fusion, reducer=reducer), make_doubles(list(encoders))
    assert n_depths(network) == len(DEPTHS)
    with mixed_at(network, depth, mixture):
        logits = network(batch.inputs, batch.masks)
    assert torch.allclose(logits, logits_by_hand(network, batch, depth=depth, mixture=mixture), rtol=1e-9, atol=1e-12)
    assert not torch.allclose(logits, network(batch.inputs, batch.masks), rtol=1e-3)


@pytest.mark.parametrize(("stages", "fusion"), [(0, None), (2, None), (0, "sum")])
def test_without_stages_or_fusion(make_network, make_doubles, mixture, stages, fusion):
    encoders = {"s": "conv", "v": "mlp"} if fusion else {"s": "conv"}
    network, batch = make_network(encoders, fusion, stages=dict.fromkeys(encoders, stages)), make_doubles([*encoders])
    mixed_after = {name: list(range(stages + 1)) for name in encoders}
    assert n_depths(network) == stages + 2
    for depth in range(stages + 2):
        with mixed_at(network, depth, mixture):
            logits = network(batch.inputs, batch.masks)
        expected = logits_by_hand(network, batch, depth=depth, mixture=mixture, mixed_after=mixed_after)
        assert torch.allclose(logits, expected, rtol=1e-9, atol=1e-12)


def test_a_linear_network_gives_mixed_logits_at_every_depth(make_network, make_doubles, mixture):
    network, batch = make_network({"s": "conv"}, None, reducer=("average", 0.5)), make_doubles(["s"], lengths={})
    network.streams["s"].stages[0].block = torch.nn.Identity()
    network.branch.head.norm = torch.nn.Identity()
    plain = network(batch.inputs, {})
    for depth in range(n_depths(network)):
        with mixed_at(network, depth, mixture):
            assert torch.allclose(network(batch.inputs, {}), mixture.of(plain))


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_weight_of_one_changes_nothing(make_network, make_doubles, mixture, depth):
    network, batch = make_network(ENCODERS[0], "concat"), make_doubles([*ENCODERS[0]], lengths={})
    with mixed_at(network, depth, Mixture(1.0, mixture.order)):
        logits = network(batch.inputs, {})
    assert torch.equal(logits, network(batch.inputs, {}))


@pytest.mark.parametrize("depth", DEPTHS)
def test_samples_mixed_with_themselves_change_nothing(make_network, make_doubles, depth):
    network, batch = make_network(ENCODERS[0], "joint_tokens"), make_doubles([*ENCODERS[0]])
    with mixed_at(network, depth, Mixture(0.3, torch.arange(5))):
        logits = network(batch.inputs, batch.masks)
    assert torch.allclose(logits, network(batch.inputs, batch.masks))


def test_the_label_weight_is_the_lambda_that_mixed_the_features(make_network, make_doubles):
    network, batch = make_network(ENCODERS[0], "concat"), make_doubles([*ENCODERS[0]])
    mixup, one_hot, reached = ManifoldMixup(network, alpha=0.5), torch.eye(5), set()
    for seed in range(40):
        torch.manual_seed(seed)
        with mixup.mixing(lambda logits, targets: one_hot[targets], torch.arange(5)) as loss:
            logits = network(batch.inputs, batch.masks)
        label = loss(logits, torch.arange(5))
        torch.manual_seed(seed)
        mixture = Mixture.draw(0.5, torch.arange(5))
        assert torch.equal(label, mixture.of(one_hot))
        by_hand = [logits_by_hand(network, batch, depth=depth, mixture=mixture) for depth in DEPTHS]
        reached |= {depth for depth in DEPTHS if torch.allclose(logits, by_hand[depth], rtol=1e-9, atol=1e-12)}
        assert any(torch.allclose(logits, one, rtol=1e-9, atol=1e-12) for one in by_hand)
    assert reached == set(DEPTHS)


def test_depths_are_drawn_equally_often(make_network, monkeypatch):
    drawn = []

    def note(network, depth, mixture):
        drawn.append(depth)
        return mixed_at(network, depth, mixture)

    monkeypatch.setattr(manifold_mixup, "mixed_at", note)
    mixup = ManifoldMixup(make_network(ENCODERS[0], "concat"), alpha=0.5)
    for _ in range(1000):
        with mixup.mixing(lambda logits, targets: logits, torch.arange(5)):
            pass
    assert [drawn.count(depth) / 1000 for depth in DEPTHS] == pytest.approx([0.2] * 5, abs=0.04)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_mixed_after_the_block(make_network, make_doubles, mixture, depth, fails):
    network, batch = make_network(ENCODERS[0], "concat"), make_doubles([*ENCODERS[0]])
    before = network(batch.inputs, batch.masks)
    try:
        with mixed_at(network, depth, mixture):
            network(batch.inputs, batch.masks)
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert torch.equal(network(batch.inputs, batch.masks), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("training", [{"mixup": 0.0, "mixup_at": "manifold"}, {"mixup": 0.5, "mixup_at": "inputs"}])
def test_off_it_draws_and_changes_nothing(make_network, make_doubles, training):
    network, batch, loss = make_network(ENCODERS[0], "concat"), make_doubles([*ENCODERS[0]]), object()
    before, generator = network(batch.inputs, batch.masks), torch.get_rng_state()
    with ManifoldMixup.from_config(TrainingConfig(**training), network).mixing(loss, torch.arange(5)) as same:
        assert torch.equal(network(batch.inputs, batch.masks), before)
    assert same is loss
    assert torch.equal(torch.get_rng_state(), generator)


def test_gradients_reach_both_samples(make_network, make_doubles):
    network, batch = make_network({"v": "mlp"}, None), make_doubles(["v"])
    batch.inputs["v"].requires_grad_(True)
    with mixed_at(network, 0, Mixture(0.3, torch.tensor([1, 0, 2, 3, 4]))):
        network(batch.inputs, {})[0].sum().backward()
    assert batch.inputs["v"].grad.abs().sum(dim=1).bool().tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("fusion", ["concat", "equilibrium", "bottleneck"])
def test_trainings_of_one_seed_are_equal_and_differ_from_mixed_inputs(
    make_recipe, dataset, assert_same, differ, fusion
):
    def train(mixup_at):
        recipe = make_recipe(fusion=fusion, epochs=2, mixup=0.4, mixup_at=mixup_at)
        return train_network(recipe, dataset, seed=1, device=CPU)

    manifold = train("manifold")
    assert_same(manifold, train("manifold"))
    assert differ(manifold, train("inputs"))


def test_token_ids_are_mixed_as_embeddings(make_recipe, dataset, differ):
    encoders = {"s": "conv", "q": "transformer"}
    trained = [
        train_network(make_recipe(encoders=encoders, epochs=1, **mixup), dataset, seed=0, device=CPU)
        for mixup in ({}, {"mixup": 0.4, "mixup_at": "manifold"})
    ]
    assert differ(*trained)
