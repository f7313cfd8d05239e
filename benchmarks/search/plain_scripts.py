"""What a user would write without nasfuse's search: Optuna in two processes, and Ray Tune with OptunaSearch.

Both draw from the same space as `nasfuse search` and train with the same function, and note every result in a file.
`end_to_end.py` starts them.
"""

import argparse
import json
import math
import multiprocessing
import os
import tempfile
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nasfuse.errors import NasfuseError
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.run import make_space
from nasfuse.search.space import Space
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig

N_PROCESSES = 2


@lru_cache(maxsize=1)
def space_of(study_file: str) -> Space:
    """Returns the space of a study; a process builds it once."""
    study = StudyConfig.load(Path(study_file))
    return make_space(study, cached_dataset(study.data.model_dump_json()))


def train(recipe: Recipe, *, seed: int, results: Path) -> tuple[float, float]:
    """Returns the metric and log10 MACs of a recipe, trained and measured as in a nasfuse search, and notes them."""
    with tempfile.TemporaryDirectory() as folder:
        measured = Training()(
            recipe,
            seed=derive_seed(seed, recipe.hash),
            division=0,
            folder=Path(folder),
            report=lambda _epoch, _metric: None,
            weight_sources={},
        )
    point = measured.points[0]
    line = {"recipe": recipe.to_plain(), "metric": point.metric, "macs": point.macs, "at": time.time()}
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return point.metric, math.log10(point.macs)


def optuna_processes(study_file: str, results: Path, *, deadline: float, seed: int) -> None:
    """Optuna's default sampler in processes that share a journal, as Optuna's documentation shows it."""
    journal = str(results.with_suffix(".journal"))
    _shared_study(journal, seed)
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_optimize, args=(study_file, results, journal, deadline, seed, number))
        for number in range(N_PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _shared_study(journal: str, sampler_seed: int) -> optuna.Study:
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(journal)),
        study_name="plain",
        directions=["maximize", "minimize"],
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=sampler_seed),
    )


def _optimize(study_file: str, results: Path, journal: str, deadline: float, seed: int, number: int) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        space = space_of(study_file)
        try:
            return train(space.recipe(space.suggest(trial)), seed=seed, results=results)
        except NasfuseError as error:
            raise optuna.TrialPruned(str(error)) from error

    study = _shared_study(journal, derive_seed(seed, "sampler", number))
    study.optimize(objective, timeout=deadline - time.time())


def ray_tune(study_file: str, results: Path, *, deadline: float, seed: int) -> None:
    """Ray Tune with OptunaSearch, two objectives and a define-by-run space, as Ray's documentation shows it."""
    import ray
    from ray import tune
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.optuna import OptunaSearch

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    search = OptunaSearch(
        space=partial(_draw, study_file=study_file), metric=["metric", "log10_macs"], mode=["max", "min"], seed=seed
    )
    tuner = tune.Tuner(
        tune.with_resources(partial(_trainable, study_file=study_file, results=results, seed=seed), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=ConcurrencyLimiter(search, max_concurrent=N_PROCESSES),
            num_samples=-1,
            time_budget_s=deadline - time.time(),
        ),
        run_config=tune.RunConfig(storage_path=str(results.parent.absolute() / "ray"), verbose=0),
    )
    tuner.fit()
    ray.shutdown()


def _draw(trial: optuna.Trial, *, study_file: str) -> None:
    space_of(study_file).suggest(trial)


def _trainable(config: dict[str, Any], *, study_file: str, results: Path, seed: int) -> None:
    from ray import tune

    metric, log10_macs = train(space_of(study_file).recipe(config), seed=seed, results=results)
    tune.report({"metric": metric, "log10_macs": log10_macs})


SCRIPTS = {"optuna": optuna_processes, "ray": ray_tune}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", choices=SCRIPTS)
    parser.add_argument("study")
    parser.add_argument("results", type=Path)
    parser.add_argument("--deadline", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # paths of data are relative
    script = SCRIPTS[arguments.script]
    script(arguments.study, arguments.results.absolute(), deadline=arguments.deadline, seed=arguments.seed)
