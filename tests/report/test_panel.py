"""What the report shows of a chosen point, and of the trials of a search."""

import pytest

from nasfuse.backends.outcome import Stopped
from nasfuse.experiment.label_pictures import PredictedMap
from nasfuse.experiment.metadata_groups import GroupFigures
from nasfuse.experiment.point_details import PointDetails
from nasfuse.experiment.run_reader import read_run
from nasfuse.experiment.training_files import write_curve
from nasfuse.report.panel import export_command, hand_made_designs, panel
from nasfuse.report.search_charts import trials_chart
from nasfuse.train import Epoch


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    results = [[(0.5, 100), (0.45, 50)], (0.4, 20), "it broke", (0.9, 1000), 0.2, Stopped(1, 0.3)]
    folder = make_run(tmp_path_factory.mktemp("a run") / "run", results)
    write_curve(folder.trial(3) / "metrics.jsonl", [Epoch(k, 2 / k, None, 0.1 * k, 1.0) for k in range(1, 4)])
    return read_run(folder)


def member(run, trial):
    return next(one for one in run.candidates if one.trial == trial)


def test_curves_and_recipe(run):
    found = panel(run, member(run, 3), None)
    assert [block["title"] for block in found] == ["Learning curves", "Losses", "Recipe, as export writes it"]
    (curve,) = found[0]["chart"]["series"]
    assert [(point["x"], point["y"]) for point in curve["points"]] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert [one["name"] for one in found[1]["chart"]["series"]] == ["trial 3, training"], "there is no validation loss"
    assert found[2]["text"] == run.recipe(member(run, 3)).to_yaml()


def test_figures_of_classes(run):
    by_class = [{"name": "<cat>", "samples": 3, "precision": 0.5, "recall": None, "f1": 1.0}]
    details = PointDetails("0", 3, by_class, [[3]], None, {"left": 0.25, "left+right": 0.75}, {"joint": {2: 1, 5: 3}})
    table, matrix, routes, steps = panel(run, member(run, 0), details)[:4]
    assert (table["columns"], table["rows"]) == (
        ["", "samples", "precision", "recall", "f1"],
        [["<cat>", "3", "0.500", "-", "1.000"]],
    )
    assert (matrix["names"], matrix["counts"]) == (["<cat>"], [[3]])
    assert routes["rows"] == [["left", 0.25, "25.0%"], ["left+right", 0.75, "75.0%"]]
    assert steps["rows"] == [["2 steps", 0.25, "25.0%"], ["5 steps", 0.75, "75.0%"]]


def test_pictures_and_figures_by_metadata(run):
    by_class = [{"name": name, "pixels": 3, "iou": 0.5} for name in ("cat", "dog")]
    groups = {"day": [GroupFigures("night", 2, 0.25, 1500.0, {"a": 0.5, "a+b": 0.5})]}
    maps = {
        7: [PredictedMap("a", False, "QQ=="), PredictedMap("a+b", True, "Qg==")],
        9: [PredictedMap("", True, "Qw==")],
    }
    details = PointDetails("0", 2, by_class, routes={"a": 0.5, "a+b": 0.5}, groups=groups, maps=maps)
    _, _, day, pictures = panel(run, member(run, 0), details)[:4]
    assert (day["title"], day["columns"]) == ("By day", ["", "samples", "accuracy", "MACs", "on a", "on a+b"])
    assert day["rows"] == [["night", "2", "0.250", "1,500", "50.0%", "50.0%"]]
    assert pictures["legend"] == [["cat", "#000000"], ["dog", "#800000"], ["no label", "#e0e0c0"]]
    assert [(one["row"], [each["name"] for each in one["maps"]]) for one in pictures["samples"]] == [
        (7, ["a", "a+b (taken)"]),
        (9, ["prediction"]),
    ]


def test_residuals_of_numbers(run):
    details = PointDetails("0", 2, [{"name": "price", "mae": 0.5, "r2": 0.9}], None, [[(3.0, 2.5), (1.0, 1.5)]])
    table, residuals = panel(run, member(run, 0), details)[:2]
    assert table["title"] == "By number, on 2 validation samples, first training"
    samples, zero = residuals["chart"]["series"]
    assert [(point["x"], point["y"]) for point in samples["points"]] == [(1.0, 0.5), (3.0, -0.5)]
    assert [(point["x"], point["y"]) for point in zero["points"]] == [(1.0, 0.0), (3.0, 0.0)]


def test_the_command(tmp_path):
    assert (
        export_command(tmp_path / "a b", "--pick", "knee")
        == f"nasfuse export '{tmp_path}/a b' --pick knee -o recipe.yaml"
    )


def test_designs_are_shown_as_they_were_trained(run):
    assert [(one.trial, one.point) for one in hand_made_designs(run)] == [(1, 0), (0, 0)]


def test_a_training_that_ended_no_epoch_is_drawn_at_the_lower_edge(make_run, tmp_path):
    chart = trials_chart(read_run(make_run(tmp_path / "late", [(0.5, 100), (0.4, 200), Stopped(0, None)])))
    (late,) = (series for series in chart.series if series.name == "out of time")
    assert [(point.x, point.y, point.text[1:]) for point in late.points] == [(2, 0.4, ["epoch 0 of 2"])]


def test_every_training_is_drawn_once(run):
    chart = trials_chart(run)
    drawn = {series.name: [(point.x, point.y) for point in series.points] for series in chart.series}
    assert drawn == {
        "hand-made, complete": [(0, 0.5), (1, 0.4)],
        "suggested, complete": [(3, 0.9)],
        "stopped early": [(4, 0.2)],
        "out of time": [(5, 0.3)],
        "failed (at the lower edge)": [(2, 0.2)],
    }
    assert len({series.mark for series in chart.series}) == 5, "they differ without colours"
