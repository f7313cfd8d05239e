"""Fixed features in training: fitted by seed, computed once, restored, and gone from the network afterwards."""

import pytest
import torch

from nasfuse.nn.build import build_network
from nasfuse.nn.fixed_stem import fixed_stems
from nasfuse.nn.random_convolution import RandomConvStem
from nasfuse.train import fixed_features, in_progress, loop, train_network
from nasfuse.train.evaluation import evaluate
from nasfuse.train.fixed_features import features_computed_once, fit_stems

CPU = torch.device("cpu")
ENCODERS = {"v": "mlp", "s": "random_conv"}


class Interruption(Exception):
    """Stands for a kill."""


@pytest.fixture
def network(make_recipe, dataset):
    return build_network(make_recipe(encoders=ENCODERS).network, dataset.modalities, dataset.task).eval()


def test_fit_is_decided_by_the_seed(network, dataset):
    states = []
    for seed in (1, 1, 2):
        fit_stems(network, dataset.train, seed=seed)
        states.append({key: value.clone() for key, value in network.state_dict().items()})
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["streams.s_stream.stem.convolutions.biases"], torch.zeros(1))


def test_a_sample_of_a_large_train_split_depends_on_the_seed(network, dataset, monkeypatch):
    monkeypatch.setattr(fixed_features, "_N_FITTED", 20)
    biases = []
    for seed in (1, 2):
        fit_stems(network, dataset.train, seed=seed)
        biases.append(fixed_stems(network)["s"].convolutions.biases.clone())
    assert not torch.equal(*biases)


def test_logits_from_features_are_those_from_inputs(network, dataset):
    fit_stems(network, dataset.train, seed=0)
    rows = torch.arange(20)
    batch = dataset.train.batch(rows, names=("v", "s"))
    plain = network(batch.inputs, batch.masks)
    judged = evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
    with features_computed_once(network, dataset, device=CPU) as computed:
        batch = computed.train.batch(rows, names=("v", "s"))
        assert batch.inputs["s"].shape == (20, 6 * 1 * 3 + 4 * 5)
        assert torch.allclose(network(batch.inputs, batch.masks), plain, atol=1e-5)
        assert evaluate(network, computed.val, metric="accuracy", task=dataset.task, device=CPU) == pytest.approx(
            judged
        )
    assert not fixed_stems(network)["s"].takes_features


def test_inputs_are_read_where_features_are_too_large(network, dataset, monkeypatch):
    monkeypatch.setattr(fixed_features, "_MOST_BYTES", 100)
    with features_computed_once(network, dataset, device=CPU) as computed:
        assert computed is dataset


@pytest.mark.parametrize(
    ("training", "computed_once"),
    [({}, True), ({"mixup": 0.2, "mixup_at": "manifold"}, True), ({"input_noise": 0.1}, True), ({"mixup": 0.2}, False),
     ({"shift": 0.2}, True), ({"modality_dropout": 0.2}, False)],
)  # fmt: skip
def test_when_features_are_computed_once(make_recipe, dataset, monkeypatch, training, computed_once):
    calls = []
    monkeypatch.setattr(
        in_progress, "features_computed_once", lambda *a, **b: calls.append(1) or features_computed_once(*a, **b)
    )
    trained = train_network(make_recipe(encoders=ENCODERS, epochs=2, **training), dataset, seed=0, device=CPU)
    assert len(calls) == computed_once
    assert not fixed_stems(trained.network)["s"].takes_features


def test_training_is_the_same_without_computing_features_once(make_recipe, dataset, monkeypatch):
    recipe = make_recipe(encoders=ENCODERS)
    first = train_network(recipe, dataset, seed=0, device=CPU)
    monkeypatch.setattr(fixed_features, "_MOST_BYTES", 0)
    second = train_network(recipe, dataset, seed=0, device=CPU)
    for one, other in zip(first.curve, second.curve, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
    assert first.curve[-1].train_loss < first.curve[0].train_loss


@pytest.mark.parametrize(
    ("router", "routing", "is_kept"),
    [
        ({"reads": "cheapest_stream"}, {}, True),
        ({"reads": "cheapest_stream", "macs": 2000}, {"holdout": 0.2}, True),
        ({"reads": "cheap_route", "routes": ["s", "v+s"]}, {"routes_per_step": "one"}, True),
        ({"reads": "cheap_route", "macs": 2000}, {"freeze": False}, True),
        ({"reads": "inputs"}, {}, False),
        ({"kind": "sequential"}, None, True),
    ],
)
def test_features_are_kept_unless_the_router_reads_their_inputs(
    make_recipe, dataset, monkeypatch, router, routing, is_kept
):
    """Losses and metrics of all epochs are as if features were computed in every step, MACs of short sequences too."""
    assert dataset.train.lengths("s").float().mean() < dataset.train.columns["s"].values.shape[1] - 1
    training = {} if routing is None else {"routing": {"first_stage": 0.5, **routing}}
    recipe = make_recipe(encoders=ENCODERS, router={"routes": ["v", "v+s"], **router}, epochs=4, **training)
    counted: list[int] = []
    features = RandomConvStem.features

    def count(stem, inputs, mask):
        counted.append(len(inputs))
        return features(stem, inputs, mask)

    monkeypatch.setattr(RandomConvStem, "features", count)
    kept, n_kept = train_network(recipe, dataset, seed=0, device=CPU), sum(counted)
    monkeypatch.setattr(fixed_features, "_MOST_BYTES", 0)
    anew, n_anew = train_network(recipe, dataset, seed=0, device=CPU), sum(counted) - n_kept
    assert (n_kept < n_anew) == is_kept
    for one, other in zip(kept.curve, anew.curve, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-4)
        assert one.val_metric == pytest.approx(other.val_metric)


def test_features_keep_the_lengths_of_sequences(network, dataset):
    fit_stems(network, dataset.train, seed=0)
    with features_computed_once(network, dataset, device=CPU) as computed:
        assert torch.equal(computed.train.lengths("s"), dataset.train.lengths("s"))
        assert computed.val.batch(torch.arange(4), names=("v", "s")).masks == {}


def test_interrupted_and_resumed_equals_unbroken(make_recipe, dataset, tmp_path, monkeypatch, assert_same):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe = make_recipe(encoders=ENCODERS)

    def interrupt(epoch):
        if epoch.epoch == 3:
            raise Interruption

    unbroken = train_network(recipe, dataset, seed=1, device=CPU)
    with pytest.raises(Interruption, match=r"^$"):
        train_network(recipe, dataset, seed=1, device=CPU, report=interrupt, resume_file=tmp_path / "r.pt")
    assert_same(unbroken, train_network(recipe, dataset, seed=1, device=CPU, resume_file=tmp_path / "r.pt"))


def test_kernels_are_not_trained(make_recipe, dataset):
    recipe = make_recipe(encoders=ENCODERS, weight_decay=1.0)
    before = loop._Run(recipe, dataset, seed=0, device=CPU).network.state_dict()
    after = train_network(recipe, dataset, seed=0, device=CPU).network.state_dict()
    fixed = [key for key in before if "convolutions" in key]
    assert len(fixed) == 5
    assert all(torch.equal(before[key], after[key]) for key in fixed)
