"""Data with label maps by commands alone: init, check, search, report, export, train, predict, bundle, evaluate."""

import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

import nasfuse.experiment.run as running
import nasfuse.runtime as runtime
from tests.dense_scenes import CLASSES, scenes, write_folder
from tests.in_process import InProcess

#: Networks of a second each: the two cameras, fused by a router or not.
SPACE = {
    "fields": {"training.lr": {"float": [0.01, 0.03], "log": True}},
    "fixed": {
        "network.streams.*.encoder": "resnet",
        "network.streams.*.depth": 1,
        "network.streams.*.width": 8,
        "network.streams.*.stride": 2,
        "network.fusion.kind": "sites",
        "network.fusion.operator": "sum",
        "network.router.kind": "sequential",
        "training.epochs": 2,
    },
    "recommended": ["routed"],
    "baselines": {"thermal": {"network.route": "thermal"}, "routed": {"network.route": "rgb > rgb+thermal"}},
}


@pytest.fixture
def study(nasfuse, tmp_path):
    """The study of a folder of images, with the small space."""
    write_folder(tmp_path / "street", scenes(20))
    lines = [f"{row:04d},{'day' if row % 2 == 0 else 'night'}" for row in range(20)]
    (tmp_path / "street" / "samples.csv").write_text("\n".join(["id,time", *lines]))
    (tmp_path / "street" / "classes.txt").write_text("\n".join(CLASSES))
    assert nasfuse("init", "street").code == 0
    plain = yaml.safe_load((tmp_path / "street.yaml").read_text())
    assert plain["space"] == "dense"
    plain["space"] = {
        **SPACE,
        "fields": {"network.route": {"choices": ["thermal", "rgb > rgb+thermal"]}, **SPACE["fields"]},
    }
    plain["budget"] = {"trials": 2, "repeats": 1}
    (tmp_path / "street.yaml").write_text(yaml.safe_dump(plain))
    return plain


def test_from_a_folder_of_images_to_label_files(nasfuse, study, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "_open_ray", lambda *_: InProcess().open)
    checked = nasfuse("data", "check", "street.yaml", "--json").json
    assert (checked["label maps"], checked["metric"]) == ("24 x 32 pixels", "miou")
    assert checked["scores"]["linear"] > checked["scores"]["constant"]

    ran = nasfuse("search", "street.yaml")
    assert ran.code == 0, ran.err
    details = json.loads((tmp_path / "runs" / "street" / "point_details.json").read_text())
    routed = next(one for one in details["points"].values() if one["routes"])
    assert {one["value"] for one in routed["groups"]["time"]} == {"day", "night"}
    maps = next(iter(routed["maps"].values()))
    assert [one["route"] for one in maps] == ["rgb", "rgb+thermal"]
    assert sum(one["is_taken"] for one in maps) == 1
    page = (tmp_path / "runs" / "street" / "report.html").read_text()
    assert '"kind": "pictures"' in page

    for command in (("export", "runs/street", "-o", "recipe.yaml"), ("train", "recipe.yaml", "-o", "final")):
        ran = nasfuse(*command)
        assert ran.code == 0, ran.err
    ran = nasfuse("predict", "final/seed0/model.pt", "street", "-o", "maps")
    assert ran.code == 0, ran.err
    files = sorted((tmp_path / "maps").glob("*.png"))
    assert [file.stem for file in files] == [f"{row:04d}" for row in range(20)]
    assert set(np.unique(np.asarray(Image.open(files[0])))) <= {0, 1, 2}
    for row, size in enumerate([(32, 24), (20, 24)]):
        for name in ("rgb", "thermal"):
            (tmp_path / "new" / name).mkdir(parents=True, exist_ok=True)
            image = Image.new("RGB", size) if name == "rgb" else Image.fromarray(np.zeros((24, 32), np.uint16))
            image.save(tmp_path / "new" / name / f"{row}.png")
    ran = nasfuse("predict", "final/seed0/model.pt", "new", "-o", "new-maps")
    assert ran.code == 3 and "1" in ran.err + ran.out, "a pair that shows other scenes has no prediction"
    assert [file.stem for file in (tmp_path / "new-maps").glob("*.png")] == ["0"]
    ran = nasfuse("export", "final/seed0/model.pt", "--onnx", "bundle")
    assert ran.code == 0, ran.err
    arrays = scenes(20)
    found = runtime.load("bundle").predict({"rgb": arrays["rgb"], "thermal": arrays["thermal"].astype(np.uint16) * 256})
    same = [found.named[row] == np.asarray(Image.open(file)) for row, file in enumerate(files)]
    assert np.mean(same) > 0.999, "but for rounding, the bundle predicts what the network does"
    ran = nasfuse("evaluate", "final/seed0/model.pt", "--by", "time")
    assert re.search(r"^test miou 0\.\d+ on 4 samples$", ran.out, flags=re.MULTILINE)
    assert re.search(r"^pixel_accuracy 0\.\d+$", ran.out, flags=re.MULTILINE)
    assert re.search(r"^time night +2 ", ran.out, flags=re.MULTILINE)
    assert re.search(r"^car .* 0\.\d+", ran.out, flags=re.MULTILINE)
