"""Progress from the storage alone."""

from optuna.storages import InMemoryStorage

from nasfuse.search.progress import summarise


def test_before_the_first_trial(open_scheduler):
    scheduler = open_scheduler(InMemoryStorage())
    progress = summarise(scheduler.trials(), scheduler.objectives)
    assert progress.states == {
        "complete": 0,
        "running": 0,
        "waiting": 0,
        "stopped": 0,
        "out_of_time": 0,
        "failed": 0,
        "over_max_macs": 0,
    }
    assert (progress.done, progress.hypervolume, progress.front) == (0, 0.0, [])
    assert progress.best is progress.best_baseline is progress.seconds_per_suggestion is None


def test_in_the_middle(open_scheduler, make_study, measured):
    scheduler = open_scheduler(InMemoryStorage(), make_study(max_macs=16))
    for metric, macs in ((0.5, 10), (0.4, 12), (0.6, 14)):
        scheduler.finish(scheduler.next().number, measured(metric, macs))
    better = scheduler.next().number
    scheduler.finish(better, measured(0.7, 16))
    failed = scheduler.next().number
    scheduler.fail(failed, "it broke")
    running = scheduler.next().number
    progress = summarise(scheduler.trials(), scheduler.objectives)
    assert progress.states["complete"] == 4
    assert progress.states["failed"] == progress.states["running"] == 1
    assert progress.states["over_max_macs"] == running + 1 - 6
    assert progress.done == 5
    assert (progress.epochs_spent, progress.epochs_saved) == (16, 8)
    assert [candidate.trial for candidate in progress.front] == [0, 2, better]
    assert progress.best.trial == better
    assert (progress.best_baseline.trial, progress.best_baseline.baseline) == (2, "both")
    assert progress.reasons == {failed: "it broke"}
    assert progress.seconds_per_suggestion > 0
