"""LCBench through the YAHPO surrogate: the predicted learning curves of MLPs on OpenML tasks, against exact MACs.

The surrogate of YAHPO Gym for LCBench (`model.onnx`) and its encoding (`encoding.json`) are in the folder that the
environment variable `LCBENCH` names.

    python -m benchmarks.search.lcbench        # finds the best front again, about five minutes
"""

import json
import math
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution, IntDistribution

from benchmarks.search.problem import Problem, Unavailable
from nasfuse.search.parameters import Parameter

TASKS = ("167152", "167185", "189873")
EPOCHS = 52

#: In the order of the surrogate's inputs, which begin with the epoch.
DISTRIBUTIONS = {
    "batch_size": IntDistribution(16, 512, log=True),
    "learning_rate": FloatDistribution(1e-4, 0.1, log=True),
    "momentum": FloatDistribution(0.1, 0.99),
    "weight_decay": FloatDistribution(1e-5, 0.1),
    "num_layers": IntDistribution(1, 5),
    "max_units": IntDistribution(64, 1024, log=True),
    "max_dropout": FloatDistribution(0.0, 1.0),
}

#: Draws that set the scale of the error.
N_SCALE = 4000

#: Hypervolume of the pooled non-dominated set that `best_front` finds (seeds 0 to 2).
BEST_HYPERVOLUMES = {"167152": 1.058228, "167185": 1.059896, "189873": 1.136317}


def folder() -> Path:
    """Returns the folder of the surrogate, `$LCBENCH`.

    Raises:
        Unavailable: The variable is not set, or the folder lacks a file of it.
    """
    named = os.environ.get("LCBENCH")
    if not named:
        raise Unavailable(
            "LCBENCH is not set; set it to the folder of the LCBench surrogate (model.onnx, encoding.json)"
        )
    absent = [file for file in ("model.onnx", "encoding.json") if not (Path(named) / file).is_file()]
    if absent:
        raise Unavailable(f"no {absent[0]} in {named}; set LCBENCH to the folder of the LCBench surrogate")
    return Path(named)


def mlp_macs(n_layers: int, n_units: int) -> float:
    """Returns the MACs of LCBench's shaped MLP: 50 inputs, widths that fall to 10 in equal steps, 10 outputs."""
    widths = [50.0, *(n_units - (n_units - 10) * layer / n_layers for layer in range(n_layers)), 10.0]
    return sum(into * out for into, out in pairwise(widths))


class LcBench(Problem):
    """One task. Error and cost are scaled to about [0, 1]."""

    max_epochs = EPOCHS
    reference = (1.0, 1.05)

    def __init__(self, task: str) -> None:
        """Loads the surrogate.

        Raises:
            Unavailable: It, or onnxruntime, is not there.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise Unavailable(f"onnxruntime is not installed: {error}") from error
        self.name = f"lcbench-{task}"
        self.task = task
        self.parameters = tuple(Parameter(name, drawn, default=None) for name, drawn in DISTRIBUTIONS.items())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._surrogate = onnxruntime.InferenceSession(str(folder() / "model.onnx"), options)
        self._code = json.loads((folder() / "encoding.json").read_text())["OpenML_task_id"][task]
        errors = self._raw_errors(random_rows(np.random.default_rng(0), N_SCALE), epochs=[EPOCHS])[:, 0]
        self._scale = float(errors.min()), float(np.percentile(errors, 90))
        self._cost_scale = math.log10(mlp_macs(1, 64)), math.log10(mlp_macs(5, 1024))

    @property
    def best_hypervolume(self) -> float:
        """Hypervolume of the best front known, see `best_front`."""
        return BEST_HYPERVOLUMES[self.task]

    def cost_of(self, params: Mapping[str, Any]) -> float:
        """Returns log10 MACs, 0 for the smallest network and 1 for the largest."""
        low, high = self._cost_scale
        return (math.log10(mlp_macs(params["num_layers"], params["max_units"])) - low) / (high - low)

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        """Returns the error after each epoch; the surrogate has no noise."""
        row = np.array([[params[name] for name in DISTRIBUTIONS]], dtype=np.float64)
        return self.errors(row, epochs=range(1, EPOCHS + 1))[0]

    def costs(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the scaled costs, shape (n,), of `rows` (n, 7)."""
        layers, units = (list(DISTRIBUTIONS).index(name) for name in ("num_layers", "max_units"))
        return np.array([self.cost_of({"num_layers": int(row[layers]), "max_units": int(row[units])}) for row in rows])

    def errors(self, rows: NDArray[np.float64], *, epochs: Any) -> NDArray[np.float64]:
        """Returns the scaled errors, shape (n, epochs), of `rows` (n, 7) in the order of `DISTRIBUTIONS`."""
        best, worst = self._scale
        return (self._raw_errors(rows, epochs=epochs) - best) / (worst - best)

    def _raw_errors(self, rows: NDArray[np.float64], *, epochs: Any) -> NDArray[np.float64]:
        at = np.array(epochs, dtype=np.float64)
        inputs = np.column_stack([np.tile(at, len(rows)), np.repeat(rows, len(at), axis=0)]).astype(np.float32)
        codes = np.full((len(inputs), 1), self._code, dtype=np.int32)
        accuracy = self._surrogate.run(None, {"x_cat": codes, "x_cont": inputs})[0][:, 1]
        return (100 - accuracy.astype(np.float64)).reshape(len(rows), len(at))


def from_unit(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns rows of parameters for points (n, 7) of the unit cube."""
    columns = []
    for share, drawn in zip(unit.T, DISTRIBUTIONS.values(), strict=True):
        is_int = isinstance(drawn, IntDistribution)
        low, high = (drawn.low - 0.5, drawn.high + 0.5) if is_int else (drawn.low, drawn.high)
        if drawn.log:
            low, high = math.log(low), math.log(high)
        column = low + share * (high - low)
        column = np.exp(column) if drawn.log else column
        columns.append(np.clip(np.round(column), drawn.low, drawn.high) if is_int else column)
    return np.column_stack(columns)


def random_rows(generator: np.random.Generator, n_rows: int) -> NDArray[np.float64]:
    """Returns rows of parameters drawn as a random search would."""
    return from_unit(generator.random((n_rows, len(DISTRIBUTIONS))))


def best_front(problem: LcBench, *, seeds: range = range(3)) -> NDArray[np.float64]:
    """Returns the pooled non-dominated points of long runs of NSGA-II (200 points, 500 generations, each seed)."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem as PymooProblem
    from pymoo.optimize import minimize

    class Unit(PymooProblem):
        def __init__(self) -> None:
            super().__init__(n_var=len(DISTRIBUTIONS), n_obj=2, xl=0.0, xu=1.0)

        def _evaluate(self, x: NDArray[np.float64], out: dict[str, Any], *_: Any, **__: Any) -> None:
            rows = from_unit(x)
            out["F"] = np.column_stack([problem.errors(rows, epochs=[EPOCHS])[:, 0], problem.costs(rows)])

    return np.concatenate([minimize(Unit(), NSGA2(pop_size=200), ("n_gen", 500), seed=seed).F for seed in seeds])


def main() -> None:
    for task in TASKS:
        problem = LcBench(task)
        print(f"{task}: {problem.hypervolume(best_front(problem)):.6f}")


if __name__ == "__main__":
    main()
