"""Text from outside, such as paths, names and messages, is printed as it is, whatever it looks like."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nasfuse import cli
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.report.html import write_report

#: Looks like markup of rich that opens, closes and closes nothing, an emoji code of rich, and HTML.
HOSTILE = "[bold]x[/] [/] [/y] :smile: <b>&amp; \\[z]"
NAME = HOSTILE.replace("/", "|")  # of a file

RECIPE = """
data: {source: FILE, modalities: {a: vector}}
network: {route: [a], streams: {a: {encoder: mlp, depth: 1, width: 4}}}
training: {epochs: 1}
"""


@pytest.fixture
def root(make_run, tmp_path):
    """A finished run with hostile names of its folder, its hand-made designs and its failures."""
    baselines = {HOSTILE: {"network.route": "each"}, "both": {"network.route": "all"}}
    space = {
        "fields": {"network.route": {"subsets": True}, "training.lr": {"float": [1e-3, 1e-1], "log": True}},
        "fixed": {"network.streams.*.encoder": "mlp", "network.streams.*.width": 8, "training.epochs": 2},
        "baselines": baselines,
    }
    results = [(0.5, 100), (0.4, 200), (0.9, 1000), f"ValueError: {HOSTILE}"]
    return make_run(tmp_path / f"[bold]{tmp_path.name}[|]{NAME}", results, space=space, budget={"trials": 3}).root


@pytest.fixture
def recipe(tmp_path):
    """A recipe, and its data, in files of hostile names."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / f"{NAME}.npz", a=rng.normal(size=(60, 3)), y=rng.integers(0, 2, 60))
    file = tmp_path / f"{NAME}.yaml"
    file.write_text(RECIPE.replace("FILE", json.dumps(f"{NAME}.npz")))
    return file


@pytest.mark.parametrize("verb", ["status", "pareto"])
def test_of_a_run(nasfuse, root, verb):
    ran = nasfuse(verb, root)
    assert ran.code == 0
    assert HOSTILE in ran.out


def test_files_that_were_written(nasfuse, root, tmp_path):
    ran = nasfuse("pareto", root, "--csv", f"{NAME}.csv", "--plot", f"{NAME}.png")
    assert f"wrote {NAME}.csv\nwrote {NAME}.png\n" in ran.err
    assert f"wrote {root}/report.html" in nasfuse("report", root).out
    assert f"wrote {NAME}.yaml" in nasfuse("export", root, "-o", f"{NAME}.yaml").out


def test_the_end_of_a_search(nasfuse, root):
    study = root.parent / "s.yaml"
    study.write_text(RunFolder(root).read_study().to_yaml())
    ran = nasfuse("search", study, "-o", root)
    assert ran.code == 0, ran
    assert f"{root} has spent its budget" in ran.err
    assert HOSTILE in ran.out
    assert f"Report: {root}/report.html" in ran.out
    assert "by the best point:\n  nasfuse predict " in ran.out


def test_training_and_evaluating(nasfuse, recipe):
    ran = nasfuse("train", recipe, "-o", NAME, "--device", "cpu")
    assert ran.code == 0, ran
    assert f"networks in {NAME}" in ran.out
    assert nasfuse("evaluate", f"{NAME}/seed0/model.pt", "--device", "cpu").code == 0


def test_data(nasfuse, recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("NASFUSE_DATA", str(tmp_path))
    assert f"{tmp_path}/{NAME}.npz" in nasfuse("data", "list").out
    assert nasfuse("data", "check", recipe).code == 0
    np.savez(tmp_path / "named.npz", y=np.zeros(3, np.int64), **{NAME: np.zeros(3)})
    assert NAME in nasfuse("data", "check", "named.npz").out
    monkeypatch.setenv("NASFUSE_DATA", f"{tmp_path}/{HOSTILE}")
    assert HOSTILE in nasfuse("data", "list").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", HOSTILE],
        ["status", HOSTILE],
        ["pareto", HOSTILE],
        ["report", HOSTILE],
        ["export", HOSTILE, "-o", "r.yaml"],
        ["train", HOSTILE],
        ["evaluate", HOSTILE],
        ["data", "check", HOSTILE],
        ["data", "check", f"{HOSTILE}.npz"],
        ["train", "digits", "--device", HOSTILE],
    ],
)
def test_errors(nasfuse, arguments):
    ran = nasfuse(*arguments)
    assert ran.code == 2
    assert "error: " in ran.err
    assert HOSTILE in ran.err or "digits" in arguments


@pytest.mark.parametrize("arguments", [[HOSTILE], ["search", "x", f"--{HOSTILE}"]])
def test_usage_errors(nasfuse, arguments):
    ran = nasfuse(*arguments)
    assert ran.code == 2
    assert "[bold]x[/]" in ran.err


def test_no_console_interprets_markup():
    """One factory makes the consoles; neither a rich call that parses markup nor `escape` is needed elsewhere."""
    forbidden = re.compile(r"(?<!new_)\bConsole\(|from_markup|markup=True|rich\.markup|from rich import print")
    files = [file for file in Path(cli.__file__).parent.glob("*.py") if file.name != "console.py"]
    assert files
    assert [file.name for file in files if forbidden.search(file.read_text())] == []


def test_the_report_escapes_everything(root):
    run = read_run(RunFolder(root))
    write_report(run.folder.report_file, run)
    page = run.folder.report_file.read_text(encoding="utf-8")
    assert "<b>&amp; " not in page
    assert page.count("&lt;b&gt;&amp;amp; ") >= 3, "name of the folder, of a design, of a failure"


def test_data_of_the_report_cannot_end_their_script(root):
    """They are JSON, in which no character of HTML is left; the script sets texts only as text."""
    run = read_run(RunFolder(root))
    write_report(run.folder.report_file, run)
    page = run.folder.report_file.read_text(encoding="utf-8")
    island = re.search(r"<script id=data type=application/json>(.*?)</script>", page, re.DOTALL)[1]
    assert not set("<>&'") & set(island)
    series = json.loads(island)["charts"]["front"]["series"]
    assert any(HOSTILE in line for one in series for point in one["points"] for line in point["text"])
    scripts = page[page.index("</script>") :]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", scripts)
