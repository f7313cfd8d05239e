"""Details of the points of a front: figures by class, errors, routes and solver steps."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nasfuse.data import Scale, Split
from nasfuse.domain.modality import Task
from nasfuse.errors import RunFolderError
from nasfuse.experiment.countdown import UNLIMITED
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.point_details import _details, keep_details, read_details
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.prediction import read_network
from nasfuse.spec.recipe import Recipe
from nasfuse.train import predict_logits

CPU = torch.device("cpu")

ROUTED = {"router": {"kind": "sequential", "routes": ["left", "left+right"]}}
EQUILIBRIUM = {"fusion": {"kind": "equilibrium", "width": 8, "max_steps": 6}}


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    """A static, a routed and an equilibrium network, and a point without a network."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "run", [(0.3, 10), (0.5, 100), (0.6, 200), (0.7, 300)])
    for number, changes in [(0, {}), (2, ROUTED), (3, EQUILIBRIUM)]:
        plain = folder.recipe(2).to_plain()
        plain["network"] |= changes
        plain["training"] |= {"lr": 0.01}
        recipe = Recipe.parse(plain)
        Training()(recipe, seed=0, division=0, folder=folder.trial(number), report=lambda *_: None, weight_sources={})
    found = read_run(folder)
    keep_details(found.folder, found.study, found.progress.front, countdown=UNLIMITED)
    return found


@pytest.fixture(scope="module")
def points(run):
    return read_details(run.folder).points


def predictions(run, number):
    """Returns true and predicted classes of the validation samples."""
    val = cached_dataset(run.study.data.model_dump_json()).val
    network = read_network(run.folder.network(number), device=CPU).network
    return val.targets.numpy(), predict_logits(network, val, device=CPU).argmax(dim=1).numpy()


def test_points_with_a_network_are_measured(points):
    assert list(points) == ["0", "2", "3"]


@pytest.mark.parametrize("number", [0, 2, 3])
def test_classes_and_confusion(run, points, number):
    true, guess = predictions(run, number)
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (true, guess), 1)
    one = points[str(number)]
    assert one.samples == len(true)
    assert one.confusion == expected.tolist()
    assert [row["samples"] for row in one.by_class] == expected.sum(axis=1).tolist()
    assert one.by_class[3]["recall"] == pytest.approx(expected[3, 3] / expected[3].sum())
    assert one.residuals is None


def test_routes_and_steps(run, points):
    assert (points["0"].routes, points["0"].steps) == ({}, {})
    assert list(points["2"].routes) == ["left", "left+right"]
    assert sum(points["2"].routes.values()) == pytest.approx(1)
    steps = points["3"].steps
    assert steps
    for counts in steps.values():
        assert set(counts) <= set(range(1, 7))
        assert sum(counts.values()) in (180, 360), "one state for each sample, or for each sample and modality"


def test_routes_without_the_router(run):
    (line,) = read_details(run.folder).lines.values()
    assert line.trial == 2
    assert len(line.random_mix) == len(line.cascade) == 9
    assert line.random_mix[-1][1] == line.cascade[-1][1], "all samples take the costliest route"
    assert line.random_mix[0][1] == line.cascade[0][1], "all take the cheapest one"
    assert line.random_mix[0][0] < line.random_mix[-1][0]


def test_residuals_have_the_unit_of_the_data():
    scale = Scale(torch.tensor([[100.0]], dtype=torch.float64), torch.tensor([[10.0]], dtype=torch.float64))
    val = Split({}, torch.tensor([[-1.0], [0.0], [2.0]]), target_scale=scale)
    saved = SimpleNamespace(task=Task("regression", 1), output_names=("price",), network=torch.nn.Identity())
    part = SimpleNamespace(saved=saved, dataset=SimpleNamespace(val=val))
    one = _details("0", [part], [torch.tensor([[-1.0], [0.5], [1.0]])])
    assert one.confusion is None
    assert one.residuals == [[(90.0, 90.0), (100.0, 105.0), (120.0, 110.0)]]
    assert one.by_class[0]["mae"] == pytest.approx((0 + 5 + 10) / 3)


def test_what_is_known_is_not_measured_again(run, monkeypatch):
    before = run.folder.details_file.read_bytes()
    monkeypatch.setattr("nasfuse.experiment.point_details._details", None)
    keep_details(run.folder, run.study, run.progress.front, countdown=UNLIMITED)
    assert run.folder.details_file.read_bytes() == before


def test_slow_networks_see_fewer_samples(run, tmp_path, monkeypatch):
    monkeypatch.setattr("nasfuse.experiment.point_details._SECONDS", 1e-9)
    monkeypatch.setattr("nasfuse.experiment.point_details._LEAST_SAMPLES", 40)
    kept = run.folder.details_file.read_text()
    run.folder.details_file.unlink()
    keep_details(run.folder, run.study, run.progress.front[:1], countdown=UNLIMITED)
    assert [one.samples for one in read_details(run.folder).points.values()] == [40]
    run.folder.details_file.write_text(kept)


@pytest.mark.parametrize("text", ["{", '{"points": 3}', json.dumps({"lines": {"a": 1}})])
def test_a_damaged_file(tmp_path, text):
    folder = RunFolder(tmp_path)
    folder.details_file.write_text(text)
    with pytest.raises(RunFolderError, match=r"point_details\.json is damaged; remove it, and `nasfuse report` writes"):
        read_details(folder)
