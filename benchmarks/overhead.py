"""Trials per second of a search without training, compared with the defaults of Ray Tune.

The trials return at once, so that only the overhead is measured: sampler, Ray Tune, storage and files of the run. Both
are timed from the first to the last trial, in turn and in new processes, after a few trials that start the workers.

    python benchmarks/overhead.py            # about three minutes on two cores
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WARM_UP = 6


class Clock:
    """Measures the time from the end of the warm-up to the last trial."""

    def __init__(self, n_trials: int) -> None:
        """Expects `n_trials` after the warm-up."""
        self.n_trials = n_trials
        self.ended: list[float] = []

    def tick(self) -> None:
        """Notes the end of a trial."""
        self.ended.append(time.perf_counter())

    @property
    def per_second(self) -> float:
        """Trials per second."""
        return (len(self.ended) - WARM_UP) / (self.ended[-1] - self.ended[WARM_UP - 1])


class NoWork:
    """An objective that returns at once."""

    def __call__(self, recipe: Any, *, seed: int, division: int, folder: Path, report: Any, weight_sources: Any) -> Any:
        """Returns an operating point that depends on the recipe only."""
        from nasfuse.domain.operating_point import Measurements, OperatingPoint

        metric = (int(recipe.hash, 16) % 1000) / 1000
        point = OperatingPoint(metric, 1000 + seed % 1000, 10, 1e-3, 1e-4, 100)
        return Measurements((point,), {"epochs": 1, "epochs_asked": 1})


def ours(n_trials: int) -> float:
    """Returns trials per second through nasfuse: TPE, Ray Tune, SQLite, run folder."""
    from nasfuse.experiment.run import run_search
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.spec.study import StudyConfig

    clock = Clock(n_trials)

    class Silent:
        def ready(self, *_: Any, **__: Any) -> None: ...
        def phase(self, *_: Any, **__: Any) -> None: ...
        def note(self, *_: Any, **__: Any) -> None: ...
        def started(self, _: Any) -> None: ...
        def ended(self, *_: Any, **__: Any) -> None:
            clock.tick()

    study = StudyConfig.load(Path("digits"))
    budget = study.budget.model_copy(update={"trials": n_trials + WARM_UP, "minutes": None})
    resources = study.resources.model_copy(update={"workers": 2})
    study = study.model_copy(update={"budget": budget, "resources": resources})
    with tempfile.TemporaryDirectory() as folder:
        run_search(study, RunFolder(Path(folder) / "run"), display=Silent(), objective=NoWork())
    return clock.per_second


def tune_defaults(n_trials: int) -> float:
    """Returns trials per second of `Tuner(trainable, OptunaSearch)` as its documentation shows it."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    clock = Clock(n_trials)

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
    options = parser.parse_args()
    if options.side:
        figure = ours(options.trials) if options.side == "ours" else tune_defaults(options.trials)
        print(json.dumps({"per_second": figure}))
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
