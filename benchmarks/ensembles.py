"""Do ensembles earn their place on a front? Front of a run with them, on validation data and on test.

    python benchmarks/ensembles.py runs/digits --most 5

Nothing is trained: ensembles are chosen from the networks of the run as at the end of a search with `ensembles: 5`, and
evaluated with these networks. All members of the front without ensembles are printed, and the ensembles that are not
dominated. The test split has no part in any choice; look at it once. Not for runs with `data.validation`, whose
networks are those of folds.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import optuna
import torch
from torch import Tensor

from nasfuse.data import Dataset
from nasfuse.experiment.ensembles import choose_ensembles
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.nn import build_network
from nasfuse.nn.knob import set_knobs
from nasfuse.search.front import Candidate, candidates_of, front_of
from nasfuse.search.storage import open_to_read
from nasfuse.search.trial import TrialView
from nasfuse.search.views import trials_of
from nasfuse.spec.study import StudyConfig
from nasfuse.tasks import task_kind
from nasfuse.train import load_checkpoint, predict_logits
from nasfuse.train.metrics import score


class OnTest:
    """Predictions of the networks of a run for the test samples."""

    def __init__(self, folder: RunFolder, study: StudyConfig, trials: Sequence[TrialView]) -> None:
        """Keeps the run; predictions are computed when they are needed."""
        self.folder, self.study, self.trials = folder, study, trials
        self._known: dict[tuple[int, int], Tensor] = {}

    def values(self, candidate: Candidate) -> list[float]:
        """Returns the metric on test for each division on which all networks of `candidate` were trained."""
        members = candidate.members or (candidate,)
        trainings = [{self.trials[number].division: number for number in member.trainings} for member in members]
        task, found = self.study.data.task, []
        for division in sorted(set.intersection(*(set(one) for one in trainings))):
            dataset = cached_dataset(self.study.data.model_dump_json(), division)
            pairs = zip(trainings, members, strict=True)
            outputs = torch.stack([self._outputs(one[division], member, dataset) for one, member in pairs])
            together, test = task_kind(task).average(outputs), dataset.test
            found.append(score(self.study.metric, together, test.targets, task=task, target_scale=test.target_scale))
        return found

    def _outputs(self, number: int, member: Candidate, dataset: Dataset) -> Tensor:
        if (number, member.point) not in self._known:
            network = build_network(self.folder.recipe(number).network, dataset.modalities, dataset.task)
            network.load_state_dict(load_checkpoint(self.folder.network(number))["network"])
            set_knobs(network.knobs(), self.trials[number].points[member.point].settings)
            self._known[number, member.point] = predict_logits(network, dataset.test, device=torch.device("cpu"))
        return self._known[number, member.point]


def main() -> None:
    """Prints one line per point, cheapest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--most", type=int, default=5, help="largest number of networks in an ensemble")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = RunFolder(options.run)
    run = read_run(folder)
    study = run.study.model_copy(update={"ensembles": options.most})
    stored = optuna.load_study(study_name=study.name, storage=open_to_read(folder.storage_url(study)))
    trials = trials_of(stored)
    single = candidates_of(trials, max_macs=run.objectives.max_macs)
    front = front_of(single, run.objectives)
    ensembles = [one.candidate() for one in choose_ensembles(folder, study, trials, front)]
    joint = front_of([*single, *ensembles], run.objectives)
    test = OnTest(folder, study, trials)
    print(f"{'point':>20} {'MACs':>10} {'val (trainings)':>20} {'test (trainings)':>24}")
    for one in sorted({point.label: point for point in [*front, *joint]}.values(), key=lambda c: c.measured.macs):
        values = test.values(one)
        deviation = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        print(
            f"{one.label:>20} {one.measured.macs:>10,} {one.measured.metric:>9.4f} {one.spread:>10} "
            f"{statistics.fmean(values):>10.4f}{deviation} ({len(values)})",
            flush=True,
        )


if __name__ == "__main__":
    main()
