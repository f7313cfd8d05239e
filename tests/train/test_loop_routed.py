"""Training of routed networks: five epochs, three of them without the router."""

import math

import pytest
import torch

from nasfuse.errors import InvalidInputError, NonFiniteError
from nasfuse.nn.routing.calibration import CalibrationStatus
from nasfuse.tasks import task_kind
from nasfuse.train import evaluate, loop, tabulate_routes, train_network
from nasfuse.train.augmentation import Augmentation
from nasfuse.train.router_baselines import random_mix

CPU = torch.device("cpu")
# Everything in training that draws random numbers.
RANDOM = {"mixup": 0.2, "input_noise": 0.1, "shift": 0.2, "modality_dropout": 0.2}


class Interruption(Exception):
    """Stands for a kill."""


def train(recipe, dataset, *, seed=0, **options):
    return train_network(recipe, dataset, seed=seed, device=CPU, **options)


READS = (
    *[("inputs", form) for form in ("linear", "mlp", "conv", "transformer")],
    *[("cheapest_stream", form) for form in ("linear", "mlp")],
    *[("cheap_route", form) for form in ("linear", "mlp")],
)


@pytest.fixture
def make(make_recipe):
    def make(*, router=None, routing=None, epochs=5, **training):
        return make_recipe(
            placement=2,
            router={"routes": ["v", "v+s"], "width": 4, **(router or {})},
            routing={"first_stage": 0.6, **(routing or {})},
            epochs=epochs,
            **training,
        )

    return make


def states(run):
    parts = {key: value.clone() for key, value in run.network.parts().state_dict().items()}
    return parts, {key: value.clone() for key, value in run.network.router.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("freeze", [True, False])
def test_samples_take_the_cheapest_route_that_suffices(make, settled, freeze):
    routing = {"resource_weight": 0.1, "freeze": freeze}
    trained = train(make(routing=routing, epochs=12, lr=0.02), settled)
    table = tabulate_routes(trained.network, settled.val, settled, metric="accuracy", device=CPU)
    needed = (settled.val.targets > 1).long()
    # The cheap route guesses half of the others right, so 0.5 stands for fewer samples than that.
    macs = table.macs.double().gather(1, needed[:, None]).mean()
    threshold = table.threshold_for(float(macs))
    assert (table.chosen(threshold) == needed).double().mean() > 0.9
    routed = table.at(threshold)
    assert routed.metric > random_mix(table, routed.macs, seed=0)[0] + 0.04
    assert table.at(1.0).metric < 0.85 < routed.metric, "the cheap route alone does not do"


@pytest.mark.parametrize("options", [{"router": {"reads": "inputs"}}, {"routing": {"freeze": False}}])
def test_every_tenth_of_the_threshold_is_another_setting(make, settled, options):
    trained = train(make(epochs=6, **options), settled)
    table = tabulate_routes(trained.network, settled.val, settled, metric="accuracy", device=CPU)
    needed = float(table.best_routes().double().mean())
    usage = [table.at(number / 10).usage[1] for number in range(1, 10)]
    assert usage == pytest.approx(
        [1 - (1 - needed) * number / 5 for number in range(1, 5)]
        + [needed * (10 - number) / 5 for number in range(5, 10)],
        abs=0.02,
    )


@pytest.mark.parametrize(("reads", "form"), READS)
def test_every_router_trains(make, dataset, reads, form):
    trained = train(make(router={"reads": reads, "form": form}, epochs=2, routing={"gumbel": True}), dataset)
    assert math.isfinite(trained.chosen.val_loss)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_seed_decides_everything(make, dataset, freeze, assert_same, differ):
    recipe = make(routing={"gumbel": True, "freeze": freeze}, **RANDOM)
    before = torch.get_rng_state()
    first = train(recipe, dataset, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.randn(7)
    assert_same(first, train(recipe, dataset, seed=3))
    assert differ(first, train(recipe, dataset, seed=4))


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("after", [2, 3, 4, 5])
def test_interrupted_in_either_stage_and_resumed_equals_unbroken(
    make, dataset, tmp_path, monkeypatch, after, freeze, assert_same
):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe = make(routing={"gumbel": True, "freeze": freeze, "final_temperature": 0.5}, **RANDOM)
    unbroken = train(recipe, dataset)

    def interrupt(epoch):
        if epoch.epoch == after:
            raise Interruption

    with pytest.raises(Interruption, match=r"^$"):
        train(recipe, dataset, report=interrupt, resume_file=tmp_path / "p.pt")
    assert_same(unbroken, train(recipe, dataset, resume_file=tmp_path / "p.pt"))


def test_one_route_per_step_is_resumed_with_the_same_draws(make, dataset, tmp_path, monkeypatch, assert_same, differ):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe = make(routing={"routes_per_step": "one"}, **RANDOM)
    unbroken = train(recipe, dataset)

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise Interruption

    with pytest.raises(Interruption, match=r"^$"):
        train(recipe, dataset, report=interrupt, resume_file=tmp_path / "p.pt")
    assert_same(unbroken, train(recipe, dataset, resume_file=tmp_path / "p.pt"))
    assert differ(unbroken, train(make(**RANDOM), dataset))


def test_one_route_per_step_runs_one_branch_until_the_router_is_trained(make, dataset):
    run = loop._Run(make(routing={"routes_per_step": "one"}, batch_size=8), dataset, seed=0, device=CPU)
    seen = []
    for number, branch in enumerate(run.network.branches):
        branch.register_forward_hook(lambda module, *_, number=number: seen.append((number, module.training)))
    gates = []
    run.network.router.register_forward_hook(lambda module, *_: gates.append(module.training))
    for _ in range(3):
        run.one_epoch()
    n_steps = run.step
    steps = [number for number, is_step in seen if is_step]
    assert len(steps) == n_steps
    assert 0.25 < sum(steps) / n_steps < 0.75, "each route about as often"
    assert not gates
    assert {number for number, is_step in seen if not is_step} == {1}, "validation runs the costliest route alone"
    run.one_epoch()
    assert sum(gates) == run.step - n_steps


@pytest.mark.parametrize("freeze", [True, False])
def test_routes_are_trained_before_the_router(make, dataset, freeze):
    run = loop._Run(make(routing={"freeze": freeze}), dataset, seed=0, device=CPU)
    start = states(run)
    for _ in range(3):
        run.one_epoch()
    middle = states(run)
    for _ in range(2):
        run.one_epoch()
    end = states(run)
    assert not same(start[0], middle[0])
    assert same(start[1], middle[1])
    assert same(middle[0], end[0]) is freeze
    assert not same(middle[1], end[1])


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_parts_are_in_inference_mode(make, dataset, monkeypatch, freeze):
    run = loop._Run(make(routing={"freeze": freeze}), dataset, seed=0, device=CPU)
    network, loss = run.network, run._loss
    routes = [*network.streams.modules(), *network.branches.modules()]

    def checked(*arguments):
        learns = not freeze or run.epoch < 3
        assert {module.training for module in routes} == {learns}
        assert {module.training for module in network.router.modules()} == {True}
        assert all(parameter.requires_grad is learns for part in routes for parameter in part.parameters())
        return loss(*arguments)

    monkeypatch.setattr(run, "_loss", checked)
    for _ in range(5):
        run.one_epoch()
    network = run.finish().network
    assert not any(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def rows_by_epoch(recipe, dataset, monkeypatch):
    run = loop._Run(recipe, dataset, seed=0, device=CPU)
    seen = {epoch: [] for epoch in range(5)}
    one_step = run._one_step
    monkeypatch.setattr(run, "_one_step", lambda rows: seen[run.epoch].extend(rows.tolist()) or one_step(rows))
    for _ in range(5):
        run.one_epoch()
    return [sorted(rows) for rows in seen.values()]


def test_a_frozen_router_learns_from_samples_that_the_routes_have_not_seen(make, dataset, monkeypatch):
    rows = rows_by_epoch(make(routing={"holdout": 0.25}), dataset, monkeypatch)
    assert rows[0] == rows[1] == rows[2]
    assert rows[3] == rows[4]
    assert sorted(rows[0] + rows[3]) == list(range(len(dataset.train)))
    assert len(rows[3]) == 24


@pytest.mark.parametrize("routing", [{"holdout": 0.0}, {"freeze": False}])
def test_without_holdout_both_stages_see_every_sample(make, dataset, monkeypatch, routing):
    rows = rows_by_epoch(make(routing=routing), dataset, monkeypatch)
    assert rows == [list(range(len(dataset.train)))] * 5


@pytest.mark.parametrize(("freeze", "augmented"), [(True, {1, 2, 3}), (False, {1, 2, 3, 4, 5})])
def test_a_frozen_router_learns_from_samples_as_they_are(make, dataset, monkeypatch, freeze, augmented):
    epochs, seen = [0], set()
    apply = Augmentation.apply
    monkeypatch.setattr(Augmentation, "apply", lambda self, batch: seen.add(epochs[-1] + 1) or apply(self, batch))
    recipe = make(routing={"freeze": freeze}, input_noise=0.1)
    train(recipe, dataset, report=lambda epoch: epochs.append(epoch.epoch))
    assert seen == augmented


def test_the_learning_rate_starts_anew_in_the_second_stage(make, dataset):
    recipe = make(routing={"holdout": 0.5}, epochs=10, warmup=0.25, batch_size=12)
    run = loop._Run(recipe, dataset, seed=0, device=CPU)
    steps = (6 * 4, 4 * 4)  # 48 samples in either stage
    rates = []
    for run.step in range(sum(steps)):
        rates.append(run.learning_rate())
    for stage in (rates[: steps[0]], rates[steps[0] :]):
        n_warm = len(stage) // 4
        assert stage[:n_warm] == pytest.approx([0.01 * (step + 1) / n_warm for step in range(n_warm)])
        assert stage[n_warm - 1 :] == sorted(stage[n_warm - 1 :], reverse=True)
        assert max(stage) == 0.01
        assert 0 < stage[-1] < 0.04 * max(stage)


def test_patience_is_counted_in_the_last_stage_only(make, dataset, monkeypatch, differ):
    recipe = make(epochs=8, patience=2, routing={"first_stage": 0.5})
    fifth = train(recipe, dataset, epochs=5)
    losses = iter(range(1, 9))
    monkeypatch.setattr(loop._Run, "_validate", lambda self: (0.5, float(next(losses))))
    stopped = train(recipe, dataset)
    assert (stopped.status, len(stopped.curve), stopped.chosen.epoch) == ("early stop", 7, 5)
    assert not differ(stopped, fifth), "the first epoch with the router, however good those without were"


def test_validation_is_of_the_costliest_route_first_and_of_the_choice_then(make, dataset):
    run = loop._Run(make(routing={"resource_weight": 0.5}), dataset, seed=0, device=CPU)
    for epoch in range(5):
        result = run.one_epoch()
        table = run.validation.table(dataset)
        table = table.calibrated() if epoch >= 3 else table
        chosen = table.chosen(0.5 if epoch >= 3 else 0.0)
        loss = float(task_kind("multiclass").loss(table.digests[torch.arange(len(chosen)), chosen], table.targets))
        if epoch >= 3:
            loss += 0.5 * table.at(0.5).macs / table.at(0.0).macs
        assert result.val_metric == table.metric_of(chosen)
        assert result.val_loss == pytest.approx(loss)


def test_the_gate_is_calibrated_on_validation_data(make, dataset):
    trained = train(make(), dataset)
    network = trained.network
    table = tabulate_routes(network, dataset.val, dataset, metric="accuracy", device=CPU)
    assert float(network.threshold) == 0.5
    again = table.calibrated().calibration
    assert torch.equal(network.gate_scale, again.scale)
    assert torch.equal(network.gate_offset, again.offset)
    assert torch.equal(network.gate_prices, again.prices)
    assert network.calibration.status is again.status is not CalibrationStatus.IDENTITY
    metric, _ = evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
    assert trained.chosen.val_metric == metric == table.at(0.5).metric


def test_a_budget_sets_the_threshold(make, settled):
    free = train(make(), settled)
    table = tabulate_routes(free.network, settled.val, settled, metric="accuracy", device=CPU)
    low, high = table.macs.double().mean(dim=0).tolist()
    budget = round(low + 0.4 * (high - low))
    trained = train(make(router={"macs": budget}), settled)
    routed = table.at(float(trained.network.threshold))
    assert budget - (high - low) / len(table.targets) - 1 <= routed.macs <= budget
    assert trained.chosen.val_metric == routed.metric
    states = [dict(one.network.state_dict()) for one in (free, trained)]
    assert states[0].pop("threshold") != states[1].pop("threshold")
    assert same(*states), "nothing else changes"


def test_a_budget_for_everything_gives_the_costliest_route_alone(make, dataset):
    assert float(train(make(router={"macs": 10**9}), dataset).network.threshold) == 0


def test_a_budget_below_the_cheapest_route_is_refused(make, dataset):
    message = r"network\.router\.macs: 1 is below the \d+ MACs of the cheapest route alone; raise it"
    with pytest.raises(InvalidInputError, match=message):
        train(make(router={"macs": 1}), dataset)


def test_a_shorter_run_equals_the_start_of_a_longer_one(make, dataset):
    whole, part = train(make(), dataset), train(make(), dataset, epochs=4)
    assert [epoch.val_loss for epoch in part.curve] == [epoch.val_loss for epoch in whole.curve[:4]]


@pytest.mark.parametrize(
    ("routing", "first_stage"),
    [
        ({"first_stage": 0.0, "freeze": False, "holdout": 0.0}, 0),
        ({"first_stage": 0.01}, 1),  # the routes have one epoch at least
        ({"first_stage": 0.99}, 2),  # and so has the router
    ],
)
def test_each_stage_may_be_short(make, dataset, routing, first_stage):
    run = loop._Run(make(epochs=3, routing=routing), dataset, seed=0, device=CPU)
    assert run.first_stage == first_stage
    learns = []
    for _ in range(3):
        learns.append(run.router_learns)
        run.one_epoch()
    assert learns == [epoch >= first_stage for epoch in range(3)]


def test_nan_in_validation_data_is_no_result(make, make_dataset):
    dataset = make_dataset()
    column = dataset.val.columns["v"]
    column.values[column.index[0], 0] = math.nan
    with pytest.raises(NonFiniteError, match=r"^the validation metric became nan in epoch 1; lower training.lr$"):
        train(make(), dataset)


@pytest.mark.parametrize(("task", "metric"), [("multilabel", "macro_f1"), ("regression", "mae")])
def test_other_tasks(make, make_dataset, task, metric):
    trained = train(make(metric=metric), make_dataset(task))
    assert trained.curve[2].train_loss < trained.curve[0].train_loss
    assert math.isfinite(trained.chosen.val_metric)
