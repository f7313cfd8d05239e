"""Choosing one point of a run, and what is said where nothing fits."""

import pytest

from nasfuse.errors import InvalidInputError
from nasfuse.experiment.run_reader import read_run
from nasfuse.export import select_point

RESULTS = [(0.2, 10), (0.15, 20), (0.8, 100), "ValueError: it broke", (0.9, 10_000), [(0.7, 90), (0.3, 30)], None]


@pytest.fixture
def run(make_run, tmp_path):
    return read_run(make_run(tmp_path / "run", RESULTS))


@pytest.mark.parametrize(
    ("how", "trial", "point"),
    [
        ({}, 4, 0),
        ({"rule": "best"}, 4, 0),
        ({"rule": "cheapest"}, 0, 0),
        ({"rule": "knee"}, 4, 0),
        ({"trial": "1"}, 1, 0),
        ({"trial": "5"}, 5, 0),
        ({"trial": "5:1"}, 5, 1),
        ({"max_macs": 99}, 5, 0),
        ({"max_macs": 50}, 5, 1),
        ({"max_macs": 10}, 0, 0),
        ({"max_macs": 10**9}, 4, 0),
        ({"min_metric": 0.2}, 0, 0),
        ({"min_metric": 0.25}, 5, 1),
        ({"min_metric": 0.75}, 2, 0),
        ({"min_metric": 0.9}, 4, 0),
        ({"within": 0}, 4, 0),
        ({"within": 15}, 2, 0),
        ({"within": 25}, 5, 0),
        ({"within": 100}, 0, 0),
        ({"max_latency_ms": 1e6}, 4, 0),
    ],
)
def test_what_is_selected(run, how, trial, point):
    chosen = select_point(run, **how)
    assert (chosen.trial, chosen.point) == (trial, point)
    assert select_point(run, trial=chosen.label) == chosen


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"max_macs": 9}, "--max-macs 9: the cheapest network has 10 MACs; raise the limit"),
        ({"min_metric": 0.91}, r"--min-metric 0.91: the best network reaches 0\.9000; relax the limit"),
        ({"max_latency_ms": 1e-9}, r"--max-latency-ms 1e-09: the fastest network takes \S+ ms; raise the limit"),
        ({"min_metric": float("nan")}, "--min-metric must be a number, got nan"),
        ({"trial": "3"}, "--trial 3: it failed: ValueError: it broke; `nasfuse pareto .*run` lists the front"),
        ({"trial": "6"}, "--trial 6: it is not a finished trial of this run"),
        ({"trial": "5:9"}, "--trial 5:9: trial 5 has the points 0, 1; choose one of them"),
        ({"trial": "five"}, "--trial must be the number N of a trial, or N:P for its point P, got 'five'"),
        ({"trial": "99"}, "--trial 99: it is not a finished trial of this run"),
    ],
)
def test_what_cannot_be_selected(run, how, message):
    with pytest.raises(InvalidInputError, match=message):
        select_point(run, **how)


def test_one_that_inherited_weights_cannot_be_selected(make_run, tmp_path):
    results = [(0.5 + number / 100, 100 + number) for number in range(20)]
    run = read_run(
        make_run(tmp_path / "run", results, inherit=True, sampler="random", budget={"trials": 20, "repeats": 2})
    )
    measured = {number for candidate in run.candidates for number in candidate.trainings}
    heir = min(set(range(20)) - measured)
    with pytest.raises(InvalidInputError, match=f"{heir}: it is not a finished trial of this run that was trained"):
        select_point(run, trial=str(heir))
    assert select_point(run).trial in measured


def test_an_error_is_better_where_it_is_smaller(make_run, tmp_path):
    study = {"metric": "mae", "data": {"source": "digits", "task": "regression"}}
    run = read_run(make_run(tmp_path / "run", [(0.9, 10), (0.5, 100), (0.4, 1000)], **study))
    assert select_point(run).trial == 2
    assert select_point(run, rule="cheapest").trial == 0
    assert select_point(run, min_metric=0.6).trial == 1
    with pytest.raises(InvalidInputError, match=r"the best network reaches 0\.4000"):
        select_point(run, min_metric=0.3)


def test_nothing_within_the_limit_of_the_study(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 20), (0.6, 30)], max_macs=10))
    with pytest.raises(InvalidInputError, match="no operating point of at most max_macs 10 in its 2 finished t"):
        select_point(run)
    with pytest.raises(
        InvalidInputError, match="finished trial of this run, or has no operating point of at most max_macs"
    ):
        select_point(run, trial="1")


@pytest.mark.parametrize("how", [{}, {"rule": "knee"}, {"max_macs": 10}, {"min_metric": 0.5}])
def test_nothing_measured_yet(make_run, tmp_path, how):
    run = read_run(make_run(tmp_path / "run", ["it broke"]))
    with pytest.raises(InvalidInputError, match="has no finished trial yet; continue its search first"):
        select_point(run, **how)
    with pytest.raises(InvalidInputError, match="--trial 0: it failed: it broke"):
        select_point(run, trial="0")
