"""Does every point of a front come back: its recipe, its MACs, its metric, and the metric of the saved file?

Searches the digits three times, in the spaces of static networks, of routed networks and of fixed points. Each point of
the three fronts is then exported as by `nasfuse export` and trained as by `nasfuse train`. Compared are

- the hash of the recipe in the exported file, in the folder of the trainings, and in their networks;
- the MACs of the costliest route at full length, of the exported recipe and of the point, to the unit;
- the mean validation metric of the trainings and that of the search, in standard errors of their difference, by the
  standard deviation of the point's own trainings or that pooled over all points of the front, whichever is larger (two
  or three trainings may agree by chance, and networks with few weights vary more than others);
- the metric of the point's network and of one that is trained with the same seed on the same division;
- the metric of each saved network, of the trainings and of the search, read from the file and computed again.

    nice -n 5 python benchmarks/export_round_trip.py --out round_trip.txt
"""

import argparse
import math
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import nasfuse
from nasfuse.data.sources.digits import load_digits
from nasfuse.experiment.checkpoint_evaluation import evaluate_checkpoint
from nasfuse.experiment.final_training import FinalResult, train_recipe
from nasfuse.experiment.objective import Training
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import Run, read_run
from nasfuse.experiment.space_survey import macs_of
from nasfuse.prediction import read_network
from nasfuse.search.front import Candidate
from nasfuse.search.trial import TrialView
from nasfuse.search.views import trials_of
from nasfuse.spec.ensemble import load_recipe

CPU = torch.device("cpu")
SPACES = {"digits": "fusion", "routed": "dynmm", "equilibrium": "deq"}
#: What all networks of a search have; in the space `deq`, the cheapest networks have no fixed point.
FIXED = {"equilibrium": {"network.fusion.kind": "equilibrium", "network.fusion.gradient": "implicit"}}
#: Largest distance of a metric that is computed again.
CLOSE = 1e-6


def searched(name: str, folder: Path, options: argparse.Namespace) -> Run:
    """Returns a finished search of the digits; one that is in `folder` is continued."""
    study = {
        "name": name,
        "data": {"source": "digits"},
        "space": SPACES[name],
        "fixed": {"training.epochs": options.epochs, **FIXED.get(name, {})},
        "budget": {"trials": options.trials, "repeats": 2},
    }
    nasfuse.search(study, output=folder, progress=False)
    return read_run(RunFolder(folder))


def recorded(run: Run) -> dict[int, TrialView]:
    """Returns the trials of a run by number."""
    import optuna

    study = optuna.load_study(study_name=run.study.name, storage=run.folder.storage_url(run.study))
    return {trial.number: trial for trial in trials_of(study)}


def repeated(run: Run, candidate: Candidate) -> float:
    """Returns the distance of the metric of a point from that of a training with the same seed and division."""
    trial = recorded(run)[candidate.trial]
    with tempfile.TemporaryDirectory() as folder:
        found = Training()(
            run.folder.recipe(candidate.trial),
            seed=trial.record["seed"],
            division=trial.record["division"],
            folder=Path(folder),
            report=lambda *_: None,
            weight_sources={},
        )
    return abs(found.points[candidate.point].metric - trial.points[candidate.point].metric)


def reloaded(run: Run, candidate: Candidate) -> float:
    """Returns the largest distance of the metric of the networks of a point, computed again, from what was recorded."""
    trials = recorded(run)
    distances = []
    for number in candidate.trainings:
        found = evaluate_checkpoint(run.folder.network(number), split="val", device=CPU, point=candidate.point)
        distances.append(abs(found["value"] - trials[number].points[candidate.point].metric))
    return max(distances)


@dataclass(frozen=True)
class RoundTrip:
    """A point after its recipe was exported and trained.

    Attributes:
        candidate: The point.
        result: The trainings.
        again: Largest distance of a metric that was computed again.
        same_seed: Distance of the metric of a training with the seed and division of the search.
        wrong: What differs.
    """

    candidate: Candidate
    result: FinalResult
    again: float
    same_seed: float
    wrong: tuple[str, ...]

    @property
    def spreads(self) -> list[tuple[int, float]]:
        """Degrees of freedom and standard deviation of the metric in the search and in the trainings, where known."""
        found = [(len(self.candidate.trainings) - 1, self.candidate.metric_sd)]
        found.append((len(self.result.seeds) - 1, self.result.spread("val")[1]))
        return [(count, sd) for count, sd in found if sd is not None]

    def distance(self, sd: float) -> float:
        """Returns the difference of the mean metrics in standard errors, for a pooled `sd` of one training."""
        mean, own = self.result.spread("val")
        sd = max(sd, own or 0.0)
        n_searched, n_trained = len(self.candidate.trainings), len(self.result.seeds)
        return (mean - self.candidate.measured.metric) / (sd * math.sqrt(1 / n_searched + 1 / n_trained))


def round_trip(run: Run, candidate: Candidate, options: argparse.Namespace) -> RoundTrip:
    """Exports and trains the recipe of a point."""
    dataset, wrong = load_digits(), []
    with tempfile.TemporaryDirectory() as scratch:
        file, folder = Path(scratch) / "recipe.yaml", Path(scratch) / "trained"
        exported = nasfuse.load_run(run.folder.root).export(file, trial=candidate.label)
        recipe = load_recipe(file)
        result = train_recipe(recipe, folder, n_seeds=options.seeds, seed=0, device=CPU, report=lambda *_: None)
        saved = [read_network(Path(seed.checkpoint), device=CPU).recipe.hash for seed in result.seeds]
        hashes = {exported.hash, recipe.hash, load_recipe(folder / "recipe.yaml").hash, *saved}
        if len(hashes) > 1:
            wrong.append(f"hashes {hashes}")
        full = macs_of(recipe, dataset, route=-1)
        own = macs_of(run.folder.recipe(candidate.trial), dataset, route=-1)
        if result.check.failed:
            wrong.append(str(result.check))
        if recipe.network.router is None and not candidate.measured.knobs:
            if result.macs != candidate.measured.macs or full != own:
                wrong.append(f"MACs {result.macs}, of the point {candidate.measured.macs}")
        elif full > own:
            wrong.append(f"MACs {full} at most, of the trial {own}")
        again = reloaded(run, candidate)
        for seed in result.seeds:
            for split, value in (("val", seed.val), ("test", seed.test)):
                found = evaluate_checkpoint(Path(seed.checkpoint), split=split, device=CPU)["value"]
                again = max(again, abs(found - value))
        if again > CLOSE:
            wrong.append(f"metric of the file differs by {again:.1g}")
        same_seed = repeated(run, candidate)
        if same_seed > CLOSE:
            wrong.append(f"metric with the seed of the search differs by {same_seed:.1g}")
    return RoundTrip(candidate, result, again, same_seed, tuple(wrong))


def judged(trips: list[RoundTrip], options: argparse.Namespace) -> int:
    """Prints a line for each point of a front, and returns how many came back."""
    spreads = [spread for trip in trips for spread in trip.spreads]
    pooled = math.sqrt(sum(count * sd**2 for count, sd in spreads) / sum(count for count, _ in spreads))
    print(f"  standard deviation of one training: {pooled:.4f}", file=options.out)
    n_good = 0
    for trip in trips:
        point, result, distance = trip.candidate.measured, trip.result, trip.distance(pooled)
        wrong = [*trip.wrong, *([f"metric {distance:+.1f} standard errors away"] if abs(distance) > 3 else [])]
        n_good += not wrong
        values = [seed.val for seed in result.seeds]
        print(
            f"  {trip.candidate.label:>6} {point.macs:>9,} {result.macs:>9,} MACs  val {point.metric:.4f} "
            f"({len(trip.candidate.trainings)}) {statistics.fmean(values):.4f} ({len(values)}) {distance:+.1f} se  "
            f"file {trip.again:.0e} seed {trip.same_seed:.0e}  {'; '.join(wrong) or 'good'}  {trip.candidate.summary}",
            file=options.out,
            flush=True,
        )
    return n_good


def main() -> None:
    """Prints one line per point of each front, and how many came back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=14)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/round_trip"), help="folder of the searches")
    parser.add_argument("--only", choices=SPACES, help="one of the three searches")
    parser.add_argument("--out", type=argparse.FileType("w"), default="-", help="file of the results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    n_points = n_good = 0
    for name in SPACES if options.only is None else (options.only,):
        start = time.monotonic()
        run = searched(name, options.runs / name, options)
        print(f"{name}: {len(run.progress.front)} points", file=options.out, flush=True)
        trips = [round_trip(run, candidate, options) for candidate in run.progress.front]
        n_points += len(trips)
        n_good += judged(trips, options)
        print(f"  {time.monotonic() - start:.0f} s", file=options.out, flush=True)
    print(f"{n_good} of {n_points} points came back", file=options.out)


if __name__ == "__main__":
    main()
