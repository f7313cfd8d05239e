"""Trials per second of a search without training, compared with the defaults of Ray Tune.

The trials return at once, so that only the overhead is measured: sampler, Ray Tune, storage and files of the run. Both
are timed from the first to the last trial, in turn and in new processes, after a few trials that start the workers.

    python benchmarks/overhead.py            # about three minutes on two cores
    python benchmarks/overhead.py --side ours --sampler random --trials 3000
    python benchmarks/overhead.py --side ours --sampler random --workers 16 --seconds 2 --trials 480

The last two measure nasfuse alone: how the number of trials changes its speed, and, with trials that sleep, which share
of their time workers are busy, once after all of them have run a trial and once from the first hand-out, so with the
start of the workers. More workers than cores run on a cluster of one node that says it has as many cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WARM_UP = 6


class Clock:
    """Measures the time from the end of the warm-up to the last trial, and that from the first hand-out."""

    def __init__(self, *, warm_up: int = WARM_UP) -> None:
        """Leaves out the first `warm_up` trials."""
        self.warm_up = warm_up
        self.handed_out: list[float] = []
        self.ended: list[float] = []
        self.cpu_s: list[float] = []
        self.workers: list[int] = []

    def start(self) -> None:
        """Notes that a trial is handed out."""
        self.handed_out.append(time.perf_counter())

    def tick(self, worker: int = 0) -> None:
        """Notes the end of a trial, and the process that ran it."""
        self.ended.append(time.perf_counter())
        self.cpu_s.append(time.process_time())
        self.workers.append(worker)

    @property
    def per_second(self) -> float:
        """Trials per second."""
        return (len(self.ended) - self.warm_up) / (self.ended[-1] - self.ended[self.warm_up - 1])

    def busy(self, *, seconds: float, workers: int) -> dict[str, float]:
        """Returns the share of the workers' time in trials of so many seconds, and the driver's CPU time per trial.

        The share is given after all workers have run a trial, and from the first hand-out.
        """
        first = max(self.workers.index(worker) for worker in set(self.workers))
        n_after = len(self.ended) - 1 - first

        def share(n_trials: int, since: float) -> float:
            return n_trials * seconds / (workers * (self.ended[-1] - since))

        return {
            "processes": len(set(self.workers)),
            "start_s": self.ended[first] - self.handed_out[0],
            "busy": share(n_after, self.ended[first]),
            "busy_with_start": share(len(self.ended), self.handed_out[0]),
            "driver_cpu_ms": 1e3 * (self.cpu_s[-1] - self.cpu_s[first]) / n_after,
        }


class NoWork:
    """An objective that returns after some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, recipe: Any, *, seed: int, **_: Any) -> Any:
        """Returns an operating point that depends on the recipe only."""
        from nasfuse.domain.operating_point import Measurements, OperatingPoint

        time.sleep(self._seconds)
        metric = (int(recipe.hash, 16) % 1000) / 1000
        point = OperatingPoint(metric, 1000 + seed % 1000, 10, 1e-3, 1e-4, 100)
        return Measurements((point,), {"epochs": 1, "epochs_asked": 1, "worker": os.getpid()})


def ours(n_trials: int, *, sampler: str | None, workers: int, seconds: float) -> Clock:
    """Returns the times of trials through nasfuse: sampler, Ray Tune, SQLite, run folder."""
    from nasfuse.experiment.run import run_search
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.spec.study import StudyConfig

    clock = Clock(warm_up=max(WARM_UP, workers))

    class Silent:
        def ready(self, *_: Any, **__: Any) -> None: ...
        def phase(self, *_: Any, **__: Any) -> None: ...
        def note(self, *_: Any, **__: Any) -> None: ...
        def started(self, _: Any) -> None:
            clock.start()

        def ended(self, _: int, outcome: Any, **__: Any) -> None:
            clock.tick(outcome.measurements.record["worker"])

    study = StudyConfig.load(Path("digits"))
    budget = study.budget.model_copy(update={"trials": n_trials + clock.warm_up, "minutes": None, "repeats": 1})
    resources = study.resources.model_copy(update={"workers": workers})
    study = study.model_copy(update={"budget": budget, "resources": resources, "sampler": sampler or study.sampler})
    with tempfile.TemporaryDirectory() as folder, _cluster(workers) as open_backend:
        run_search(
            study,
            RunFolder(Path(folder) / "run"),
            display=Silent(),
            objective=NoWork(seconds),
            **({} if open_backend is None else {"open_backend": open_backend}),
        )
    return clock


@contextmanager
def _cluster(workers: int) -> Iterator[Any]:
    """Yields what opens a backend with so many workers; None where this machine has as many cores."""
    if workers <= (os.cpu_count() or 1):
        yield None
        return
    from functools import partial

    from ray.cluster_utils import Cluster

    from nasfuse.backends.ray import open_ray

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": workers, "include_dashboard": False})
    try:
        yield partial(open_ray, address=cluster.address)
    finally:
        cluster.shutdown()


def tune_defaults(n_trials: int) -> float:
    """Returns trials per second of `Tuner(trainable, OptunaSearch)` as its documentation shows it."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    clock = Clock()

    class Ends(tune.Callback):
        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            clock.tick()

    def trainable(config: dict[str, float]) -> None:
        tune.report({"metric": config["x"], "macs": config["y"]})

    ray.init(address="local", include_dashboard=False, log_to_driver=False, num_cpus=2)
    space = {"x": tune.uniform(0, 1), "y": tune.loguniform(1, 1e6)}
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(metric=["metric", "macs"], mode=["max", "min"]), num_samples=n_trials + WARM_UP
            ),
            run_config=tune.RunConfig(storage_path=folder, callbacks=[Ends()], verbose=0),
        ).fit()
    ray.shutdown()
    return clock.per_second


def measure(side: str, n_trials: int) -> float:
    """Returns the trials per second of one side, measured in a new process."""
    command = [sys.executable, __file__, "--side", side, "--trials", str(n_trials)]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode:
        raise RuntimeError(result.stderr[-2000:])
    return float(json.loads(result.stdout.strip().splitlines()[-1])["per_second"])


def main() -> None:
    """Measures both sides in turn and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=["ours", "defaults"])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--default-trials", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sampler", help="of --side ours; that of the study `digits` where left out")
    parser.add_argument("--workers", type=int, default=2, help="of --side ours")
    parser.add_argument("--seconds", type=float, default=0.0, help="of a trial of --side ours")
    options = parser.parse_args()
    if options.side:
        if options.side == "defaults":
            print(json.dumps({"per_second": tune_defaults(options.trials)}))
            return
        clock = ours(options.trials, sampler=options.sampler, workers=options.workers, seconds=options.seconds)
        busy = clock.busy(seconds=options.seconds, workers=options.workers) if options.seconds else {}
        print(json.dumps({"per_second": clock.per_second, **busy}))
        return
    figures: dict[str, list[float]] = {"ours": [], "defaults": []}
    for _ in range(options.repeats):
        figures["ours"].append(measure("ours", options.trials))
        figures["defaults"].append(measure("defaults", options.default_trials))
        print({side: [round(value, 2) for value in values] for side, values in figures.items()}, flush=True)
    ratios = [one / other for one, other in zip(figures["ours"], figures["defaults"], strict=True)]
    print(f"nasfuse         {statistics.median(figures['ours']):6.1f} trials/s (median of {options.repeats})")
    print(f"Tune's defaults {statistics.median(figures['defaults']):6.2f} trials/s")
    print(f"ratio           {statistics.median(ratios):6.1f} (from {min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
