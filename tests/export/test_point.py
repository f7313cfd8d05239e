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
        ({"pick": "best"}, 4, 0),
        ({"pick": "cheapest"}, 0, 0),
        ({"pick": "knee"}, 4, 0),
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
        ({"pick": "cheapest", "max_macs": 99}, 0, 0),
        ({"pick": "best", "min_metric": 0.25}, 4, 0),
        ({"pick": "best", "within": 25, "max_macs": 1000}, 2, 0),
        ({"within": 15, "max_macs": 1000}, 5, 0),  # of the best with at most 1000 MACs, which is 0.8
        ({"min_metric": 0.25, "max_macs": 99}, 5, 1),
        ({"pick": "knee", "max_macs": 50}, 5, 1),
    ],
)
def test_what_is_selected(run, how, trial, point):
    chosen = select_point(run, **how).candidate
    assert (chosen.trial, chosen.point) == (trial, point)
    assert select_point(run, trial=chosen.label).candidate == chosen


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"max_macs": 9}, "no point has at most 9 MACs; the nearest is trial 0 with 10 MACs$"),
        (
            {"min_metric": 0.91},
            r"no point has accuracy of at least 0\.91; the nearest is trial 4 with accuracy 0\.9000$",
        ),
        ({"max_latency_ms": 1e-9}, r"no point has at most 1e-09 ms; the nearest is trial \d+ with 1 ms$"),
        (
            {"max_macs": 50, "min_metric": 0.5},
            "no point has at most 50 MACs and accuracy of at least 0.5; with accuracy of at least 0.5, the nearest is "
            "trial 5 with 90 MACs; with at most 50 MACs, the nearest is trial 5:1 with accuracy 0.3000$",
        ),
        ({"max_macs": 5, "min_metric": 0.95}, "relaxing one limit is not enough$"),
        ({"max_macs": 5, "within": 10}, "no point has at most 5 MACs; the nearest is trial 0"),
        ({"trial": "1", "pick": "best"}, "--trial names one point, so no other criterion applies; leave the others"),
        ({"min_metric": float("nan")}, "--min-metric must be a number, got nan; correct it"),
        ({"max_macs": float("nan")}, "--max-macs must be a number, got nan; correct it"),
        ({"max_latency_ms": True}, "--max-latency-ms must be a number, got True; correct it"),
        ({"within": -1}, "--within must be a percentage from 0 to 100, got -1; correct it"),
        ({"within": 100.5}, "--within must be a percentage from 0 to 100, got 100.5; correct it"),
        ({"within": float("nan")}, "--within must be a number, got nan; correct it"),
        ({"pick": ["best"]}, r"--pick must be one of best, knee, cheapest, got \['best'\]; correct it"),
        ({"trial": "3"}, "--trial 3: it failed: ValueError: it broke; `nasfuse pareto .*run` lists the front"),
        ({"trial": "6"}, "--trial 6: it is not a finished trial of this run"),
        ({"trial": "5:9"}, "--trial 5:9: trial 5 has the points 0, 1; choose one of them"),
        ({"trial": "five"}, "--trial must be the number N of a trial, or N:P for its point P, got 'five'"),
        ({"trial": "9" * 5000}, "--trial must be the number N of a trial, or N:P for its point P, got '9999"),
        ({"trial": "99"}, "--trial 99: there is no such trial in this run, the last is trial 6; `nasfuse pareto"),
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
    assert select_point(run).candidate.trial in measured


def test_an_error_is_better_where_it_is_smaller(make_run, tmp_path):
    study = {"metric": "mae", "data": {"source": "digits", "task": "regression"}}
    run = read_run(make_run(tmp_path / "run", [(0.9, 10), (0.5, 100), (0.4, 1000)], **study))
    assert select_point(run).candidate.trial == 2
    assert select_point(run, pick="cheapest").candidate.trial == 0
    assert select_point(run, min_metric=0.6).candidate.trial == 1
    with pytest.raises(
        InvalidInputError, match=r"no point has mae of at most 0\.3; the nearest is trial 2 with mae 0\.4000"
    ):
        select_point(run, min_metric=0.3)


def test_nothing_within_the_limit_of_the_study(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 20), (0.6, 30)], max_macs=10))
    with pytest.raises(InvalidInputError, match="no operating point of at most max_macs 10 in its 2 finished t"):
        select_point(run)
    with pytest.raises(
        InvalidInputError, match="finished trial of this run, or has no operating point of at most max_macs"
    ):
        select_point(run, trial="1")
    with pytest.raises(InvalidInputError, match="--trial 2: there is no such trial in this run, the last is trial 1; "):
        select_point(run, trial="2")


@pytest.mark.parametrize("how", [{}, {"pick": "knee"}, {"max_macs": 10}, {"min_metric": 0.5}])
def test_nothing_measured_yet(make_run, tmp_path, how):
    run = read_run(make_run(tmp_path / "run", ["it broke"]))
    with pytest.raises(InvalidInputError, match="has no finished trial yet; continue its search first"):
        select_point(run, **how)
    with pytest.raises(InvalidInputError, match="--trial 0: it failed: it broke"):
        select_point(run, trial="0")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({}, "has the best accuracy of the points of the front"),
        ({"pick": "cheapest"}, "is the cheapest of the points of the front"),
        ({"max_macs": 2000}, "has the best accuracy of the points with at most 2,000 MACs"),
        (
            {"min_metric": 0.5, "within": 50},
            "is the cheapest of the points with accuracy of at least 0.5 and accuracy at most 50 % worse than the best "
            "of these (0.9000)",
        ),
        ({"trial": "2"}, "is the one that was asked for"),
    ],
)
def test_why(run, how, reason):
    assert select_point(run, **how).reason == reason


def test_why_the_knee(run):
    """One training each: a hundredth of the lead of 0.9 over a constant 0.1 may be lost."""
    assert select_point(run, pick="knee").reason == (
        "is the knee of the points of the front, the cheapest point within 0.008 of the best (1% of its lead over a "
        "constant)"
    )
