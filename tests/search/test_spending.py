"""What a search has spent on which kind of training."""

from nasfuse.backends.outcome import Stopped
from nasfuse.experiment.run_reader import read_run
from nasfuse.search.spending import spending


def test_by_kind(make_run, tmp_path):
    # the first three are hand-made; results have 2 of 3 epochs, stopped trainings 1 of 2
    results = [(0.5, 100), (0.4, 200), "broken", (0.9, 1000), 0.2, Stopped(1, 0.3), None]
    found = {one.kind: one for one in spending(read_run(make_run(tmp_path / "run", results)).trials)}
    assert list(found) == ["hand-made", "suggested"]
    first, rest = found.values()
    assert (first.trainings, first.complete, first.stopped, first.out_of_time, first.failed) == (3, 2, 0, 0, 1)
    assert (rest.trainings, rest.complete, rest.stopped, rest.out_of_time, rest.failed) == (3, 1, 1, 1, 0)
    assert (first.epochs, first.saved, rest.epochs, rest.saved) == (4, 2, 4, 3)
    assert 0 < first.seconds < 60


def test_further_trainings_of_the_front_are_confirmations(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 100), (0.3, 100)]))
    run.trials[1].frozen.set_user_attr("repeat_of", 0)
    assert [(one.kind, one.trainings) for one in spending(run.trials)] == [("hand-made", 1), ("confirmation", 1)]
