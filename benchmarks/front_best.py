"""Final training of the best points of a front: of all networks, and of those with transformers alone.

The points are the best on validation data among those with all their repetitions. Each is trained on train and val
together with several seeds and evaluated on test once; nothing is chosen by test.

    python cli.py search studies/hapt_sparse.yaml
    python benchmarks/front_best.py runs/hapt_sparse --seeds 5
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from nasfuse.experiment.final_training import train_recipe
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import Run, read_run
from nasfuse.search.front import Candidate
from nasfuse.spec.recipe import Recipe

CPU = torch.device("cpu")


def only_transformers(run: Run, candidate: Candidate) -> bool:
    """Returns whether all streams of a point are transformers."""
    streams = run.folder.recipe(candidate.trial).network.streams.values()
    return all(stream.encoder == "transformer" for stream in streams)


def best(run: Run, suits: Callable[[Candidate], bool]) -> Candidate:
    """Returns the best suitable point on validation data, of those with all their repetitions if there are any."""
    found = [one for one in run.candidates if suits(one)]
    confirmed = [one for one in found if len(one.trainings) >= run.study.budget.repeats]
    return max(confirmed or found, key=lambda one: one.measured.metric)


def show(label: str, recipe: Recipe, folder: Path, *, n_seeds: int, val: str) -> None:
    """Trains a recipe on train and val, and prints its MACs and its metric on test."""
    whole = recipe.model_copy(update={"data": recipe.data.on_train_and_val()})
    final = train_recipe(whole, folder / whole.hash, n_seeds=n_seeds, seed=0, device=CPU, report=lambda *_: None)
    mean, deviation = final.spread("test")
    spread = "" if deviation is None else f" +- {deviation:.4f}"
    print(f"{label:<32} {final.macs:>10,}  val {val:<18} test {mean:.4f}{spread}  {recipe.summary}", flush=True)


def main() -> None:
    """Prints one line per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("-o", "--out", type=Path, help="folder of the networks, to continue an interrupted run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = read_run(RunFolder(options.run))
    points = {
        "best": best(run, lambda one: True),
        "best of transformers": best(run, lambda one: only_transformers(run, one)),
    }
    with tempfile.TemporaryDirectory() as scratch:
        for label, point in points.items():
            deviation = "" if point.metric_sd is None else f" +- {point.metric_sd:.4f}"
            val = f"{point.measured.metric:.4f}{deviation} ({len(point.trainings)})"
            show(label, run.recipe(point), options.out or Path(scratch), n_seeds=options.seeds, val=val)


if __name__ == "__main__":
    main()
