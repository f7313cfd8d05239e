"""The picture of a front."""

import warnings

import pytest

from nasfuse.experiment.reading import read_run
from nasfuse.report.figure import write_png
from nasfuse.report.table import by_cost


@pytest.mark.parametrize("name", ["front.png", "front.txt", "front"])
@pytest.mark.parametrize("results", [[(0.5, 100), (0.4, 200), (0.9, 1000), (0.95, 3000)], [(0.5, 100)], ["broke"], []])
def test_it_is_a_png_whatever_its_name(make_run, tmp_path, results, name):
    run = read_run(make_run(tmp_path / "run", results))
    path = tmp_path / "new" / name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_png(path, run, run.objectives, run.progress.front)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_over_latency(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 100)]))
    write_png(tmp_path / "x.png", run, *by_cost(run, "latency_s"))
    assert (tmp_path / "x.png").stat().st_size > 10_000
