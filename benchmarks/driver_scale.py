"""CPU seconds and memory of the driver per trial, as the number of trials grows.

The trials return at once, on the simulated backend, so that only the driver works: suggestions, decisions, storage,
files of the run and the figures of the display. The time of suggestions (sampler, building of the network, check
whether it was drawn before) is given apart. With `--ray` the trials run through Ray, and trials per second are measured
instead.

    python benchmarks/driver_scale.py --trials 3000
    python benchmarks/driver_scale.py --trials 3000 --ray
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nasfuse.backends.outcome import Measured
from nasfuse.backends.simulated import SimulatedBackend, SimulatedTraining
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.suggestions import Suggestions
from nasfuse.spec.study import StudyConfig


def measured(recipe: Any, *, seed: int) -> Measurements:
    """Returns an operating point that depends on the recipe only."""
    metric = (int(recipe.hash, 16) % 1000) / 1000
    point = OperatingPoint(metric, 1000 + seed % 100000, 10, 1e-3, 1e-4, 100)
    return Measurements((point,), {"epochs": 1, "epochs_asked": 1})


def no_work(recipe: Any, *, seed: int, **_: Any) -> Measurements:
    """Returns at once; an objective for workers of Ray."""
    return measured(recipe, seed=seed)


@contextmanager
def open_simulated(_objective: Any, *, resources: Any, folder_of: Any, scratch: Path) -> Iterator[SimulatedBackend]:
    """Yields a backend whose trials have ended when they start."""
    yield SimulatedBackend(
        lambda one: SimulatedTraining((), Measured(measured(one.recipe, seed=one.seed))), capacity=resources.workers
    )


class Meter:
    """A display that keeps the CPU seconds (all, of suggestions), wall-clock seconds and memory after every trial."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float, float]] = []
        self._suggesting = 0.0

    def timed(self, suggest: Callable[..., Any]) -> Callable[..., Any]:
        """Returns `suggest` with its CPU time added to that of suggestions."""

        def suggest_timed(*arguments: Any, **keywords: Any) -> Any:
            start = time.process_time()
            found = suggest(*arguments, **keywords)
            self._suggesting += time.process_time() - start
            return found

        return suggest_timed

    def ready(self, *_: Any, **__: Any) -> None:
        """Shows nothing."""

    def phase(self, text: str) -> None:
        """Shows nothing."""

    def note(self, text: str) -> None:
        """Shows nothing."""

    def started(self, _: Any) -> None:
        """Shows nothing."""

    def ended(self, *_: Any, **__: Any) -> None:
        """Notes the end of a trial."""
        megabytes = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
        self.rows.append((time.process_time(), self._suggesting, time.perf_counter(), megabytes))
        if len(self.rows) % 100 == 0:
            before, now = self.rows[-100][:3], self.rows[-1][:3]
            cpu, suggesting, wall = (1e3 * (end - start) / 99 for start, end in zip(before, now, strict=True))
            row = {"trials": len(self.rows), "cpu": cpu - suggesting, "suggesting": suggesting, "wall": wall}
            print(
                json.dumps({key: round(value, 1) for key, value in row.items()} | {"mb": round(megabytes)}), flush=True
            )


def main() -> None:
    """Prints a line per hundred trials: ms of CPU and wall clock per trial, and the memory of the process in MB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--space", default="full")
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    study = StudyConfig.of(
        {
            "name": "scale",
            "space": options.space,
            "data": {"source": "digits"},
            "sampler": options.sampler,
            "budget": {"trials": options.trials},
            "resources": {"workers": options.workers},
        }
    )
    meter = Meter()
    Suggestions._suggest = meter.timed(Suggestions._suggest)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        opening = None if options.ray else open_simulated
        run_search(study, run, display=meter, objective=no_work, open_backend=opening)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
