"""Hypervolume of a search over time and epochs."""

import math
from datetime import datetime, timedelta

import pytest

from nasfuse.experiment.run_reader import read_run
from nasfuse.search.history import busy_seconds, hypervolume_history
from nasfuse.search.trial import TrialView

START = datetime(2026, 1, 1)


@pytest.fixture
def run(make_run, tmp_path):
    return read_run(make_run(tmp_path / "run", [(0.5, 100), "broken", (0.4, 200), (0.9, 1000), 0.2]))


def test_every_training_with_a_result_or_a_stop_is_a_milestone(run):
    history = hypervolume_history(run.trials, run.objectives)
    assert [(one.trial, one.epochs) for one in history] == [(0, 2), (2, 4), (3, 6), (4, 7)]
    # the reference point is (0.1, 1e6): areas in decades of cost
    alone = 4 * 0.4
    both = 1 * 0.4 + 3 * 0.8
    assert [one.hypervolume for one in history] == pytest.approx([alone, alone, both, both])
    assert history[-1].hypervolume == pytest.approx(run.progress.hypervolume)
    seconds = [one.seconds for one in history]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < math.inf


def test_a_mean_over_repetitions_replaces_the_first_result(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 100), (0.3, 100)]))
    first, second = run.trials[:2]
    second.frozen.set_user_attr("recipe_hash", first.recipe_hash)
    history = hypervolume_history([first, TrialView(second.frozen)], run.objectives)
    assert [one.hypervolume for one in history] == pytest.approx([4 * 0.4, 4 * 0.3]), "the mean is 0.4, 0.3 above 0.1"


def test_pauses_and_overlaps_do_not_count(run):
    spans = [(0, 10), (5, 12), (6, 7), (100, 101)]
    trials = []
    for trial, (start, end) in zip(run.trials, spans, strict=False):
        frozen = trial.frozen
        frozen.datetime_start = START + timedelta(seconds=start)
        frozen.datetime_complete = START + timedelta(seconds=end)
        trials.append(TrialView(frozen))
    ended = sorted(trials, key=lambda trial: trial.frozen.datetime_complete)
    assert busy_seconds(ended) == [1, 10, 12, 12 + 1]
    assert busy_seconds([]) == []


def test_none_before_the_first_result(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [None]))
    assert hypervolume_history(run.trials, run.objectives) == []
