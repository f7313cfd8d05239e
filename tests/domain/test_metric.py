"""Metrics by name: direction, tasks, and what is said of a wrong one."""

import pytest

from nasfuse.domain.metric import METRICS, get_metric, metric_text
from nasfuse.errors import InvalidInputError

PAIRS = [(metric.name, task) for metric in METRICS.values() for task in metric.tasks]


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_every_metric_judges_its_tasks(name, task):
    metric = get_metric(name, task)
    assert metric is METRICS[name]
    assert metric.sign == {"maximize": -1.0, "minimize": 1.0}[metric.direction]


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_every_task_has_a_metric(task):
    assert any(task in metric.tasks for metric in METRICS.values())


def test_an_unknown_metric_gets_the_nearest():
    with pytest.raises(InvalidInputError, match=r"^metric: 'acuracy' is not known; did you mean 'accuracy'\? Known"):
        get_metric("acuracy", "multiclass")


def test_a_metric_of_another_task_gets_the_fitting_ones():
    with pytest.raises(
        InvalidInputError,
        match=r"^metric: accuracy does not apply to a regression task; use r2 or mae or rmse or pearson or spearm",
    ):
        get_metric("accuracy", "regression")


@pytest.mark.parametrize(
    ("metric", "value", "holds"),
    [
        ("accuracy", 0.8, True),
        ("accuracy", 0.7921, True),
        ("accuracy", 0.7919, False),
        ("accuracy", 0.9, True),
        ("mae", 0.8079, True),
        ("mae", 0.8081, False),
        ("mae", float("nan"), False),
        ("auc", 0.7921, True),
        ("log_loss", 0.8081, False),
    ],
)
def test_a_setting_holds_that_loses_at_most_a_hundredth(metric, value, holds):
    assert METRICS[metric].holds(value, 0.8) is holds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98124, "0.9812"),
        (0.0, "0.0000"),
        (-2.5, "-2.5000"),
        (47.123456, "47.1235"),
        (3.1e-9, "3.1e-09"),
        (2e19, "2e+19"),
    ],
)
def test_metric_text(value, text):
    assert metric_text(value) == text
