"""What does early stopping of cross-validations save, and what does it lose?

    python benchmarks/stopped_folds.py benchmarks/studies/default/rosmap.yaml --out rows.jsonl

Networks drawn at random from a space are cross-validated to the end; a line of `--out` has the MACs of one, and its
error after every fold. The same command goes on after an interruption. Then searches are simulated that train these
networks in random orders, with the default stopping rule of a study and without one, and paired by order: the share of
folds that stopping saves, and the hypervolume of the complete trainings.
"""

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler

from benchmarks.search.engine import STOPPED, StudyEngine
from benchmarks.search.problem import Problem
from benchmarks.search.simulation import simulate
from nasfuse.domain.metric import METRICS
from nasfuse.errors import NasfuseError
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.plain_models import constant_score
from nasfuse.experiment.run import make_space
from nasfuse.experiment.space_survey import macs_of
from nasfuse.pareto import hypervolume
from nasfuse.search.parameters import Parameter
from nasfuse.seeds import derive_seed
from nasfuse.spec.study import StudyConfig
from nasfuse.train import check_training

#: Orders in which the networks are trained.
N_ORDERS = 20


class Folds(Problem):
    """The recorded cross-validations. An epoch is a fold; the error is the metric of selection, minimised."""

    name = "folds"
    log10_unit = 0.0

    def __init__(self, rows: list[dict[str, Any]], *, reference: tuple[float, float]) -> None:
        """Takes the lines of the record and the reference point (error, log10 MACs)."""
        self._rows = rows
        self.reference = reference
        self.max_epochs = len(rows[0]["errors"])
        numbers = CategoricalDistribution(range(len(rows)))
        self.parameters = (Parameter("network", numbers, default=0),)

    @property
    def best_hypervolume(self) -> float:
        """Hypervolume of all networks."""
        points = [(row["errors"][-1], math.log10(row["macs"])) for row in self._rows]
        return hypervolume(np.array(points), reference=self.reference)

    def cost_of(self, params: Mapping[str, Any]) -> float:
        """Returns log10 MACs."""
        return math.log10(self._rows[params["network"]]["macs"])

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        """Returns the error of the folds so far, after each fold."""
        return np.array(self._rows[params["network"]]["errors"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="with data.validation")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, continued where it exists")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    study = StudyConfig.load(arguments.study)
    dataset = cached_dataset(study.data.model_dump_json())
    _record(study, arguments.out, n_networks=arguments.networks)
    rows = [json.loads(line) for line in arguments.out.read_text(encoding="utf-8").splitlines()]
    costliest = max(row["macs"] for row in rows)
    worst = METRICS[study.objective].sign * constant_score([dataset], study.objective)
    problem = Folds(rows, reference=(worst, math.log10(costliest)))
    saved, kept = [], []
    for order in range(N_ORDERS):
        full, stopped = (
            simulate(problem, StudyEngine("random", stopping=stopping), seed=order, trials=len(rows))
            for stopping in (False, True)
        )
        saved.append(1 - stopped.epochs / full.epochs)
        kept.append(stopped.steps[-1][1] / full.steps[-1][1] - 1)
    for name, values in ((f"folds saved{STOPPED}", saved), ("hypervolume", kept)):
        print(
            f"{name}: {statistics.fmean(values):+.4f} +- {statistics.stdev(values):.4f} ({min(values):+.4f} at least)"
        )


def _record(study: StudyConfig, out: Path, *, n_networks: int) -> None:
    dataset = cached_dataset(study.data.model_dump_json())
    space = make_space(study, dataset)
    n_done = len(out.read_text(encoding="utf-8").splitlines()) if out.is_file() else 0
    number = found = 0
    drawn = optuna.create_study(sampler=RandomSampler(seed=0))
    while found < n_networks:
        recipe = space.recipe(space.suggest(drawn.ask()))
        number += 1
        try:
            check_training(recipe, dataset)
            macs = macs_of(recipe, dataset)
        except NasfuseError:
            continue
        found += 1
        if found <= n_done:
            continue
        metrics: list[float] = []
        assert recipe.data.validation is not None, "the study has one"
        after_each_fold = [k * recipe.training.epochs for k in range(1, recipe.data.validation.n_trainings)]
        with tempfile.TemporaryDirectory() as folder:
            measured = Training(select_by=study.select_by)(
                recipe,
                seed=derive_seed(study.seed, "folds", number),
                division=0,
                folder=Path(folder),
                report=lambda _, metric, metrics=metrics: metrics.append(metric),
                weight_sources={},
                rungs=after_each_fold,
            )
        metrics.append(measured.points[0].metric)
        row = {"macs": macs, "errors": [METRICS[study.objective].sign * one for one in metrics]}
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{found}/{n_networks}: {macs} MACs, {row['errors']}", flush=True)


if __name__ == "__main__":
    main()
