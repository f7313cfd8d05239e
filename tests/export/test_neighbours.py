"""What less or more cost than that of a chosen point would give."""

import pytest

from nasfuse.experiment.run_reader import read_run
from nasfuse.export import explanation, select_point

RESULTS = [(0.2, 10), (0.15, 20), (0.8, 100), (0.9, 10_000)]


@pytest.fixture
def run(make_run, tmp_path):
    return read_run(make_run(tmp_path / "run", RESULTS))


@pytest.mark.parametrize(
    ("trial", "sentence"),
    [
        (
            "2",
            "Trial 2 is the one that was asked for; the next cheaper point of the front is trial 0, 0.6000 worse at 10 "
            "MACs (0.1 times as much), and the next better one is trial 3, 0.1000 better at 10,000 MACs (100 times as "
            "much).",
        ),
        (
            "0",
            "for; no point of the front is cheaper, and the next better one is trial 2, 0.6000 better at 100 MACs (10 ",
        ),
        ("3", "0.1000 worse at 100 MACs (0.01 times as much), and no costlier one is better."),
        ("1", "trial 0, 0.0500 better at 10 MACs (0.5 times as much), and the next better one is trial 2, 0.6500 b"),
    ],
)
def test_of_each_point(run, trial, sentence):
    assert sentence in explanation(run, select_point(run, trial=trial))


def test_the_ratio_of_costs_that_are_close(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 10_000), (0.6, 10_204), (0.7, 10_204.1)]))
    assert "better at 10,204 MACs (1.02 times as much)" in explanation(run, select_point(run, trial="0"))


def test_an_error_is_better_where_it_is_smaller(make_run, tmp_path):
    study = {"metric": "mae", "data": {"source": "digits", "task": "regression"}}
    run = read_run(make_run(tmp_path / "run", [(0.9, 10), (0.5, 100)], **study))
    assert "no point of the front is cheaper, and the next better one is trial 1, 0.4000 better" in explanation(
        run, select_point(run, trial="0")
    )
