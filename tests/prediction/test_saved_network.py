"""The file of a network stands alone: it needs no data, at any operating point."""

import numpy as np
import pytest
import torch

import nasfuse
from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import InvalidInputError, MissingFileError
from nasfuse.nn.knob import settings_of
from nasfuse.prediction import read_network
from nasfuse.train import evaluate

CPU = torch.device("cpu")


def test_what_is_known_without_the_data(static):
    path, dataset, measured = static
    saved = read_network(path, device=CPU)
    assert saved.modalities == dataset.modalities
    assert Modality("s", "sequence", (7, 2), padding="left") in saved.modalities
    assert saved.task == Task("multiclass", 3)
    assert saved.output_names == saved.class_names == ("ant", "bee", "cat")
    assert saved.data_fingerprint == dataset.fingerprint
    assert saved.content_fingerprint == dataset.content_fingerprint
    assert saved.val_metric == measured.points[0].metric
    assert (saved.test_metric, saved.target_scale, saved.route_names) == (None, None, ())
    assert saved.version == nasfuse.__version__
    for name, scale in dataset.scales.items():
        assert torch.equal(saved.scales[name].mean, scale.mean)
        assert torch.equal(saved.scales[name].std, scale.std)


@pytest.mark.parametrize("kind", ["routed", "sequential"])
def test_every_point_is_what_was_measured(kind, request):
    path, dataset, measured = request.getfixturevalue(kind)
    swept = {number for number, point in enumerate(measured.points) if set(point.settings) - {"threshold"}}
    assert len(swept) > 9
    for number, point in enumerate(measured.points):
        if number in swept and number % 3:
            continue
        saved = read_network(path, point=number, device=CPU)
        assert settings_of(saved.network.knobs()) == saved.settings[number]
        value, _ = evaluate(saved.network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
        assert value == point.metric, point.setting


def test_a_setting_without_calibration(routed):
    from nasfuse.train.sweep import set_network

    network = read_network(routed[0], device=CPU).network
    with pytest.raises(InvalidInputError, match=r"no calibration at .*max_steps 7.*; choose an operating point"):
        set_network(network, {"max_steps": 7})


@pytest.mark.parametrize("place", ["model.pt", "seed0/model.pt", "trials/12/model.pt", "trials/3/fold0/model.pt"])
def test_a_folder(tmp_path, place):
    with pytest.raises(InvalidInputError, match=r"is a folder, and a network is a file; .* or a search wrote$"):
        nasfuse.load_network(tmp_path)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
    with pytest.raises(InvalidInputError, match=rf", for example {tmp_path / place}$"):
        nasfuse.load_network(tmp_path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(MissingFileError, match=r"no such checkpoint: .*model\.pt\. Give the path of a model\.pt"):
        nasfuse.load_network(tmp_path / "12" / "model.pt")
    for fold in range(5):
        (tmp_path / "12" / f"fold{fold}").mkdir(parents=True)
        (tmp_path / "12" / f"fold{fold}" / "model.pt").touch()
    with pytest.raises(MissingFileError, match=r"a network for each of 5 folds \(.*12/fold0/model\.pt \.\.\.\)"):
        nasfuse.load_network(tmp_path / "12" / "model.pt", point=3)


def test_points_that_are_not_there(static):
    with pytest.raises(InvalidInputError, match="has the operating points 0 to 0, got 4; name one of them"):
        read_network(static[0], point=4, device=CPU)
    with pytest.raises(InvalidInputError, match="has the operating points 0 to 0, got '0'; name one of them"):
        nasfuse.load_network(static[0], point="0")
    assert nasfuse.load_network(static[0], point=np.int64(0), device=CPU).columns


def test_devices_that_are_not_there(static):
    with pytest.raises(InvalidInputError, match=r"^device bla: there is no such device; use cpu, cuda or auto$"):
        nasfuse.load_network(static[0], device="bla")
    with pytest.raises(InvalidInputError, match=r"^device meta: only cpu and cuda are supported"):
        nasfuse.load_network(static[0], device=torch.device("meta"))
