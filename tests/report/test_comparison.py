"""Fronts of several runs on one reference point."""

from dataclasses import replace

import pytest

from nasfuse.errors import InvalidInputError
from nasfuse.experiment.run_reader import read_run
from nasfuse.report.comparison import Span, compare
from nasfuse.report.comparison_figure import write_comparison_figure, write_comparison_page


@pytest.fixture
def runs(make_run, tmp_path):
    small = [(0.5, 10), (0.6, 100), (0.9, 10_000)]
    large = [(0.55, 100), (0.8, 1000), (0.9, 5000)]
    return [read_run(make_run(tmp_path / name, results)) for name, results in (("a", small), ("b", large))]


def test_who_leads_at_which_cost(runs):
    assert compare(runs).spans == [Span(10, 1000, ("a",)), Span(1000, 10_000, ("b",)), Span(10_000, None, ("a", "b"))]


def test_hypervolumes_have_one_reference_point(runs):
    far = [replace(run.objectives, reference=point) for run, point in zip(runs, ((0.1, 1e5), (0.2, 1e4)), strict=True)]
    found = compare([replace(run, objectives=one) for run, one in zip(runs, far, strict=True)])
    assert found.objectives.reference == (0.1, 1e5)
    # decades of cost x gain over 0.1, step by step
    assert found.hypervolumes["a"] == pytest.approx(1 * 0.4 + 2 * 0.5 + 1 * 0.8)
    b = 1 * 0.45 + 0.69897 * 0.7 + (5 - 3.69897) * 0.8
    assert found.hypervolumes["b"] == pytest.approx(b, abs=1e-5)
    assert [len(front) for front in found.fronts.values()] == [3, 3]


def test_an_error_is_better_where_it_is_smaller(make_run, tmp_path):
    study = {"metric": "mae", "data": {"source": "digits", "task": "regression"}}
    results = {"a": [(0.9, 10), (0.5, 100)], "b": [(0.8, 10)]}
    found = compare([read_run(make_run(tmp_path / name, one, **study)) for name, one in results.items()])
    assert found.spans == [Span(10, 100, ("b",)), Span(100, None, ("a",))]
    assert not found.has_other_data


def test_runs_of_one_name_are_told_apart_and_other_data_are_noticed(make_run, tmp_path):
    other = {"data": {"source": "digits", "val_fraction": 0.2}}
    runs = [
        read_run(make_run(tmp_path / part / "mine", [(0.5, 10)], **study)) for part, study in (("x", {}), ("y", other))
    ]
    found = compare(runs)
    assert list(found.fronts) == [str(run.folder.root) for run in runs]
    assert found.has_other_data


@pytest.mark.parametrize("number", [[0], [0, 0], [0, 1, 0]])
def test_fewer_than_two_different_runs_are_refused(runs, number):
    with pytest.raises(InvalidInputError, match=r"^compare needs two or more different runs; name their folders$"):
        compare([runs[index] for index in number])


def test_runs_that_cannot_be_compared_are_refused(runs, make_run, tmp_path):
    study = {"metric": "mae", "data": {"source": "digits", "task": "regression"}}
    errors = read_run(make_run(tmp_path / "c", [(0.4, 10)], **study))
    with pytest.raises(InvalidInputError, match=r"c has mae against macs, and .*a accuracy against macs; compare runs"):
        compare([runs[0], errors])
    with pytest.raises(InvalidInputError, match="d has no finished trial yet; continue its search first"):
        compare([runs[0], read_run(make_run(tmp_path / "d", [None]))])


def test_files(runs, tmp_path):
    found = compare(runs)
    write_comparison_figure(tmp_path / "fronts.png", found)
    write_comparison_page(tmp_path / "fronts.html", found)
    assert (tmp_path / "fronts.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "fronts.html").read_text()
    assert "Who leads at which cost" in page
    assert "10 kMACs" in page
    assert "<td>a and b</tr>" in page
