"""Training of sequential networks: the routes alone, then exits that are chosen on validation data."""

import pytest
import torch

from nasfuse.nn.routing.exits import ExitCalibration
from nasfuse.seeds import derive_seed
from nasfuse.spec.routing import GuaranteeConfig
from nasfuse.tasks import task_kind
from nasfuse.train import evaluate, loop, measure, predict_logits, tabulate_routes, train_network
from nasfuse.train.guarantee import with_guarantee
from nasfuse.train.sweep import set_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def make(make_recipe):
    def make(*, router=None, **training):
        router = {"kind": "sequential", "routes": ["v", "v+s:1", "v+s"], **(router or {})}
        return make_recipe(placement=2, router=router, **training)

    return make


@pytest.fixture(scope="module")
def trained(make, settled):
    return train_network(make(epochs=12, lr=0.02), settled, seed=0, device=CPU)


def table_of(network, dataset, split="val"):
    return tabulate_routes(network, dataset.split(split), dataset, metric="accuracy", device=CPU)


def test_samples_stop_where_they_are_settled(trained, settled):
    table = table_of(trained.network, settled)
    routed = table.at(0.5)
    assert routed.metric > table.at(1.0).metric + 0.1
    assert routed.macs < 0.9 * table.at(0.0).macs
    needed = settled.val.targets > 1
    assert (table.chosen(0.5)[needed] > 0).double().mean() > (table.chosen(0.5)[~needed] > 0).double().mean() + 0.3


def test_the_network_does_what_the_table_says(trained, settled):
    network = trained.network
    table = table_of(network, settled)
    assert not torch.equal(network.calibration.levels, ExitCalibration.identity(3).levels)
    for threshold in (0.0, 0.3, 0.5, 0.8, 1.0):
        network.set_threshold(threshold)
        chosen = table.chosen(threshold)
        logits = predict_logits(network, settled.val, device=CPU)
        assert torch.allclose(table.digests[torch.arange(len(chosen)), chosen], logits, atol=1e-4)
        metric, _ = evaluate(network, settled.val, metric="accuracy", task=settled.task, device=CPU)
        assert table.at(threshold).metric == metric
    network.set_threshold(0.5)


def test_all_routes_are_trained_in_every_epoch(make, dataset):
    run = loop._Run(make(epochs=3), dataset, seed=0, device=CPU)
    for _ in range(3):
        before = {name: parameter.clone() for name, parameter in run.network.named_parameters()}
        result = run.one_epoch()
        assert all(not torch.equal(before[name], one) for name, one in run.network.named_parameters())
        table = run.validation.table(dataset)
        losses = [task_kind("multiclass").loss(table.digests[:, k], table.targets) for k in range(3)]
        assert result.val_loss == pytest.approx(float(torch.stack(losses).mean()))
        assert result.val_metric == table.at(0.0).metric


def test_patience_stops_it(make, dataset, monkeypatch):
    losses = iter(range(1, 9))
    monkeypatch.setattr(loop._Run, "_validate", lambda self: (0.5, float(next(losses))))
    stopped = train_network(make(epochs=8, patience=2), dataset, seed=0, device=CPU)
    assert (stopped.status, len(stopped.curve), stopped.chosen.epoch) == ("early stop", 3, 1)


def test_interrupted_and_resumed_equals_unbroken(make, dataset, tmp_path, monkeypatch, assert_same):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe = make(epochs=3, mixup=0.2, input_noise=0.1)

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        train_network(recipe, dataset, seed=0, device=CPU, report=interrupt, resume_file=tmp_path / "p.pt")
    resumed = train_network(recipe, dataset, seed=0, device=CPU, resume_file=tmp_path / "p.pt")
    assert_same(train_network(recipe, dataset, seed=0, device=CPU), resumed)


def test_a_limit_on_macs_sets_the_threshold(make, settled, trained):
    ends = [table_of(trained.network, settled).at(threshold).macs for threshold in (1.0, 0.0)]
    limit = round(ends[0] + 0.4 * (ends[1] - ends[0]))
    network = train_network(make(router={"macs": limit}, epochs=3), settled, seed=0, device=CPU).network
    spent = table_of(network, settled).at(float(network.threshold)).macs
    assert 0.8 * limit < spent <= limit


def test_a_guarantee_sets_the_threshold(make, settled):
    router = {"threshold": {"max_loss": 0.1, "confidence": 0.8}}
    network = train_network(make(router=router, epochs=12, lr=0.02), settled, seed=0, device=CPU).network
    table, threshold = with_guarantee(
        table_of(network, settled), GuaranteeConfig(max_loss=0.1, confidence=0.8), seed=derive_seed(0, "guarantee")
    )
    assert float(network.threshold) == threshold > 0
    assert torch.equal(network.calibration.levels, table.calibration.levels)


def test_its_points_are_a_curve(trained, settled):
    points, record = measure(trained, settled, metric="accuracy", device=CPU)
    table = table_of(trained.network, settled)
    assert points[0].metric == trained.chosen.val_metric == table.at(0.5).metric
    curve = [point.macs for point in points[1:] if "always" not in point.settings]
    assert curve == sorted(curve)
    assert len(curve) == len(points) - 2, "besides the network's own and the route in the middle for all samples"
    assert list(record["routing"]["levels"]) == ["v", "v+s:1"]
    assert list(record["routing"]["route_macs"].values()) == trained.network.route_macs({"s": 11})
    for point in points[1:]:
        set_network(trained.network, point.settings)
        value, _ = evaluate(trained.network, settled.val, metric="accuracy", task=settled.task, device=CPU)
        assert value == point.metric
    trained.network.set_threshold(0.5)
