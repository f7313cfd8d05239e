"""Ensembles on the command line: on the front, as a recipe, in the report."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from nasfuse import load_network
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.runtime import load
from nasfuse.spec.ensemble import load_recipe


@pytest.fixture
def run_folder(make_run, tmp_path):
    """A run whose front has an ensemble of its two best networks."""
    folder = make_run(tmp_path / "run", [(0.5, 100), (0.4, 200), (0.9, 1000), (0.95, 20_000)], ensembles=2)
    folder.ensembles_file.write_text(json.dumps([{"members": ["3", "2"], "metrics": [0.96, 0.98]}]))
    return folder.root


def test_it_is_on_the_front(nasfuse, run_folder):
    out = nasfuse("pareto", run_folder).out
    assert "Front of small: 4 points" in out
    assert "3+2" in out
    assert "ensemble of 2: " in out
    assert "Ensembles such as 3+1 average the predictions of their members; their metric is cross-validated." in out
    last = nasfuse("pareto", run_folder, "--json").json["front"][-1]
    assert (last["members"], last["macs"], last["metric"]) == ("3+2", 21_000, 0.97)
    assert len(last["recipe"]["ensemble"]) == 2
    assert "0.9700" in nasfuse("status", run_folder).out


def test_it_is_exported(nasfuse, refuses, run_folder, tmp_path):
    ran = nasfuse("export", run_folder, "-o", "r.yaml")
    assert "trial 3+2: accuracy 0.9700 (validation), 21,000 MACs" in ran.out
    recipe = load_recipe(tmp_path / "r.yaml")
    assert nasfuse("export", run_folder, "--trial", "3+2", "-o", "s.yaml", "--json").json["recipe_hash"] == recipe.hash
    assert nasfuse("export", run_folder, "--trial", "3", "-o", "s.yaml", "--json", "--force").json["members"] is None
    message = "--trial 2+1: no ensemble of the front has these members; it has 3+2"
    assert message in refuses("export", run_folder, "--trial", "2+1", "-o", "s.yaml")


def test_its_bundle_averages_its_members(nasfuse, run_folder, tmp_path):
    run = RunFolder(run_folder)
    for trial in (2, 3):
        Training()(
            run.recipe(trial),
            seed=trial,
            division=0,
            folder=run.trial(trial),
            report=lambda *_: None,
            weight_sources={},
        )
    ran = nasfuse("export", run_folder, "--trial", "3+2", "--onnx", "bundle", "--json")
    assert ran.json["onnx"]["parity"]["difference"] < 1e-4
    images = load_digits().images[:20]
    data = {"left": images[:, :, :4], "right": images[:, :, 4:]}
    members = [load_network(run.trial(trial) / "model.pt").predict_proba(data) for trial in (2, 3)]
    found = load(tmp_path / "bundle").predict(data).probabilities
    assert np.allclose(found, np.mean(members, axis=0), atol=1e-4)


def test_it_is_in_the_report(nasfuse, run_folder):
    assert nasfuse("report", run_folder).code == 0
    assert "ensemble of 2: " in (run_folder / "report.html").read_text(encoding="utf-8")


def test_a_recipe_of_one_is_trained(nasfuse, run_folder, tmp_path):
    nasfuse("export", run_folder, "-o", "r.yaml")
    ran = nasfuse("train", "r.yaml", "-o", "out", "--json")
    assert ran.code == 0
    assert ran.json["macs_status"] == "equal"
    judged = nasfuse("evaluate", "out/seed0/model.pt", "--json").json
    assert judged["value"] == ran.json["test"]["mean"]
    assert judged["macs"] == ran.json["macs"]
    images = load_digits().images.astype(np.uint8)
    np.savez("new.npz", left=images[:, :, :4], right=images[:, :, 4:])
    assert nasfuse("predict", "out/seed0/model.pt", "new.npz", "-o", "p.csv").code == 0
    rows = cached_dataset(load_recipe("r.yaml").data.model_dump_json()).test.columns["left"].index
    right = pd.read_csv("p.csv")["prediction"].to_numpy() == load_digits().target
    assert right[rows].mean() == judged["value"]
    assert nasfuse("data", "check", "r.yaml").code == 0
