"""The front as JSON and CSV."""

import csv
import json
from dataclasses import replace

import pytest

from nasfuse.experiment.run_reader import read_run
from nasfuse.report.table import by_cost, front_document, write_csv
from nasfuse.search.front import COLUMNS
from nasfuse.spec.recipe import Recipe

RESULTS = [(0.5, 100), (0.4, 200), (0.9, 1000), "it broke"]


@pytest.fixture
def run(make_run, tmp_path):
    return read_run(make_run(tmp_path / "run", RESULTS))


def test_the_document(run):
    document = front_document(run, run.objectives, run.progress.front)
    assert json.loads(json.dumps(document)) == document
    assert set(document) == {"study", "metric", "cost", "reference", "hypervolume", "plain_models", "front"}
    assert document["metric"] == {"name": "accuracy", "direction": "maximize"}
    assert document["reference"] == [0.1, 1e6]
    assert document["hypervolume"] == pytest.approx(4 * 0.4 + 3 * 0.4)
    assert [row["macs"] for row in document["front"]] == [100, 1000]
    for row in document["front"]:
        assert Recipe.parse(row["recipe"]) == run.folder.recipe(row["trial"])


def test_a_recipe_that_is_gone(run):
    (run.folder.trial(0) / "recipe.yaml").unlink()
    rows = {row["trial"]: row["recipe"] for row in front_document(run, run.objectives, run.progress.front)["front"]}
    assert rows.pop(0) is None
    assert all(rows.values())


def test_another_cost(run):
    assert by_cost(run, "macs") == (run.objectives, run.progress.front)
    objectives, front = by_cost(run, "params")
    assert objectives.reference == (0.1, 500.0)
    assert [candidate.trial for candidate in front] == [0, 2]
    assert [candidate.trial for candidate in by_cost(run, "latency_s")[1]] == [2]


def test_csv(run, tmp_path):
    (tmp_path / "new").mkdir()
    write_csv(tmp_path / "new" / "front.csv", run.progress.front)
    with (tmp_path / "new" / "front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["macs"], row["baseline"]) for row in rows] == [
        ("0", "100", "one [stream]: left"),
        ("2", "1000", "both"),
    ]


def test_no_cell_is_a_formula(run, tmp_path):
    (first, second) = run.progress.front
    formula = replace(first, baseline="=HYPERLINK(1)")
    write_csv(tmp_path / "front.csv", [formula, second])
    with (tmp_path / "front.csv").open(newline="") as file:
        assert [row["baseline"] for row in csv.DictReader(file)] == ["'=HYPERLINK(1)", "both"]


def test_csv_of_nothing_has_its_header(tmp_path):
    write_csv(tmp_path / "front.csv", [])
    assert (tmp_path / "front.csv").read_text().strip() == ",".join(COLUMNS)


def test_nothing_measured_yet(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", ["it broke"]))
    for cost in ("macs", "latency_s"):
        objectives, front = by_cost(run, cost)
        assert front_document(run, objectives, front)["front"] == []
