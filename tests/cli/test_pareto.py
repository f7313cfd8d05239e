"""`nasfuse pareto` and `nasfuse report`."""

import csv

import pytest

from nasfuse.cli import console
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.recipe import Recipe


def test_json(nasfuse, run_folder):
    document = nasfuse("pareto", run_folder, "--json").json
    assert document["study"] == "small"
    assert document["metric"] == {"name": "accuracy", "direction": "maximize"}
    assert len(document["reference"]) == 2
    assert document["hypervolume"] == pytest.approx(4 * 0.4 + 3 * 0.4 + (6 - 4.30103) * 0.05)
    assert [point["macs"] for point in document["front"]] == [100, 1000, 20_000], "ordered by MACs"
    for point in document["front"]:
        assert {"trial", "point", "metric", "macs", "params", "latency_s", "summary", "recipe"} <= set(point)
        assert Recipe.parse(point["recipe"]).summary == point["summary"]


def test_the_table(nasfuse, run_folder):
    ran = nasfuse("pareto", run_folder)
    assert ran.code == 0
    assert "Front of small: 3 points, hypervolume 2." in ran.out
    assert "*4" in ran.out, "the knee"
    assert "* knee: the cheapest point within 0.0085 of the best (1% of its lead over a constant);" in ran.out
    assert "(one [stream]: left)" in ran.out
    assert "Best hand-made design: both, accuracy 0.9000 at 1,000 MACs (trial 2)" in ran.out
    assert "FLOPs are 2 x MACs" in ran.out


@pytest.mark.parametrize("verb", ["pareto", "compare", "status"])
def test_a_file_has_lines_of_any_length(nasfuse, make_run, tmp_path, monkeypatch, verb):
    results = [(0.5, 100), (0.9, 1000), (0.95, 5000), f"ValueError: {'a reason of many words ' * 5}"]
    folders = [make_run(tmp_path / f"{'a_folder_with_a_long_name_' * 3}{number}", results).root for number in (1, 2)]

    def lines(**options):
        monkeypatch.setattr(console, "out", console.new_console(**options))
        return nasfuse(verb, *folders[: 2 if verb == "compare" else 1]).out.splitlines()

    assert lines(width=80) == lines(width=1000)
    assert max(map(len, lines(width=80))) > 80
    assert max(map(len, lines(width=80, force_terminal=True, color_system=None))) <= 80


def test_points_that_may_be_lucky(nasfuse, make_run, run_folder, tmp_path):
    twice = make_run(tmp_path / "twice", [(0.5, 100), (0.4, 200), (0.9, 1000)], budget={"trials": 3, "repeats": 2}).root
    line = "Points of fewer than 2 trainings, which may be lucky: 2 of 2; "
    assert f"{line}a larger --trials or --minutes trains them again" in nasfuse("pareto", twice).out
    with RunFolder(twice).locked():
        assert f"{line}the last fifth of a budget goes to training them" in nasfuse("pareto", twice).out
    assert "which may be lucky: 1 of 1." in nasfuse("pareto", twice, "--latency").out
    assert "lucky" not in nasfuse("pareto", run_folder).out


def test_a_metric_that_cannot_tell_networks_apart(nasfuse, make_run, tmp_path):
    line = "2 networks have accuracy 1.0000, so it does not tell which of them is better"
    results = [(1.0, 100), (0.4, 200), (1.0, 1000)]
    assert line in nasfuse("pareto", make_run(tmp_path / "one", results).root).out
    selected = make_run(tmp_path / "two", [(0.05, 100), (0.01, 200)], select_by="log_loss").root
    out = nasfuse("pareto", selected).out
    assert "log_loss" in out
    assert "accuracy" in out
    assert line not in out


def test_files(nasfuse, run_folder, tmp_path):
    (tmp_path / "new").mkdir()
    ran = nasfuse("pareto", run_folder, "--csv", "new/front.csv", "--plot", "new/front.png", "--json")
    assert ran.json["front"]
    assert "wrote new/front.csv" in ran.sentence
    assert "wrote new/front.png" in ran.sentence
    with (tmp_path / "new" / "front.csv").open(newline="") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == ["0", "2", "4"]
    assert (tmp_path / "new" / "front.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["--csv", "--plot"])
def test_a_file_that_cannot_be_written(refuses, run_folder, option):
    assert "run" in refuses("pareto", run_folder, option, run_folder)
    assert "study.yaml" in refuses("pareto", run_folder, option, run_folder / "study.yaml" / "x")


def test_latency(nasfuse, run_folder):
    document = nasfuse("pareto", run_folder, "--latency", "--json").json
    assert document["cost"] == "latency_s"
    assert [point["trial"] for point in document["front"]] == [4]


def test_the_cost_of_a_front_has_a_column(nasfuse, run_folder, monkeypatch):
    narrow_terminal = console.new_console(width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", narrow_terminal)
    assert "latency" not in nasfuse("pareto", run_folder).out
    assert "latency" in nasfuse("pareto", run_folder, "--latency").out


def test_a_search_that_has_just_begun(nasfuse, make_run, tmp_path):
    root = make_run(tmp_path / "run", ["it broke"]).root
    assert "has no finished trial yet" in nasfuse("pareto", root).out
    assert nasfuse("pareto", root, "--json").json["front"] == []


def test_a_search_without_a_point_within_its_limit(nasfuse, make_run, tmp_path):
    root = make_run(tmp_path / "run", [(0.5, 20)], max_macs=10).root
    assert "has no operating point of at most max_macs 10 in its 1 finished trial." in nasfuse("pareto", root).out
    assert nasfuse("pareto", root, "--json").json["front"] == []
    assert nasfuse("status", root, "--json").json["above_max_macs"] == 1
    assert "complete above max_macs  1" in nasfuse("status", root).out
    assert nasfuse("report", root).code == 0


def test_the_report(nasfuse, run_folder, tmp_path):
    ran = nasfuse("report", run_folder)
    assert (ran.code, ran.out.strip()) == (0, f"wrote {run_folder / 'report.html'}")
    assert (run_folder / "report.html").stat().st_size > 10_000
    (tmp_path / "elsewhere").mkdir()
    assert nasfuse("report", run_folder, "-o", "elsewhere/r.html").code == 0
    assert (tmp_path / "elsewhere" / "r.html").is_file()


def test_a_report_that_cannot_be_written(refuses, run_folder):
    refuses("report", run_folder, "-o", run_folder)


def test_without_a_modality(nasfuse, run_folder, monkeypatch):
    from nasfuse.experiment import robustness
    from nasfuse.experiment.robustness_file import Robustness

    found = [
        Robustness("0", 0.5, {"left": 0.25, "right": 0.5}, ("left",)),
        Robustness("2", 0.9, {"left": 0.8, "right": 1}),
    ]
    monkeypatch.setattr(robustness, "measure_robustness", lambda *_, **__: found)
    out = nasfuse("pareto", run_folder, "--robust").out
    assert "without left" in out
    assert "~0.2500" in out
    assert "~ the network was trained without missing modalities, so the mean of the training data stands for" in out
    assert "Left out: 1 point, ensembles and points without a network in the run folder." in out
    rows = nasfuse("pareto", run_folder, "--robust", "--json").json["front"]
    assert [row.get("robustness", {}).get("without") for row in rows] == [found[0].without, found[1].without, None]
    assert "without left" in (nasfuse("report", run_folder), (run_folder / "report.html").read_text())[1]
