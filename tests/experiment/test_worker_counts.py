"""The same seed finds the same trials for any number of workers and after an interruption, with real trainings."""

import pytest

from nasfuse.experiment.objective import Training
from nasfuse.experiment.run import run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.spec.study import StudyConfig
from tests.experiment.test_run import Display
from tests.in_process import InProcess
from tests.small_search import write_three_vectors

N_TRIALS, INTERRUPTED = 6, 3

FIXED = {
    "network.streams.*.encoder": "mlp",
    "network.streams.*.depth": 1,
    "network.fusion.kind": "concat",
    "network.fusion.width": 8,
    "training.epochs": 2,
    "training.batch_size": 16,
}
LR = {"training.lr": {"float": [1e-3, 1e-1], "log": True}}

#: Elastic networks, and cross-validations whose folds train as one stack.
STUDIES = {
    "elastic": {
        "space": {
            "fields": LR,
            "fixed": {
                **FIXED,
                "network.route": "all",
                "network.streams.*.width": 8,
                "elastic": {"network.streams.a.width": [2, 4], "network.fusion.width": [4]},
                "training.elastic.n_random": 1,
            },
        }
    },
    "stacked": {
        "space": {"fields": {**LR, "network.streams.*.width": {"choices": [4, 8]}}, "fixed": FIXED},
        "validation": {"folds": 3},
    },
}


class Interrupted(InProcess):
    """Is interrupted when a trial is about to start."""

    def open(self, objective, **options):
        def interrupted(*arguments, folder, **keywords):
            if folder.name == str(INTERRUPTED):
                raise KeyboardInterrupt
            return objective(*arguments, folder=folder, **keywords)

        return super().open(interrupted, **options)


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    return write_three_vectors(tmp_path_factory.mktemp("data") / "toy.npz")


def run(root, study, *, backend=None, workers):
    backend = backend or InProcess()
    backend.capacity = workers
    run_search(study, RunFolder(root), display=Display(), objective=Training(), open_backend=backend.open)


def contents(root):
    """Trials of a run without times."""
    return [
        (
            trial.number,
            trial.params,
            trial.frozen.values,
            trial.repeat_of,
            [(point.metric, point.macs, point.knobs) for point in trial.points] if trial.is_complete else None,
        )
        for trial in read_run(RunFolder(root)).trials
    ]


@pytest.mark.parametrize("kind", STUDIES)
def test_four_workers_and_one_that_is_interrupted(data_file, kind, tmp_path):
    data = {"source": str(data_file), "modalities": dict.fromkeys("abc", "vector")}
    options = dict(STUDIES[kind])
    if "validation" in options:
        data["validation"] = options.pop("validation")
    budget = {"budget": {"trials": N_TRIALS, "repeats": 2}, "resources": {"workers": 4}}
    study = StudyConfig.parse({"name": kind, "data": data, **budget, **options})
    run(tmp_path / "four", study, workers=4)
    expected = contents(tmp_path / "four")
    assert len(expected) >= N_TRIALS
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "one", study, backend=Interrupted(), workers=1)
    assert len(contents(tmp_path / "one")) < len(expected)
    run(tmp_path / "one", study, workers=1)
    assert contents(tmp_path / "one") == expected
