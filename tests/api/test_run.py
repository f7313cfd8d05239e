"""`nasfuse.load_run`: the front as a table, and the errors of runs that cannot be read."""

import math

import pytest

import nasfuse
from nasfuse.errors import InvalidInputError, MissingFileError, RunFolderError

RESULTS = [(0.5, 100), (0.4, 200), (0.9, 1000), "it broke", [(0.95, 20_000), (0.93, 5000)]]


def test_the_front(make_run, tmp_path):
    run = nasfuse.load_run(make_run(tmp_path / "run", RESULTS).root)
    front = run.front
    assert front.index.tolist() == ["0", "2", "4:1", "4"]
    assert front["macs"].tolist() == [100, 1000, 5000, 20_000]
    assert front["metric"].tolist() == [0.5, 0.9, 0.93, 0.95]
    assert front.loc["4:1", "point"] == 1
    assert repr(run) == f"<SearchRun {tmp_path / 'run'}: 4 points on the front>"
    assert run.explain(trial="4:1").startswith("Trial 4:1 is the one that was asked for; ")
    assert math.isclose(run.recipe(max_macs=150).training.lr, run.recipe(trial="0").training.lr)


def test_criteria_are_checked(make_run, tmp_path):
    run = nasfuse.load_run(make_run(tmp_path / "run", RESULTS).root)
    assert run.explain(trial=2) == run.explain(trial="2")
    for criteria, message in (
        ({"pick": "kneee"}, r"^pick must be one of best, knee, cheapest, got 'kneee'; correct it$"),
        ({"within": "1"}, r"^within must be a number, got '1'; correct it$"),
        ({"max_mac": 3}, r"^there is no criterion 'max_mac'; did you mean 'max_macs'\?"),
    ):
        for method in (run.explain, run.recipe, run.network):
            with pytest.raises(InvalidInputError, match=message):
                method(**criteria)


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"trial": "x"}, r"^trial must be the number N of a trial, or N:P for its point P, got 'x'$"),
        ({"trial": 9}, r"^trial 9: .*; `nasfuse pareto \S+/run` lists the front$"),
        ({"trial": 0, "max_macs": 100}, r"^trial names one point, so no other criterion applies; leave the others out"),
        ({"min_metric": math.nan}, "^min_metric must be a number, got nan; correct it$"),
        ({"within": -1}, "^within must be a percentage from 0 to 100, got -1; correct it$"),
    ],
)
def test_errors_name_arguments(make_run, tmp_path, criteria, message):
    run = nasfuse.load_run(make_run(tmp_path / "run", RESULTS).root)
    with pytest.raises(InvalidInputError, match=message):
        run.recipe(**criteria)


def test_a_recipe_that_cannot_be_written(make_run, tmp_path):
    run = nasfuse.load_run(make_run(tmp_path / "run", RESULTS).root)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match=r"file/a\.yaml cannot be written \(.+\); name another file$"):
        run.export(tmp_path / "file/a.yaml")


def test_no_front_yet(make_run, tmp_path):
    run = nasfuse.load_run(make_run(tmp_path / "run", ["it broke"]).root)
    assert run.front.empty
    assert "metric" in run.front.columns
    for method in (run.explain, run.recipe, run.network):
        with pytest.raises(InvalidInputError, match="run has no finished trial yet; continue its search first"):
            method()


def test_a_network_that_is_gone(make_run, tmp_path):
    run = nasfuse.load_run(make_run(tmp_path / "run", RESULTS).root)
    with pytest.raises(RunFolderError, match="run has no network of trial 4 any more; export the recipe of the point"):
        run.network()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("bla", "^device bla: there is no such device; use cpu, cuda or auto$"),
        ("mps", "^device mps: only cpu and cuda are supported; use one of them or auto$"),
        ("cuda:99", "^device cuda:99: torch sees [0-9]+ GPUs? here; use cpu or auto$"),
        (3, r"^device must be a name or a torch\.device, got 3; use cpu, cuda or auto$"),
    ],
)
def test_a_device_that_is_not_there(make_run, tmp_path, device, message):
    run = nasfuse.load_run(make_run(tmp_path / "run", RESULTS).root)
    with pytest.raises(InvalidInputError, match=message):
        run.network(device=device)


def test_no_run(tmp_path):
    with pytest.raises(MissingFileError, match=r"is not a run folder: it has no study\.yaml"):
        nasfuse.load_run(tmp_path)
