"""In the same minutes on the same two cores, who finds the better front? And how good is it after half of the time?

    python -m benchmarks.search.end_to_end                  # 3 seeds of 4 minutes, about 45 minutes
    python -m benchmarks.search.end_to_end --full           # 10 seeds
    python -m benchmarks.search.end_to_end --study benchmarks/studies/full_avdigits.yaml --seconds 480 --seeds 5
    python -m benchmarks.search.end_to_end --engines nasfuse,nasfuse+inherit --out runs/inherit

`nasfuse search`, a plain script of Optuna TPE in two processes, and Ray Tune with OptunaSearch search one space, one
after the other, each for the same wall clock from the start of its process. What ends later does not count.

Each engine is asked for the front it would report: nasfuse's is over means of repeated trainings, the others' over
single ones. Such fronts cannot be compared as they are, since the best of many single trainings are lucky ones. So
every member of every front is trained again, with the same new seeds and the same new divisions, and the
hypervolume of the means is what counts, in accuracy x decades of MACs, with the reference point of nasfuse's study of
that seed. `found` is the hypervolume that each engine believes in. `nasfuse+inherit` is nasfuse with `inherit: true`.
The front that nasfuse had after half of the time is compared with the others' in the whole time.

The searches of all seeds come first and want a quiet machine; the trainings of the fronts follow, whose results do not
depend on its speed. What has ended is kept under --out, and the same command goes on from there.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna

from benchmarks.search.comparison import mean_sd, paired_line
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.search.front import Candidate, Objectives, candidates_of, front_of
from nasfuse.search.storage import open_to_read
from nasfuse.search.views import trials_of
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig

ENGINES = ("nasfuse", "optuna", "ray")
INHERITING = "nasfuse+inherit"
OURS = ("nasfuse", INHERITING)
HALF = "nasfuse, half of the time"

#: Seconds that nasfuse needs before its first trial: its own clock starts there, ours with the process.
START_S = 12.0

#: Seconds after the end in which a process may finish what it has begun; nothing of that counts.
GRACE_S = 60.0

#: First of the divisions into train and val on which fronts are trained again; a search takes the lowest numbers.
FIRST_DIVISION = 100


@dataclass(frozen=True)
class Found:
    """What an engine found.

    Attributes:
        trainings: That ended in time.
        front: (recipe, metric, MACs) of what it would report.
    """

    trainings: int
    front: list[tuple[Recipe, float, int]]


def main() -> None:
    arguments = _arguments()
    lines = arguments.out / "results.jsonl"
    rows = [json.loads(line) for line in lines.read_text().splitlines()] if lines.is_file() else []
    done = [row for row in rows if row["engines"].keys() >= set(arguments.engines)]
    left = [seed for seed in range(arguments.seeds) if all(row["seed"] != seed for row in done)]
    found = {seed: _searched(arguments, seed, arguments.out / f"seed{seed}") for seed in left}
    for seed in left:
        row = _row(arguments, seed, found[seed])
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        done.append(row)
    _report(sorted(done, key=lambda row: row["seed"]), arguments.engines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="avdigits", help="study file, or the name of a shipped one")
    parser.add_argument("--engines", default=",".join(ENGINES), help=f"of {', '.join(ENGINES)} and {INHERITING}")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="10 seeds")
    parser.add_argument("--retrainings", type=int, default=3, help="of every member of every front")
    parser.add_argument("--out", type=Path, default=Path("runs/end_to_end"))
    arguments = parser.parse_args()
    arguments.engines = arguments.engines.split(",")
    if "nasfuse" not in arguments.engines or set(arguments.engines) - {*ENGINES, INHERITING}:
        parser.error(f"--engines: nasfuse, and any of {', '.join(ENGINES[1:])} and {INHERITING}")
    if arguments.full:
        arguments.seeds = 10
    return arguments


def _searched(arguments: argparse.Namespace, seed: int, folder: Path) -> dict[str, Found]:
    """Returns what every engine finds, each searching in its turn unless it has done so in an earlier run."""
    found: dict[str, Found] = {}
    folder.mkdir(parents=True, exist_ok=True)
    # In turn, the first one changing, so that a machine that gets slower or faster favours nobody.
    engines = arguments.engines
    first = seed % len(engines)
    for engine in engines[first:] + engines[:first]:
        place, noted = folder / engine, folder / f"{engine}.json"
        asked = {"study": arguments.study, "seconds": arguments.seconds}
        if not noted.is_file():
            shutil.rmtree(place, ignore_errors=True)
            started = time.time()
            deadline = started + arguments.seconds
            command = _command(engine, arguments, place, deadline=deadline, seed=seed)
            _run(command, deadline, log=folder / f"{engine}.log")
            noted.write_text(json.dumps({**asked, "started": started}), encoding="utf-8")
        kept = json.loads(noted.read_text(encoding="utf-8"))
        started = kept.pop("started")
        if kept != asked:
            raise SystemExit(f"{folder} has a search of {kept}; give another --out")
        deadline = started + arguments.seconds
        found[engine] = _nasfuse_found(place, deadline) if engine in OURS else _noted(place, deadline)
        if engine == "nasfuse":
            found[HALF] = _nasfuse_found(place, started + arguments.seconds / 2)
        print(f"seed {seed}, {engine}: {found[engine].trainings} trainings", flush=True)
    return found


def _row(arguments: argparse.Namespace, seed: int, found: dict[str, Found]) -> dict[str, Any]:
    objectives = read_run(RunFolder(arguments.out / f"seed{seed}" / "nasfuse")).objectives
    recipes = [recipe for of_engine in found.values() for recipe, *_ in of_engine.front]
    retrained = _retrained(recipes, arguments.retrainings, arguments.out / "retrained.jsonl")
    return {"seed": seed, "engines": {name: _score(one, objectives, retrained) for name, one in found.items()}}


def _command(engine: str, arguments: argparse.Namespace, place: Path, *, deadline: float, seed: int) -> list[str]:
    if engine in OURS:
        study = StudyConfig.load(Path(arguments.study)).model_copy(update={"inherit": engine == INHERITING})
        file = place.with_suffix(".yaml")
        file.write_text(study.to_yaml(), encoding="utf-8")
        minutes = max(arguments.seconds - START_S, 1.0) / 60
        options = ["--minutes", f"{minutes:.4f}", "--seed", str(seed), "--workers", "2", "-o", str(place)]
        return [sys.executable, "cli.py", "search", str(file), *options]
    place.mkdir()
    (place / "results.jsonl").touch()
    # Imported and not run as `-m`: Ray's workers unpickle its functions by the name of their module.
    start = "from benchmarks.search.plain_scripts import main; main()"
    script = [sys.executable, "-c", start, engine, arguments.study]
    return [*script, str(place / "results.jsonl"), "--deadline", str(deadline), "--seed", str(seed)]


def _run(command: list[str], deadline: float, *, log: Path) -> None:
    """Runs a command until it ends, or is interrupted some time after the deadline; it must not end before that."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                process.wait(timeout=max(deadline - time.time(), 0) + GRACE_S)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, number)
        process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
    if process.returncode and time.time() < deadline:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}; see {log}")


def _nasfuse_found(place: Path, deadline: float) -> Found:
    """Returns the front of a run folder over what was complete at the deadline."""
    run = read_run(RunFolder(place))
    study = optuna.load_study(study_name=run.study.name, storage=open_to_read(run.folder.storage_url(run.study)))
    in_time = [
        trial
        for trial in trials_of(study)
        if (ended := trial.frozen.datetime_complete) is not None and ended.timestamp() <= deadline
    ]
    front = front_of(candidates_of(in_time, max_macs=run.objectives.max_macs), run.objectives)
    n_trained = sum(trial.record is not None or trial.is_stopped for trial in in_time)
    return Found(n_trained, [(run.recipe(one), one.measured.metric, one.measured.macs) for one in front])


def _noted(place: Path, deadline: float) -> Found:
    """Returns the front of single trainings that a plain script has noted in time."""
    lines = (place / "results.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["at"] <= deadline]
    front = [
        row
        for row in rows
        if not any(
            (other["metric"] >= row["metric"] and other["macs"] < row["macs"])
            or (other["metric"] > row["metric"] and other["macs"] <= row["macs"])
            for other in rows
        )
    ]
    return Found(len(rows), [(Recipe.parse(row["recipe"]), row["metric"], row["macs"]) for row in front])


def _retrained(recipes: Sequence[Recipe], n_times: int, kept: Path) -> dict[str, float]:
    """Returns recipe hash to its mean metric over new trainings, two at a time; each is noted in `kept` at once."""
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    metrics = {(row["recipe"], row["number"]): row["metric"] for row in rows}
    distinct = {recipe.hash: recipe for recipe in recipes}
    left = [(key, number) for number in range(n_times) for key in distinct if (key, number) not in metrics]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        trainings = {pool.submit(_val_metric, distinct[key], number): (key, number) for key, number in left}
        for training in as_completed(trainings):
            key, number = trainings[training]
            metrics[key, number] = training.result()
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"recipe": key, "number": number, "metric": metrics[key, number]}) + "\n")
    return {key: statistics.fmean(metrics[key, number] for number in range(n_times)) for key in distinct}


def _val_metric(recipe: Recipe, number: int) -> float:
    import torch

    from nasfuse.train import train_network

    torch.set_num_threads(1)
    dataset = cached_dataset(recipe.data.model_dump_json(), FIRST_DIVISION + number)
    seed = derive_seed(0, "retraining", number)
    return train_network(recipe, dataset, seed=seed, device=torch.device("cpu")).chosen.val_metric


def _score(found: Found, objectives: Objectives, retrained: dict[str, float]) -> dict[str, Any]:
    believed = [(metric, macs) for _, metric, macs in found.front]
    again = [(retrained[recipe.hash], macs) for recipe, _, macs in found.front]
    return {
        "trainings": found.trainings,
        "members": len(found.front),
        "found": hypervolume_of(believed, objectives),
        "retrained": hypervolume_of(again, objectives),
    }


def hypervolume_of(points: Sequence[tuple[float, int]], objectives: Objectives) -> float:
    """Returns the hypervolume of (metric, MACs) in the units of a study."""
    measured = [OperatingPoint(metric, macs, 0, 0.0, 0.0, 0) for metric, macs in points]
    return objectives.hypervolume([Candidate(number, 0, point, "") for number, point in enumerate(measured)])


def _report(rows: list[dict[str, Any]], engines: Sequence[str]) -> None:
    print("\n| engine | trainings | members | hypervolume found | retrained |\n|---|---|---|---|---|")
    for engine in (*engines, HALF):
        own = [row["engines"][engine] for row in rows]
        trainings, members = (statistics.fmean(one[key] for one in own) for key in ("trainings", "members"))
        found, retrained = (mean_sd([one[key] for one in own]) for key in ("found", "retrained"))
        print(f"| {engine} | {trainings:.0f} | {members:.1f} | {found} | {retrained} |")
    print()
    for engine in (one for one in engines if one != "nasfuse"):
        for ours in ("nasfuse", HALF):
            sides = ([row["engines"][name]["retrained"] for row in rows] for name in (ours, engine))
            print("-", paired_line(f"{ours} - {engine}, retrained", *sides))


if __name__ == "__main__":
    main()
