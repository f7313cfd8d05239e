"""Whether a search found more than a linear model has."""

import pytest

from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.errors import RunFolderError
from nasfuse.experiment.countdown import UNLIMITED
from nasfuse.experiment.plain_comparison import PlainScores, against_linear_model, read_plain_scores
from nasfuse.experiment.plain_models import keep_plain_scores
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.front import Candidate
from nasfuse.spec.study import StudyConfig
from tests.tiny_study import TINY


@pytest.mark.parametrize(
    ("metric", "own", "n_trainings", "linear", "sentence"),
    [
        (
            "accuracy",
            0.9,
            3,
            (0.7, 0.9),
            "0.9000, mean of 3 trainings) is better by 0.1000 than a linear model (0.8000, mean of 2 divisions).",
        ),
        ("accuracy", 0.8, 1, (0.8,), "accuracy 0.8000) is level with a linear model (0.8000)."),
        ("accuracy", 0.7, 1, (0.8,), "worse by 0.1000 than a linear model (0.8000); search longer, or use the linear"),
        ("rmse", 2.0, 1, (3.0,), "rmse 2.0000) is better by 1.0000 than a linear model (3.0000)."),
        ("rmse", 3.5, 1, (3.0,), "rmse 3.5000) is worse by 0.5000 than a linear model (3.0000); search longer"),
    ],
)
def test_the_sentence(metric, own, n_trainings, linear, sentence):
    point = OperatingPoint(metric=own, macs=10, params=1, latency_s=1e-3, latency_iqr_s=0.0, peak_bytes=1)
    best = Candidate(0, 0, point, "network", trainings=tuple(range(n_trainings)))
    assert sentence in against_linear_model(best, PlainScores(metric, (0.0,), linear))


def test_scores_are_kept_once(tmp_path):
    study = StudyConfig.parse({**TINY, "budget": {"trials": 1}})
    folder = RunFolder(tmp_path)
    assert read_plain_scores(folder) is None
    keep_plain_scores(folder, study, countdown=UNLIMITED)
    found = read_plain_scores(folder)
    assert found.metric == "accuracy"
    assert found.mean("linear") > found.mean("constant")
    folder.plain_models_file.write_text('{"metric": "accuracy", "constant": [0.1], "linear": [0.2]}')
    keep_plain_scores(folder, study, countdown=UNLIMITED)
    assert read_plain_scores(folder) == PlainScores("accuracy", (0.1,), (0.2,))


@pytest.mark.parametrize("content", ["{", "[]", '{"metric": "accuracy"}'])
def test_a_damaged_file_is_named(tmp_path, content):
    folder = RunFolder(tmp_path)
    folder.plain_models_file.write_text(content)
    with pytest.raises(RunFolderError, match=r"plain_models\.json is damaged; remove it"):
        read_plain_scores(folder)
