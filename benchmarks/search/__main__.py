"""Which search engine finds the best front for the fewest epochs?

    python -m benchmarks.search synthetic
    python -m benchmarks.search lcbench --seeds 10
    python -m benchmarks.search table --seeds 10
    python -m benchmarks.search cells --seeds 5 --engines optuna-random,optuna-tpe,known-cost
    python -m benchmarks.search conditional --seeds 5 --engines optuna-random,optuna-tpe,known-cost
    python -m benchmarks.search conditional --by-macs --seeds 5 --engines optuna-tpe,known-cost,known-cost+seconds

Trainings are looked up or predicted, so a hundred of them take seconds; the clock counts epochs. The engines are
studies of nasfuse, run by its own driver and scheduler, and plain loops of Optuna as controls (`optuna-...`). Runs are
written to a JSON lines file, and a run that is in the file is not repeated: the same command continues after an
interruption. The tables are printed at the end. Engines whose runs take minutes end at 50 full trainings unless
`--full` is given.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import optuna

from benchmarks.search import cells, lcbench
from benchmarks.search.comparison import BUDGETS, catch_up, comparison, savings, share_table
from benchmarks.search.conditional import N_STREAMS, Conditional
from benchmarks.search.engine import DEFAULT, ENGINES, SLOW, STOPPED, UNCONFIRMED, VISIBLE
from benchmarks.search.problem import Problem, Unavailable
from benchmarks.search.records import Job, Records
from benchmarks.search.simulation import simulate
from benchmarks.search.synthetic import BEST_HYPERVOLUMES, Synthetic
from benchmarks.search.table import Table

#: Seeds from which problems are generated. Settings were chosen on seed 0 alone; seed 1 is measured only.
GENERATED = (0, 1)

#: Name of a suite to what makes its problems.
SUITES: dict[str, Callable[[], list[Problem]]] = {
    "synthetic": lambda: [Synthetic(name) for name in BEST_HYPERVOLUMES],
    "lcbench": lambda: [lcbench.LcBench(task) for task in lcbench.TASKS],
    "table": lambda: [Table()],
    "cells": lambda: [cells.Cells(kind, seed=seed) for kind in cells.KINDS for seed in GENERATED],
    "conditional": lambda: [Conditional(kind, seed=seed) for kind in N_STREAMS for seed in GENERATED],
}

BUDGET = 100
SLOW_BUDGET = 50


#: nasfuse's sampler in a study that stops and repeats nothing.
OWN = "known-cost"

#: The controls that these are compared with.
PLAIN = "optuna-tpe"
RANDOM = "optuna-random"
GP = "optuna-gp"


def main() -> None:
    arguments = _arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        problems = SUITES[arguments.suite]()
    except Unavailable as reason:
        print(f"{arguments.suite} is left out: {reason}")
        return
    records = Records(arguments.out or Path("runs/search_engines") / f"{arguments.suite}.jsonl")
    for problem in problems:
        jobs = [
            _job(problem, engine, seed, arguments) for seed in range(arguments.seeds) for engine in arguments.engines
        ]
        _run(records, problem, jobs)
        if arguments.trials:
            _report_savings(records, problem, arguments)
        else:
            _report(records, problem, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--engines", help=f"of {', '.join(ENGINES)}; all where left out")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time on the simulated clock")
    parser.add_argument("--by-macs", action="store_true", help="epochs take longer for networks with more MACs")
    parser.add_argument("--trials", type=int, help="start so many trainings instead: what does stopping save and lose?")
    parser.add_argument("--full", action="store_true", help=f"slow engines run to {BUDGET} full trainings, too")
    parser.add_argument("--out", type=Path, help="JSON lines; runs/search_engines/SUITE.jsonl where left out")
    arguments = parser.parse_args()
    arguments.engines = arguments.engines.split(",") if arguments.engines else list(ENGINES)
    unknown = [engine for engine in arguments.engines if engine not in ENGINES]
    if unknown:
        parser.error(f"no engine {unknown[0]!r}; there are {', '.join(ENGINES)}")
    return arguments


def _job(problem: Problem, engine: str, seed: int, arguments: argparse.Namespace) -> Job:
    shared = {"workers": arguments.workers, "by_macs": arguments.by_macs}
    if arguments.trials:
        return Job(problem.name, engine, seed, trials=arguments.trials, **shared)
    budget = SLOW_BUDGET if engine in SLOW and not arguments.full else BUDGET
    return Job(problem.name, engine, seed, full_trainings=budget, **shared)


def _run(records: Records, problem: Problem, jobs: list[Job]) -> None:
    missing = records.missing(jobs)
    for count, job in enumerate(missing, start=1):
        began = time.perf_counter()
        run = simulate(
            problem,
            ENGINES[job.engine],
            seed=job.seed,
            full_trainings=job.full_trainings,
            trials=job.trials,
            workers=job.workers,
            by_macs=job.by_macs,
        )
        records.add(job, run)
        print(
            f"{count}/{len(missing)} {job.problem} {job.engine} seed {job.seed}: "
            f"{run.steps[-1][1] / problem.best_hypervolume:.4f} in {time.perf_counter() - began:.1f} s",
            flush=True,
        )


def _report(records: Records, problem: Problem, arguments: argparse.Namespace) -> None:
    """Prints the shares of the engines and how each compares with Optuna's default."""
    scale = {"max_epochs": problem.max_epochs, "best": problem.best_hypervolume}
    runs = {
        engine: [records[_job(problem, engine, seed, arguments)] for seed in range(arguments.seeds)]
        for engine in arguments.engines
    }
    print(f"\n## {problem.name}: share of the best hypervolume known, {problem.best_hypervolume:.5f}\n")
    print(share_table(runs, **scale), "\n")
    wishes = [f"{engine}@{budget} {PLAIN}@{budget}" for engine in runs if engine != PLAIN for budget in BUDGETS]
    wishes += [f"{engine}@50 {other}" for engine in (OWN, DEFAULT) for other in (f"{PLAIN}@100", f"{GP}@50")]
    # What confirmation costs, what visibility costs, and both.
    wishes += [f"{DEFAULT}@50 {other}@50" for other in (UNCONFIRMED, f"{DEFAULT}{VISIBLE}", f"{UNCONFIRMED}{VISIBLE}")]
    for wish in wishes:
        line = comparison(runs, wish, **scale)
        if line:
            print("-", line)
    for own, other in ((own, other) for own in (OWN, DEFAULT) for other in (RANDOM, PLAIN)):
        if own in runs and other in runs:
            print("-", catch_up(runs, own, other, full_trainings=BUDGET, max_epochs=problem.max_epochs))


def _report_savings(records: Records, problem: Problem, arguments: argparse.Namespace) -> None:
    """Prints what stopping saves and loses over the same number of trials, sampler by sampler."""
    print(f"\n## {problem.name}: {arguments.trials} trials with early stopping, against all of them trained in full\n")
    for engine in arguments.engines:
        plain = engine.removesuffix(STOPPED)
        if plain != engine and plain in arguments.engines:
            own, other = (
                [records[_job(problem, name, seed, arguments)] for seed in range(arguments.seeds)]
                for name in (engine, plain)
            )
            print(f"- {engine}: {savings(own, other)}")


if __name__ == "__main__":
    main()
