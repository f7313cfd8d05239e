"""The picture of a front."""

import warnings

import pytest

from nasfuse.errors import InvalidInputError
from nasfuse.experiment.run_reader import read_run
from nasfuse.report.figure import write_figure
from nasfuse.report.table import by_cost


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
@pytest.mark.parametrize("results", [[(0.5, 100), (0.4, 200), (0.9, 1000), (0.95, 3000)], [(0.5, 100)], ["broke"], []])
def test_the_suffix_is_the_format(make_run, tmp_path, results, suffix, magic):
    run = read_run(make_run(tmp_path / "run", results))
    path = tmp_path / f"front{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_figure(path, run, run.objectives, run.progress.front)
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["front.txt", "front", "front.jpg"])
def test_no_other_format(make_run, tmp_path, name):
    run = read_run(make_run(tmp_path / "run", [(0.5, 100)]))
    with pytest.raises(InvalidInputError, match=r"a figure is written as \.png, \.svg, \.pdf; change the suffix"):
        write_figure(tmp_path / name, run, run.objectives, run.progress.front)
    assert not (tmp_path / name).exists()


def test_over_latency(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", [(0.5, 100)]))
    write_figure(tmp_path / "x.png", run, *by_cost(run, "latency_s"))
    assert (tmp_path / "x.png").stat().st_size > 10_000
