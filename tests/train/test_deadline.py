"""Deadlines: a training whose epochs do not fit in ends in time, with a learning rate that has fallen to zero."""

import math
from collections.abc import Callable

import pytest
import torch

from nasfuse.train import loop, train_network
from nasfuse.train.deadline import Deadline

CPU = torch.device("cpu")


class Clock:
    """A clock on which every epoch takes some seconds, in four steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds_of: Callable[[int], float]) -> None:
        self.now = 0.0
        self.rates: list[float] = []
        step = loop._Run._one_step

        def timed(run: loop._Run, rows: torch.Tensor) -> torch.Tensor:
            self.now += seconds_of(run.epoch) / math.ceil(len(run.rows()) / run.training.batch_size)
            loss = step(run, rows)
            self.rates.append(run.optimizer.param_groups[0]["lr"])
            return loss

        monkeypatch.setattr(loop._Run, "_one_step", timed)

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, clock=lambda: self.now)


def train(recipe, dataset, **options):
    return train_network(recipe, dataset, seed=0, device=CPU, **options)


@pytest.fixture
def clock(monkeypatch):
    """Epochs of a second."""
    return Clock(monkeypatch, lambda epoch: 1.0)


def test_a_training_that_fits_in_is_not_changed(make_recipe, dataset, clock, differ):
    recipe = make_recipe(epochs=6)
    assert not differ(train(recipe, dataset), train(recipe, dataset, deadline=clock.deadline(6.5)))


@pytest.mark.parametrize(("seconds", "epochs"), [(0.0, 1), (0.5, 1), (1.9, 1), (2.1, 2), (7.5, 7), (9.99, 9)])
def test_a_training_ends_in_time_but_has_an_epoch(make_recipe, dataset, clock, seconds, epochs):
    seen = []
    trained = train(make_recipe(epochs=10), dataset, deadline=clock.deadline(seconds), report=seen.append)
    assert (trained.status, len(trained.curve), trained.chosen.epoch) == ("shortened", epochs, epochs)
    assert seen == trained.curve[:-1], "a driver may answer a late report by ending the process"
    assert not trained.network.training


def test_the_learning_rate_has_fallen_when_the_time_is_over(make_recipe, dataset, clock):
    recipe = make_recipe(epochs=100, warmup=0.02, batch_size=24)
    train(recipe, dataset, deadline=clock.deadline(20.5))
    assert len(clock.rates) == 20 * 4
    assert clock.rates[8:] == sorted(clock.rates[8:], reverse=True)
    assert max(clock.rates) > 0.98 * recipe.training.lr
    assert clock.rates[-1] < 0.01 * recipe.training.lr


def test_a_training_that_gets_slower_ends_in_time(make_recipe, dataset, monkeypatch):
    clock = Clock(monkeypatch, lambda epoch: 1.0 if epoch < 10 else 3.0)
    trained = train(make_recipe(epochs=20), dataset, deadline=clock.deadline(20.5))
    assert len(trained.curve) == 13
    assert clock.rates[-1] < 0.05 * max(clock.rates)


def test_a_router_is_trained_before_a_training_may_end(make_recipe, dataset, clock):
    router = {"routes": ["v", "v+s"], "width": 4}
    recipe = make_recipe(placement=2, router=router, routing={"first_stage": 0.5}, epochs=10)
    late = train(recipe, dataset, deadline=clock.deadline(3.0))
    assert (late.status, len(late.curve)) == ("shortened", 6)
    clock.now, clock.rates = 0.0, []
    trained = train(recipe, dataset, deadline=clock.deadline(8.5))
    assert (trained.status, len(trained.curve)) == ("shortened", 8)
    second = clock.rates[5 * (len(clock.rates) // 8) :]
    assert second[-1] < 0.1 * max(second), "the second stage has what is left of the time"


def test_a_training_without_a_deadline_has_all_the_time():
    deadline = Deadline(math.inf)
    deadline.begin_epochs()
    deadline.note_epoch(left=10**9)
    assert (deadline.share, deadline.progress_of_stage, deadline.is_over) == (0.0, 0.0, False)
