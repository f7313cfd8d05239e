"""`nasfuse export --onnx` and `--torch`, and `nasfuse latency`, on a network of the digits and a run that holds it."""

import itertools
import json
import shutil

import numpy as np
import pytest
import torch

import nasfuse as package
from nasfuse.experiment.objective import Training
from nasfuse.export import latency as timing
from nasfuse.runtime import load
from nasfuse.spec.recipe import Recipe


def train(folder, router, *, epochs):
    """Returns the file of a network of the digits with `router`, and its operating points."""
    network = {
        "route": ["left", "right"],
        "streams": {name: {"encoder": "mlp", "width": 8} for name in ("left", "right")},
        "fusion": {"kind": "sum", "width": 8},
        "router": router,
    }
    recipe = Recipe.parse({"data": {"source": "digits"}, "network": network, "training": {"epochs": epochs}})
    measured = Training()(recipe, seed=1, division=0, folder=folder, report=lambda *_: None, weight_sources={})
    return folder / "model.pt", measured.points


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of a network with two routes."""
    router = {"kind": "sequential", "routes": ["left", "left+right"], "threshold": 0.5}
    return train(tmp_path_factory.mktemp("digits"), router, epochs=1)[0]


@pytest.fixture(scope="module")
def three_routes(tmp_path_factory):
    """The file of a network with three routes, and its operating points."""
    router = {"routes": ["left", "left+right:1", "left+right"], "width": 4}
    return train(tmp_path_factory.mktemp("digits"), router, epochs=2)


@pytest.fixture
def few_calls(monkeypatch):
    monkeypatch.setattr(timing, "_N_ROUNDS", 1)
    monkeypatch.setattr(timing, "_N_SINGLE", 3)


@pytest.fixture
def run_with_networks(run_folder, model):
    for number in (0, 2):
        shutil.copy(model, run_folder / "trials" / str(number) / "model.pt")
    return run_folder


class TestBundles:
    def test_of_a_file(self, nasfuse, model, tmp_path):
        out = nasfuse("export", model, "--onnx", "bundle").out
        assert "difference from the network: " in out
        assert " at most, over " in out
        assert "by the network, " in out
        assert "wrote bundle (2 graphs, " in out
        manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
        assert manifest["figures"]["network"] == manifest["figures"]["bundle"]
        assert manifest["parity"]["difference"] < 1e-4
        assert manifest["program"]["router"]["routes"] == ["left", "left+right"]

    def test_its_predictions_are_those_of_the_network(self, nasfuse, model, tmp_path):
        nasfuse("export", model, "--onnx", "bundle")
        rng = np.random.default_rng(0)
        data = {name: rng.integers(0, 17, (20, 8, 4)).astype(float) for name in ("left", "right")}
        found = load(tmp_path / "bundle").predict(data)
        table = package.load_network(model).predict_table(data)
        assert found.named.tolist() == table["prediction"].tolist()
        assert list(found.routes) == table["route"].tolist()

    def test_of_a_point_of_a_run_with_its_recipe(self, nasfuse, run_with_networks, tmp_path):
        ran = nasfuse("export", run_with_networks, "--trial", 2, "-o", "r.yaml", "--onnx", "bundle", "--json")
        assert ran.json["trial"] == 2
        assert ran.json["onnx"]["parity"]["n_borderline"] == 0
        assert (tmp_path / "r.yaml").is_file()
        assert load(tmp_path / "bundle").manifest["task"] == {"kind": "multiclass", "n_outputs": 10}

    def test_weights_of_8_bits(self, nasfuse, model, tmp_path):
        nasfuse("export", model, "--onnx", "whole")
        ran = nasfuse("export", model, "--onnx", "small", "--int8", "--json")
        manifest = load(tmp_path / "small").manifest
        assert manifest["int8"]
        figures = ran.json["onnx"]["figures"]
        assert figures["bundle"] == pytest.approx(figures["network"], abs=0.1)
        assert ran.json["onnx"]["parity"]["difference"] > 1e-4, "rounding of weights shows"

    def test_an_older_export_is_replaced_with_force(self, nasfuse, refuses, model, tmp_path):
        nasfuse("export", model, "--onnx", "bundle")
        (tmp_path / "bundle" / "old.onnx").touch()
        message = "bundle has an export; give the name of a new folder, or replace it with --force"
        for option in ("--onnx", "--torch"):
            assert message in refuses("export", model, option, "bundle")
        assert (tmp_path / "bundle" / "old.onnx").exists()
        assert nasfuse("export", model, "--onnx", "bundle", "--force").code == 0
        assert {path.suffix for path in (tmp_path / "bundle").iterdir()} == {".onnx", ".json"}
        assert not (tmp_path / "bundle" / "old.onnx").exists()
        assert nasfuse("export", model, "--torch", "bundle", "--force").code == 0
        assert {path.suffix for path in (tmp_path / "bundle").iterdir()} == {".pt2", ".json"}

    @pytest.mark.parametrize("other", ["notes.txt", "weights.onnx.d/x", "manifest.json"])
    def test_other_files_are_kept_even_with_force(self, nasfuse, refuses, model, tmp_path, other):
        nasfuse("export", model, "--onnx", "bundle")
        path = tmp_path / "bundle" / other
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        message = "bundle has files that are no export; give the name of a new folder"
        assert message in refuses("export", model, "--onnx", "bundle", "--force")
        assert path.read_text() == "{}"


def test_torch_programs(nasfuse, model, tmp_path):
    ran = nasfuse("export", model, "--torch", "programs", "--json")
    assert set(ran.json["torch"]["differences"]) == {"left", "left+right"}
    manifest = json.loads((tmp_path / "programs" / "manifest.json").read_text())
    program = torch.export.load(tmp_path / "programs" / manifest["programs"]["left"]).module()
    shape = manifest["inputs"][0]["shape"]
    dtype = getattr(torch, manifest["inputs"][0]["dtype"])
    assert program({name: torch.zeros(7, *shape, dtype=dtype) for name in manifest["tensors"]}).shape == (7, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--int8", "-o", "r.yaml"], "--int8 is about ONNX graphs; give --onnx, too"),
        (["--onnx", "b", "--point", 1], "--point is for a model.pt, and"),
        (["--onnx", "b", "--trial", 1], "has no network of trial 1 any more; export the recipe of the point and train"),
    ],
)
def test_refusals(refuses, run_with_networks, options, message):
    assert message in refuses("export", run_with_networks, *options)


def test_refusals_of_files(refuses, model, tmp_path):
    assert "-o writes the recipe of a point of a search" in refuses("export", model, "-o", "r.yaml")
    assert "nothing to write: give --onnx or --torch with the name of a folder" in refuses("export", model)
    assert "criteria such as --pick choose from" in refuses("export", model, "--onnx", "b", "--pick", "best")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    message = "--onnx and --torch both name b; give each a folder of its own"
    assert message in refuses("export", model, "--onnx", "b", "--torch", "./b")
    assert "mine has files that are no export; give the name of a new" in refuses("export", model, "--onnx", "mine")


@pytest.mark.usefixtures("few_calls")
def test_a_route_between_is_deployed_as_a_static_network(nasfuse, three_routes, tmp_path):
    model, points = three_routes
    (number,) = [number for number, point in enumerate(points) if point.setting == "always left+right:1"]
    judged = nasfuse("evaluate", model, "--point", number, "--split", "val", "--device", "cpu", "--json").json
    assert (judged["value"], judged["macs"]) == (points[number].metric, points[number].macs)
    nasfuse("export", model, "--point", number, "--onnx", "bundle")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert (manifest["program"]["only_route"], manifest["program"]["router"]) == ("left+right:1", None)
    assert manifest["figures"]["macs"] == points[number].macs
    rng = np.random.default_rng(0)
    data = {name: rng.integers(0, 17, (20, 8, 4)).astype(float) for name in ("left", "right")}
    table = package.load_network(model, point=number).predict_table(data)
    assert set(table["route"]) == {"left+right:1"}
    assert load(tmp_path / "bundle").predict(data).named.tolist() == table["prediction"].tolist()
    timings = nasfuse("latency", "bundle", "--batch", 4, "--json").json["timings"]
    assert [one["macs"] for one in timings] == [points[number].macs]


@pytest.mark.usefixtures("few_calls")
class TestLatency:
    def test_of_a_file(self, nasfuse, model):
        ran = nasfuse("latency", model, "--batch", 4, "--json")
        (one,) = ran.json["timings"]
        assert one["batch"] == 4
        assert all(one[name]["median_s"] > 0 for name in ("deployed", "deployed_batch", "eager", "eager_batch"))
        assert ran.json["rank_correlations"] is None

    def test_of_a_bundle(self, nasfuse, model):
        nasfuse("export", model, "--onnx", "bundle")
        ran = nasfuse("latency", "bundle", "--batch", 4)
        assert ran.out.split("\n")[1].split() == ["route", "MACs", "deployed", "deployed,", "4"]
        timings = nasfuse("latency", "bundle", "--batch", 4, "--json").json["timings"]
        assert [one["label"] for one in timings] == ["left", "left+right"]
        assert all(one["deployed"]["median_s"] > 0 and one["eager"] is None for one in timings)

    def test_of_a_front(self, nasfuse, run_with_networks):
        ran = nasfuse("latency", run_with_networks, "--batch", 4)
        assert "Time per sample in microseconds" in ran.out
        assert "not timed: 1 point (4), because " in ran.sentence
        assert [one["label"] for one in json.loads((run_with_networks / "latency.json").read_text())] == ["0", "2"]

    def test_a_path_that_does_not_exist_is_told_at_once(self, nasfuse):
        ran = nasfuse("latency", "missing")
        assert ran.code == 2
        assert ran.err == "error: there is no missing; give the folder of a search, a model.pt or a bundle\n"

    def test_of_cross_validated_points(self, nasfuse, make_run, tmp_path):
        folder = make_run(tmp_path / "run", [(0.5, 100), (0.4, 200), (0.9, 1000)])
        for number, fold in itertools.product((0, 2), (0, 1)):
            (folder.trial(number) / f"fold{fold}").mkdir()
            (folder.trial(number) / f"fold{fold}" / "model.pt").touch()
        ran = nasfuse("latency", folder.root)
        assert ran.code == 2
        assert "no point of the front can be timed: trial 0 was cross-validated and has a network for " in ran.sentence
        assert ran.sentence.count("cross-validated") == 1


def test_rank_correlation_of_three():
    def at(macs, deployed, eager):
        each = {name: timing.Latency(value, 0.0, value) for name, value in (("deployed", deployed), ("eager", eager))}
        return timing.Timing("x", macs, 2, 1, each["deployed"], each["deployed"], each["eager"], each["eager"])

    timings = [at(10, 1.0, 3.0), at(20, 2.0, 2.0), at(40, 9.0, 1.0)]
    assert timing.rank_correlations(timings) == {"deployed": pytest.approx(1.0), "eager": pytest.approx(-1.0)}
    assert timing.rank_correlations(timings[:2]) is None
