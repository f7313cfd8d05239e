"""Comparison of the points of a front with trainings of their exported recipes.

For each member of the front of a run, the recipe is exported, read and trained with new seeds. Recipe hash, MACs (to
the unit) and validation metric are compared with the record of the search. The test metric is printed, and not used for
any choice.

    python benchmarks/front_retraining.py runs/digits --seeds 3
"""

import argparse
import math
import tempfile
from pathlib import Path

import torch

from nasfuse.experiment.final_training import FinalResult, train_recipe
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.search.front import Candidate
from nasfuse.spec.ensemble import load_recipe


def standard_error(sd: float | None, n: int, floor: float) -> float:
    """Returns the standard error of a mean, from a deviation of at least `floor`: a few equal values have a spread."""
    return max(sd or 0.0, floor) / math.sqrt(n)


def written(mean: float, sd: float | None) -> str:
    """Returns a mean with its standard deviation, if there is one."""
    return f"{mean:.4f}" if sd is None else f"{mean:.4f}+-{sd:.4f}"


def compare(candidate: Candidate, result: FinalResult, *, floor: float) -> tuple[float, bool]:
    """Returns the difference of the validation means in standard errors, and whether it is below 3."""
    mean, sd = result.spread("val")
    error = math.hypot(
        standard_error(candidate.metric_sd, len(candidate.trainings), floor),
        standard_error(sd, len(result.seeds), floor),
    )
    distance = (mean - candidate.measured.metric) / error
    return distance, abs(distance) < 3


def main() -> None:
    """Prints one line per member of the front and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--floor", type=float, default=0.003, help="smallest standard deviation that is assumed for one training"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = read_run(RunFolder(options.run))
    print(f"{'trial':>14} {'MACs':>10} {'search (n)':>18} {'retrained val':>16} {'test':>16} {'distance':>9}  recipe")
    good = True
    for candidate in run.progress.front:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "recipe.yaml"
            file.write_text(run.recipe(candidate).to_yaml())
            recipe = load_recipe(file)
            result = train_recipe(
                recipe,
                Path(scratch),
                n_seeds=options.seeds,
                seed=1000,
                device=torch.device("cpu"),
                report=lambda *_: None,
            )
        same = recipe.hash == run.recipe(candidate).hash and result.macs == candidate.measured.macs
        distance, near = compare(candidate, result, floor=options.floor)
        good = good and same and near
        val, test = result.spread("val"), result.spread("test")
        searched = f"{written(candidate.measured.metric, candidate.metric_sd)} ({len(candidate.trainings)})"
        print(
            f"{candidate.label:>14} {result.macs:>10,} {searched:>18} {written(*val):>16} {written(*test):>16} "
            f"{distance:>+9.1f}  {recipe.hash} {'same' if same else 'DIFFERENT'}",
            flush=True,
        )
    print("every point came back" if good else "some point did not come back")


if __name__ == "__main__":
    main()
