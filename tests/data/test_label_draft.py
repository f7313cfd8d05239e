"""First descriptions of data with label maps, as `nasfuse init` writes them into a study."""

import numpy as np
import pytest
import yaml

from nasfuse.data.draft import draft_data
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.registry import load_raw
from nasfuse.errors import DataError
from nasfuse.experiment.study_draft import study_text
from tests.dense_scenes import CLASSES, scenes, write_folder


def block(raw, target=None):
    """The data block, metric and space of the study of raw data."""
    study = yaml.safe_load(study_text(raw, draft_data(raw, target=target), name="n", source="s"))
    return study["data"], study["metric"], study["space"]


def raw_of(**arrays):
    return RawTable("m", "m.npz", arrays, None)


def test_arrays_with_names_of_the_classes():
    arrays = {**scenes(), "id": np.arange(20).astype(str), "classes": np.array(CLASSES)}
    data, metric, space = block(raw_of(**arrays))
    assert data == {
        "source": "s",
        "modalities": {"rgb": "image", "thermal": "image"},
        "aligned": ["rgb", "thermal"],
        "target": "y",
        "task": "segmentation",
        "classes": list(CLASSES),
        "void": 255,
        "split": "split",
        "metadata": ["day"],
    }
    assert (metric, space) == ("miou", "dense")


@pytest.mark.parametrize(
    ("numbers", "names", "classes", "void"),
    [
        ([0, 1, 2], None, None, None),
        ([0, 1, 255], None, None, 255),
        ([0, 254, 255], None, None, None),
        ([0, 1, 2], ["a", "b", "c"], ["a", "b", "c"], None),
        ([0, 2], ["a", "b", "c", "d"], ["a", "b", "c", "d"], None),
        ([0, 1, 2], ["a", "b"], ["a", "b"], 0),
        ([0, 1, 2], ["void", "a", "b"], ["void", "a", "b"], "void"),
        ([0, 1, 255], ["a", "b"], ["a", "b"], 255),
    ],
)
def test_classes_and_pixels_without_a_label(numbers, names, classes, void):
    maps = np.resize(np.array(numbers, np.uint8), (4, 6, 5))
    arrays = {"rgb": np.zeros((4, 3, 6, 5)), "y": maps}
    data, _, _ = block(raw_of(**arrays, **({"class_names": np.array(names)} if names else {})))
    assert (data.get("classes"), data.get("void")) == (classes, void)


def test_whole_numbers_of_another_size_than_the_images_are_no_label_maps():
    assert draft_data(raw_of(rgb=np.zeros((4, 6, 5, 3)), y=np.zeros((4, 7, 5), int))).task != "segmentation"


def test_folders_of_files(tmp_path):
    write_folder(tmp_path, scenes(10), labels="labels_3", depth="depth")
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    lines = [f"{row:04d},{'day' if row % 2 else 'night'}" for row in range(10)]
    (tmp_path / "samples.csv").write_text("\n".join(["id,time", *lines]))
    raw = load_raw(str(tmp_path))
    data, _, _ = block(raw)
    text = study_text(raw, draft_data(raw), name="n", source="s")
    assert yaml.safe_load(text)["fixed"] == {"training.batch_size": 4, "training.flip": 0.5, "training.jitter": 0.4}
    assert "Frozen encoders" not in text, "a vector of a whole image has no pixels"
    assert data["modalities"] == {
        "depth": {"kind": "image_files", "size": [24, 32], "channels": 1},
        "rgb": {"kind": "image_files", "size": [24, 32], "channels": 3},
    }
    assert (data["target"], data["classes"], data["void"]) == ("labels_3", list(CLASSES), 255)
    assert (data["split"], data["metadata"]) == ("split", ["time"])


def test_names_for_some_of_the_numbers_only_are_refused(tmp_path):
    """One wrong pixel, with which the data would have ten classes."""
    arrays = scenes(6)
    arrays["y"][4, 2, 3] = 9
    write_folder(tmp_path, arrays)
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    n_names = len(CLASSES)
    match = rf"has {n_names} names, for classes 0 to {n_names - 1}, and the label maps have numbers up to 9; correct"
    with pytest.raises(DataError, match=match):
        draft_data(load_raw(str(tmp_path)))


def test_large_images_are_halved(tmp_path):
    arrays = scenes(5)
    for name in ("rgb", "thermal", "y"):
        arrays[name] = arrays[name].repeat(20, axis=1).repeat(20, axis=2)
    write_folder(tmp_path, arrays)
    assert block(load_raw(str(tmp_path)))[0]["modalities"]["rgb"]["size"] == [120, 160]
