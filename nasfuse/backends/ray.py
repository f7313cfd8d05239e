"""Trials on Ray Tune: Tune distributes them, and its searcher and scheduler pass every decision to the driver.

Tune keeps no state that is read again: the study is in Optuna's storage, and a continued search starts a new
experiment.
"""

import json
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from nasfuse.backends.ray_session import ray_session, trials_at_a_time  # sets Ray's environment before Ray is imported

# isort: split
import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from nasfuse.backends.base import Decision, Driver, Pause, too_small
from nasfuse.backends.cluster_nodes import ClusterNodes, checked_nodes
from nasfuse.backends.ended_trials import EndedTrials, NoProgressReports
from nasfuse.backends.objective import Objective, Task, failure_of
from nasfuse.backends.outcome import Died, Failed, Faulted, Measured, Outcome, Stopped
from nasfuse.backends.ray_processes import inherited_environment
from nasfuse.backends.session_watch import hold_if_lost
from nasfuse.backends.worker_places import KeptWorkers, Place, PlaceNumbers
from nasfuse.backends.workers_ahead import WorkersAhead
from nasfuse.domain.operating_point import Measurements
from nasfuse.spec.study import ResourcesConfig


@contextmanager
def open_ray(
    objective: Objective,
    *,
    resources: ResourcesConfig,
    folder_of: Callable[[int], Path],
    scratch: Path,
    address: str | None = None,
    ahead: WorkersAhead | None = None,
) -> Iterator["RayBackend"]:
    """Yields a backend on the Ray cluster at `address`, or on this machine.

    Args:
        objective: Called in the workers.
        resources: Cores and GPUs of every trial.
        folder_of: Returns the folder of a trial from its number, on a file system that all nodes share.
        scratch: Folder for the files of Tune, which may be removed after the search.
        address: Address of a Ray cluster; None starts Ray on this machine.
        ahead: Workers that have started, in a session on this machine which ends with the backend; None if none have.

    Raises:
        InvalidInputError: This machine is too small for one trial, or has no folder for Ray's sockets.
        NasfuseError: There is no cluster at `address`, or none of its nodes can run trials.
    """
    with ray_session(address) if ahead is None else ahead.session, ExitStack() as stack:
        nodes = None
        if address is not None:
            nodes = stack.enter_context(checked_nodes(scratch, needs_cuda=resources.gpus_per_trial > 0))
        backend = RayBackend(
            objective, resources=resources, folder_of=folder_of, scratch=scratch, nodes=nodes, ahead=ahead
        )
        if backend.capacity == 0 and address is None:  # a cluster may still grow
            raise too_small(resources)
        yield backend


class RayBackend:
    """Runs trials on the Ray cluster that this process is connected to."""

    def __init__(
        self,
        objective: Objective,
        *,
        resources: ResourcesConfig,
        folder_of: Callable[[int], Path],
        scratch: Path,
        nodes: ClusterNodes | None = None,
        ahead: WorkersAhead | None = None,
    ) -> None:
        """Keeps the arguments, which are those of `open_ray`, and the nodes of a cluster; None for this machine."""
        self._objective = objective
        self._resources = resources
        self._folder_of = folder_of
        self._scratch = scratch
        self._nodes = nodes
        self._ahead = ahead
        self._here = ray.cluster_resources() if nodes is None else {}

    @property
    def capacity(self) -> int:
        """Trials that fit at a time on the nodes that can run them; 0 if there is no room for one."""
        nodes = [self._here] if self._nodes is None else self._nodes.fit
        cpus, gpus = self._resources.cpus_per_trial, self._resources.gpus_per_trial
        return sum(trials_at_a_time(node, cpus_per_trial=cpus, gpus_per_trial=gpus) for node in nodes)

    @property
    def can_grow(self) -> bool:
        """Whether trials run on a cluster, which nodes may join or leave."""
        return self._nodes is not None

    def run(self, driver: Driver) -> None:
        """Runs trials until the driver is done and no trial runs."""
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(driver.n_workers)
        if self._ahead is not None:
            self._ahead.keep(driver.n_workers)
        actor_class = ray.remote if self._ahead is None else self._ahead.actor_class
        with inherited_environment(actor_class) if self._nodes is None else nullcontext():
            self._tuner(driver).fit()

    @property
    def _bundle(self) -> dict[str, float]:
        return {"CPU": self._resources.cpus_per_trial, "GPU": self._resources.gpus_per_trial}

    def _look_at_nodes(self, driver: Driver) -> dict[str, str]:
        """Returns the labels of the nodes that may run the next trial; tells the driver which nodes are left out."""
        if self._nodes is None:
            return {}
        for sentence in self._nodes.update():
            driver.note(sentence)
        self._nodes.request(max(driver.n_workers - self.capacity, 0), self._bundle)
        return self._nodes.selector

    def _note_death(self) -> None:
        hold_if_lost()
        if self._nodes is not None:
            self._nodes.look_again()

    def _tuner(self, driver: Driver) -> tune.Tuner:
        searcher = _DriverSearcher(driver, self._folder_of, partial(self._look_at_nodes, driver), self._note_death)
        trainable = tune.with_resources(
            tune.with_parameters(_run_trial, objective=self._objective),
            partial(_resources_of_a_trial, bundle=self._bundle),
        )
        return tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=_DriverScheduler(searcher),
                num_samples=-1,
                max_concurrent_trials=None,
                reuse_actors=True,
                trial_name_creator=_short_name,
                trial_dirname_creator=_short_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(self._scratch.absolute()),
                verbose=0,
                callbacks=[NoProgressReports()],
                # Ray's own retries lose a trial whose worker dies while the process is being reset for it (the trial
                # is then still pending), so the driver hands trials out again.
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )


def _resources_of_a_trial(config: dict[str, Any], *, bundle: dict[str, float]) -> Place:
    return Place(bundle, number=config["place"], selector=config["selector"])


def _short_name(trial: Any) -> str:
    return str(trial.trial_id)


def _run_trial(config: dict[str, Any], *, objective: Objective) -> None:
    """Runs one trial in a worker. An exception of the objective is a result; only the death of the process is not."""
    task: Task = pickle.loads(config["task"])
    outcome = task.run(
        objective,
        report=lambda epoch, metric: tune.report({"epoch": epoch, "metric": metric}),  # SystemExit if it is stopped
        report_lost_inheritance=lambda reason: tune.report({"lost_inheritance": reason}),
    )
    tune.report({"payload": _payload(outcome)})


def _payload(outcome: Measured | Failed | Faulted) -> str:
    """Returns an outcome as JSON text; what an objective returned may be no measurements, which is a failure."""
    if isinstance(outcome, Measured):
        try:
            outcome.measurements.record["node"] = ray.get_runtime_context().get_node_id()[:8]
            return json.dumps({"measurements": outcome.measurements.to_plain()})
        except Exception as error:
            outcome = failure_of(error)
    return json.dumps({"fault" if isinstance(outcome, Faulted) else "reason": outcome.reason})


class _DriverSearcher(Searcher):
    """Takes the trials of Tune from a driver and tells it how they ended."""

    def __init__(
        self,
        driver: Driver,
        folder_of: Callable[[int], Path],
        select_nodes: Callable[[], dict[str, str]],
        note_death: Callable[[], None],
    ) -> None:
        super().__init__()
        self._driver = driver
        self._folder_of = folder_of
        self._select_nodes, self._note_death = select_nodes, note_death
        self._numbers: dict[str, int] = {}
        self._places = PlaceNumbers()
        self._stopped: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        """Returns the configuration of the next trial, None to be asked again, or FINISHED."""
        selector = self._select_nodes()  # first, as the driver hands out no more trials than fit on these
        assignment = self._driver.next_trial()
        if isinstance(assignment, Pause):
            return Searcher.FINISHED if assignment is Pause.DONE else None
        self._numbers[trial_id] = assignment.number
        # Tune keeps the configurations of all trials, and copies of them in results; bytes need a fifth of the memory.
        task = pickle.dumps(Task.of(assignment, folder_of=self._folder_of))
        return {"task": task, "selector": selector, "place": self._places.take(trial_id)}

    def decide(self, trial_id: str, result: dict[str, Any]) -> Decision:
        """Returns whether a trial continues after a report; `on_trial_complete` follows if it does not."""
        number = self._numbers[trial_id]
        if "lost_inheritance" in result:
            self._driver.on_lost_inheritance(number, result["lost_inheritance"])
        if "epoch" not in result:
            return Decision.CONTINUE
        decision = self._driver.on_report(number, epoch=result["epoch"], metric=result["metric"])
        if decision is Decision.STOP:
            self._stopped.add(trial_id)
        return decision

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells the driver how a trial ended; Tune passes no result if the worker died."""
        number = self._numbers.pop(trial_id, None)
        if number is not None:
            outcome = self._outcome(trial_id, result or {})
            self._places.leave(trial_id, has_worker=not isinstance(outcome, Died))
            if isinstance(outcome, Died):
                self._note_death()
            self._driver.on_end(number, outcome)

    def _outcome(self, trial_id: str, result: dict[str, Any]) -> Outcome:
        payload = json.loads(result.get("payload", "{}"))
        if "measurements" in payload:
            return Measured(Measurements.from_plain(payload["measurements"]))
        if "reason" in payload:
            return Failed(payload["reason"])
        if "fault" in payload:
            return Faulted(payload["fault"])
        if result and trial_id in self._stopped:
            return Stopped(result["epoch"], result["metric"])
        return Died()

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune pickles its searcher into a state that is never restored."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: the study is in its storage."""

    def restore(self, checkpoint_path: str) -> None:
        """Restores nothing: the study is in its storage."""


class _DriverScheduler(FIFOScheduler):
    """Stops the trials of Tune that the driver wants to be stopped.

    A function trainable that is stopped never returns from its report: its thread ends there, before the worker
    gets the next trial.
    """

    def __init__(self, searcher: _DriverSearcher) -> None:
        super().__init__()
        self._searcher = searcher
        self._kept = KeptWorkers()
        self._ended = EndedTrials()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Notes that a trial has been handed out."""
        super().on_trial_add(tune_controller, trial)
        self._kept.keep(trial.placement_group_factory, tune_controller._tune_controller)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Notes that a trial has ended."""
        super().on_trial_complete(tune_controller, trial, result)
        self._ended.add(trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Notes that the worker of a trial has died."""
        super().on_trial_error(tune_controller, trial)
        self._ended.add(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Returns the trial that Tune starts next; called in each of its steps."""
        self._ended.forget(tune_controller._tune_controller)
        self._kept.release_if_idle(tune_controller._tune_controller)
        return super().choose_trial_to_run(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Returns whether the trial continues."""
        decision = self._searcher.decide(trial.trial_id, result)
        return str(TrialScheduler.STOP if decision is Decision.STOP else TrialScheduler.CONTINUE)
