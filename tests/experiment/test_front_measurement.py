"""What a search measures of its front at its end."""

import math

import pytest

from nasfuse.data.progress import reporting
from nasfuse.experiment.countdown import UNLIMITED, Countdown
from nasfuse.experiment.front_measurement import measure_front
from nasfuse.experiment.macs_check import read_checks
from nasfuse.experiment.objective import Training
from nasfuse.experiment.plain_comparison import read_plain_scores
from nasfuse.experiment.point_details import read_details
from nasfuse.experiment.robustness_file import read_robustness
from nasfuse.experiment.run_reader import read_run
from tests.experiment.spent_time import Asked


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    """A front of two points, with their networks."""
    folder = make_run(
        tmp_path_factory.mktemp("runs") / "run", [(0.3, 10), (0.5, 100)], budget={"trials": 2, "repeats": 3}
    )
    for number in (0, 1):
        Training()(
            folder.recipe(number), seed=0, division=0, folder=folder.trial(number), report=lambda *_: None,
            weight_sources={},
        )  # fmt: skip
    return read_run(folder)


@pytest.fixture
def measured(run):
    """Returns a function that measures the front for as long as a countdown asks, and says what is in the folder."""
    files = (
        run.folder.macs_file,
        run.folder.plain_models_file,
        run.folder.details_file,
        run.folder.robustness_file,
    )
    for file in files:
        file.unlink(missing_ok=True)

    def call(countdown):
        left_out = measure_front(run.folder, run.study, run.progress.front, countdown=countdown)
        counts = (
            len(read_checks(run.folder)),
            read_plain_scores(run.folder) is not None,
            len(read_details(run.folder).points),
            len(read_robustness(run.folder)),
        )
        return left_out, counts

    return call


ALL = (2, True, 2, 2)


def test_all_is_measured_where_there_is_time(measured):
    told = []
    with reporting(lambda *progress: told.append(progress)):
        assert measured(UNLIMITED) == (None, ALL)
    stages = ("counting MACs of points", "linear models", "figures of points", "points without each modality")
    assert list(dict.fromkeys(what for what, _, _ in told)) == list(stages)
    assert [one for one in told if one[0] == "figures of points"] == [("figures of points", n, 2) for n in range(3)]


def test_what_is_left_out_is_said_and_measured_later(measured, run):
    left_out, counts = measured(Asked(1))
    assert counts == (1, False, 0, 0)
    assert left_out == (
        "the time for measuring the front is spent; left out: the count of MACs of 1 point, the linear model, figures "
        f"by class and the like of 2 points, 2 points without each modality (`nasfuse report {run.folder.root}` "
        "measures all)"
    )
    left_out, counts = measured(Asked(6))  # a point, three linear models, two points
    assert counts == (2, True, 2, 0)
    assert "left out: 2 points without each modality (`" in left_out
    known = Asked(1)
    assert measured(known) == (left_out.replace("2 points without", "1 point without"), (2, True, 2, 1))
    assert known.seconds[0] > 0, "an estimate of what it takes"
    assert measured(UNLIMITED) == (None, ALL)


def test_no_linear_model_of_some_of_the_divisions(measured):
    left_out, counts = measured(Asked(4))
    assert counts == (2, False, 0, 0)
    assert "left out: the linear model, figures" in left_out


def test_the_countdown():
    assert Countdown(1000.0).has(900.0)
    assert not Countdown(1000.0).has(1100.0)
    assert not Countdown(-1.0).has()
    assert list(UNLIMITED.while_left("ab")) == ["a", "b"]
    assert list(Countdown(0.0).while_left("ab")) == []
    assert UNLIMITED.has(math.nextafter(math.inf, 0))
