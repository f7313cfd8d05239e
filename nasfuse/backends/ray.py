"""Running trials with Ray Tune: it distributes and restarts them, the scheduler decides and remembers.

Optuna's storage is the only truth. Tune keeps nothing that matters: its own experiment state is thrown away,
a new session starts a new experiment, and what was running is handed out again by the scheduler.
"""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nasfuse.backends.ray_session  # noqa: F401 - sets Ray's environment, before Ray is imported

# isort: split
import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from nasfuse.backends.base import Objective, Watcher, Workers
from nasfuse.backends.interrupts import Interrupts, interruptible
from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import DonorError, NasfuseError
from nasfuse.search.scheduler import Assignment, Scheduler
from nasfuse.spec.recipe import Recipe


def run_trials(
    scheduler: Scheduler,
    objective: Objective,
    *,
    workers: Workers,
    folder_of: Callable[[int], Path],
    scratch: Path,
    watcher: Watcher,
) -> None:
    """Runs trials until the scheduler wants no more and all are done.

    Args:
        scheduler: Hands out trials and takes their results.
        objective: Runs in the workers.
        workers: How many trials at a time, and what each gets.
        folder_of: Folder of a trial, on a file system that every node sees.
        scratch: For Tune's own files; may be removed afterwards.
        watcher: Told what happens.

    Raises:
        Exhausted: The space has no candidate that may be trained.
        RunFolderError: Another search writes to the same study.
        Interrupted: A signal asked for an end.
    """
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(workers.count)
    searcher = _TrialSearcher(scheduler, watcher, folder_of, workers.count)
    trainable = tune.with_resources(
        tune.with_parameters(_run_trial, objective=objective),
        {"cpu": workers.cpus_per_trial, "gpu": workers.gpus_per_trial},
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=_RungScheduler(searcher),
            num_samples=-1,
            max_concurrent_trials=None,
            reuse_actors=True,
            trial_name_creator=_short_name,
            trial_dirname_creator=_short_name,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(scratch.absolute()),
            verbose=0,
            # Ray's own retries lose a trial whose worker dies while the process is being reset for it (the trial is
            # then still pending), so the searcher hands trials out again.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    with interruptible() as interrupts:
        searcher.interrupts = interrupts
        tuner.fit()
    if searcher.error is not None:
        raise searcher.error


def _short_name(trial: Any) -> str:
    return str(trial.trial_id)


def _run_trial(config: dict[str, Any], *, objective: Objective) -> None:
    """Runs one trial in a worker. Our own errors are results; only the death of the process is Ray's business."""
    try:
        try:
            measured = _measure(config, objective, donors=config["donors"])
        except DonorError as error:
            tune.report({"from_scratch": _one_line(error)})
            measured = _measure(config, objective, donors={})
        measured.record["node"] = ray.get_runtime_context().get_node_id()[:8]
        payload = json.dumps({"measurements": measured.to_plain()})
    except Exception as error:
        payload = json.dumps({"reason": f"{type(error).__name__}: {_one_line(error)}"})
    tune.report({"payload": payload})


def _measure(config: dict[str, Any], objective: Objective, *, donors: dict[str, str]) -> Measurements:
    def report(epoch: int, metric: float) -> None:
        if epoch in config["rungs"]:  # each costs a round trip to the driver
            tune.report({"epoch": epoch, "metric": metric})  # raises SystemExit in a trial that is stopped

    return objective(
        Recipe.model_validate_json(config["recipe"]),
        seed=config["seed"],
        cut=config["cut"],
        folder=Path(config["folder"]),
        report=report,
        donors={stream: Path(file) for stream, file in donors.items()},
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class _TrialSearcher(Searcher):
    """Lets Tune take its trials from the scheduler and give their results back to it."""

    def __init__(
        self,
        scheduler: Scheduler,
        watcher: Watcher,
        folder_of: Callable[[int], Path],
        n_workers: int,
    ) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._watcher = watcher
        self._folder_of = folder_of
        self._n_workers = n_workers
        self._running: dict[str, Assignment] = {}
        self._orphans: list[Assignment] = []
        self._stopped: set[str] = set()
        self.error: NasfuseError | None = None
        self.interrupts = Interrupts()

    def suggest(self, trial_id: str) -> Any:
        """Returns the configuration of the next trial, None to be asked again, or FINISHED."""
        self.interrupts.check()
        if self._orphans:
            return self._hand_out(trial_id, self._orphans.pop(0))
        if self.error is not None or not self._scheduler.wants_more(running=len(self._running)):
            return None if self._running else Searcher.FINISHED
        if len(self._running) >= self._n_workers:
            return None
        try:
            assignment = self._scheduler.next()
        except NasfuseError as error:  # raised after the trials that run have ended
            self.error = error
            return None if self._running else Searcher.FINISHED
        if assignment is None:
            return None
        folder = self._folder_of(assignment.number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(assignment.recipe.to_yaml(), encoding="utf-8")
        self._watcher.started(assignment)
        return self._hand_out(trial_id, assignment)

    def _hand_out(self, trial_id: str, assignment: Assignment) -> dict[str, Any]:
        self._running[trial_id] = assignment
        return {
            "recipe": assignment.recipe.model_dump_json(),
            "seed": assignment.seed,
            "cut": assignment.cut,
            "rungs": list(assignment.rungs),
            "folder": str(self._folder_of(assignment.number).absolute()),
            "donors": {
                stream: str(self._folder_of(donor).absolute() / "model.pt")
                for stream, donor in assignment.inherited.items()
            },
        }

    def goes_on(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Returns whether a trial goes on after what it reported; `on_trial_complete` follows if it does not."""
        if "from_scratch" in result:
            assignment = self._running[trial_id]
            self._scheduler.start_from_scratch(assignment.number, result["from_scratch"])
            self._running[trial_id] = replace(assignment, inherited={})
        if "epoch" not in result:
            return True
        number = self._running[trial_id].number
        if self._scheduler.goes_on(number, epoch=result["epoch"], metric=result["metric"]):
            return True
        self._stopped.add(trial_id)
        return False

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells the scheduler how a trial ended; one whose worker died goes to another."""
        assignment = self._running.pop(trial_id, None)
        if assignment is None:
            return
        number = assignment.number
        payload = json.loads(result["payload"]) if result and "payload" in result else {}
        if "measurements" in payload:
            measurements = Measurements.from_plain(payload["measurements"])
            self._scheduler.finish(number, measurements)
            self._watcher.finished(number, measurements)
        elif result is not None and trial_id in self._stopped:
            self._scheduler.stop(number, epoch=result["epoch"], metric=result["metric"])
            self._watcher.stopped(number, result["epoch"])
        elif "reason" in payload:
            self._scheduler.fail(number, payload["reason"])
            self._watcher.failed(number, payload["reason"])
        elif self._scheduler.retry(number):
            self._orphans.append(assignment)
        else:
            self._watcher.failed(number, self._scheduler.trials()[number].reason)

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune pickles its searcher into a state that is never restored."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: the storage is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Restores nothing: the storage is the only truth."""


class _RungScheduler(FIFOScheduler):
    """Lets the scheduler decide which trials Tune stops; what it decides by is in the storage, not here.

    A function trainable that is stopped never returns from its report: its thread ends there, before the worker
    gets the next trial.
    """

    def __init__(self, searcher: _TrialSearcher) -> None:
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Returns whether the trial goes on."""
        decision: str = TrialScheduler.CONTINUE
        if not self._searcher.goes_on(trial.trial_id, result):
            decision = TrialScheduler.STOP
        return decision
