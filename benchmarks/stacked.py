"""How many trainings per minute does one stack of networks make, against the same trainings one by one?

    python benchmarks/stacked.py digits
    python benchmarks/stacked.py studies benchmarks/studies/default/rosmap.yaml --networks 24

`digits` trains networks of several kinds on k folds of the digits, without measuring them. `studies` cross-validates
networks drawn at random from the space of a study, with their measurement: every fold by itself, in stacks between the
rungs of the default stopping rule, and all folds in one stack. All ways alternate in one process with one thread. A
line has the median time of one training by itself in seconds, and how many times as many trainings a stack makes in the
same wall-clock and CPU time: the median over repetitions, with the least and the largest.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.samplers import RandomSampler

from nasfuse.errors import NasfuseError
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.run import make_space
from nasfuse.experiment.space_survey import macs_of
from nasfuse.experiment.weightless import weightless_network
from nasfuse.search.stopping.rungs import Rungs
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig
from nasfuse.train import check_training, reason_against, train_network, train_stacked

#: Streams of the networks on the digits.
STREAMS: dict[str, dict[str, Any]] = {
    "mlp 16": {"encoder": "mlp", "depth": 2, "width": 16},
    "conv 4": {"encoder": "conv", "depth": 2, "width": 4},
    "conv 8": {"encoder": "conv", "depth": 2, "width": 8},
    "conv 16": {"encoder": "conv", "depth": 2, "width": 16},
    "conv 32": {"encoder": "conv", "depth": 2, "width": 32},
    "transformer 16": {"encoder": "transformer", "depth": 2, "width": 16},
    "transformer 32": {"encoder": "transformer", "depth": 2, "width": 32},
    "resnet 8": {"encoder": "resnet", "depth": 2, "width": 8, "stride": 1},
}


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Returns wall-clock and CPU time of a call in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def ratio(single: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]], clock: int) -> str:
    """Returns the median of the quotients of paired times, and their range."""
    found = [one[clock] / two[clock] for one, two in zip(single, other, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def digits(options: argparse.Namespace) -> None:
    """Prints a line for each kind of network and size of stacks."""
    print(f"{'network':16s} {'MACs':>9s}  k  alone s  wall{'':18s} CPU")
    for name, stream in STREAMS.items():
        if options.only and options.only not in name:
            continue
        for k in options.sizes:
            recipe = Recipe.parse(
                {
                    "data": {"source": "digits", "validation": {"folds": k}},
                    "network": {
                        "route": ["left", "right"],
                        "streams": {"left": stream, "right": stream},
                        "fusion": {"kind": "concat", "width": 16},
                    },
                    "training": {"epochs": options.epochs, "batch_size": options.batch_size, "input_noise": 0.1},
                }
            )
            datasets = [cached_dataset(recipe.data.model_dump_json(), number) for number in range(k)]
            macs = macs_of(recipe, datasets[0])
            single, stacked = paired(recipe, datasets, repeats=options.repeats)
            alone = statistics.median(wall for wall, _ in single) / k
            walls, cpus = (ratio(single, stacked, clock) for clock in (0, 1))
            print(f"{name:16s} {macs:9,d} {k:2d}  {alone:7.2f}  {walls:22s} {cpus}", flush=True)


def paired(recipe: Recipe, datasets: Sequence[Any], *, repeats: int) -> tuple[list[Any], list[Any]]:
    """Returns the times of trainings one by one, and in one stack."""
    single, stacked = [], []

    def one_by_one() -> None:
        for seed, dataset in enumerate(datasets):
            train_network(recipe, dataset, seed=seed, device=torch.device("cpu"))

    for number in range(repeats):
        calls = [(single, one_by_one), (stacked, lambda: train_stacked(recipe, datasets, seeds=range(len(datasets))))]
        for times, call in calls if number % 2 else reversed(calls):
            times.append(timed(call))
    return single, stacked


def studies(options: argparse.Namespace) -> None:
    """Prints a line for each drawn network, and the sums."""
    study = StudyConfig.load(options.study)
    dataset = cached_dataset(study.data.model_dump_json())
    space, rule = make_space(study, dataset), Rungs(study)
    drawn = optuna.create_study(sampler=RandomSampler(seed=options.seed))
    totals: dict[str, list[float]] = {}
    number = found = 0
    while found < options.networks:
        recipe, number = space.recipe(space.suggest(drawn.ask())), number + 1
        try:
            check_training(recipe, dataset)
        except NasfuseError:
            continue
        found += 1
        assert recipe.data.validation is not None, "the study has data.validation"
        reason = reason_against(recipe, weightless_network(recipe, dataset), dataset)
        each = tuple(k * recipe.training.epochs for k in range(1, recipe.data.validation.n_trainings))
        ways = {"every fold by itself": each, "stacks between rungs": rule.epochs_of(recipe), "one stack": ()}
        row: dict[str, Any] = {"network": recipe.summary, "epochs": recipe.training.epochs, "reason": reason}
        order = list(ways.items())
        for way, rungs in order if found % 2 else reversed(order):
            seed = derive_seed(study.seed, "stacked", number)
            wall, cpu = timed(partial(cross_validate, study, recipe, seed=seed, rungs=rungs))
            row[way] = [round(wall, 2), round(cpu, 2)]
            if reason is None:
                totals.setdefault(way, []).append(cpu)
        print(json.dumps(row), flush=True)
    single = totals["every fold by itself"]
    for way, times in totals.items():
        quotients = [one / two for one, two in zip(single, times, strict=True)]
        print(f"{way}: {sum(times):.1f} s of CPU, {sum(single) / sum(times):.2f} times as fast; by network:")
        print("  ", *(f"{quotient:.2f}" for quotient in sorted(quotients)))


def cross_validate(study: StudyConfig, recipe: Recipe, *, seed: int, rungs: Sequence[int]) -> None:
    """Trains and measures a recipe as a worker of a search does."""
    with tempfile.TemporaryDirectory() as folder:
        Training(select_by=study.select_by)(
            recipe,
            seed=seed,
            division=0,
            folder=Path(folder) / "trial",
            report=lambda *_: None,
            weight_sources={},
            rungs=rungs,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("digits")
    one.set_defaults(run=digits)
    one.add_argument("--epochs", type=int, default=4)
    one.add_argument("--batch-size", type=int, default=64)
    one.add_argument("--repeats", type=int, default=5)
    one.add_argument("--sizes", type=int, nargs="+", default=[3, 5, 8])
    one.add_argument("--only", default="", help="part of the names of networks")
    other = commands.add_parser("studies")
    other.set_defaults(run=studies)
    other.add_argument("study", type=Path)
    other.add_argument("--networks", type=int, default=24)
    other.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.run(options)


if __name__ == "__main__":
    main()
