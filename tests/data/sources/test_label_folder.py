"""Folders of images with label maps: splits by folders, lists and tables, and names that do not agree."""

import numpy as np
import pytest
from PIL import Image

from nasfuse.data.sources.registry import load_raw
from nasfuse.errors import DataError, DataWarning

NAMES = ("a", "b", "c", "d")


def images(folder, *names, ending=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((2, 3), np.uint8)).save(folder / f"{name}{ending}")


@pytest.fixture
def folder(tmp_path):
    """Images and label maps of four samples."""
    for kind in ("rgb", "depth", "labels"):
        images(tmp_path / "data" / kind, *NAMES)
    return tmp_path / "data"


def columns(folder, **options):
    return {name: values.tolist() for name, values in load_raw(str(folder), **options).columns.items()}


def test_files_of_one_name_are_a_sample(folder):
    found = columns(folder)
    assert list(found) == ["depth", "labels", "rgb", "id"]
    assert (found["rgb"], found["id"]) == ([f"rgb/{name}.png" for name in NAMES], list(NAMES))


@pytest.mark.parametrize("order", ["{split}/{kind}", "{kind}/{split}"])
def test_folders_by_split(tmp_path, order):
    for split, names in {"train": ("a", "b"), "valid": ("c",), "test": ("a",)}.items():
        for kind in ("rgb", "labels_40"):
            images(tmp_path / order.format(split=split, kind=kind), *names)
    found = columns(tmp_path)
    assert dict(zip(found["rgb"], found["split"], strict=True)) == {
        f"{order.format(split=folder, kind='rgb')}/{name}.png": split
        for folder, split, name in (
            ("train", "train", "a"),
            ("train", "train", "b"),
            ("valid", "val", "c"),
            ("test", "test", "a"),
        )
    }


def test_lists_name_the_samples_of_a_split(folder):
    (folder / "train.txt").write_text("b\na.png\n\n")
    (folder / "test.txt").write_text("rgb/c.png\n")
    with pytest.warns(DataWarning, match=r"^data: 1 sample in no list file, left out: d$"):
        found = columns(folder)
    assert (found["id"], found["split"]) == (["b", "a", "c"], ["train", "train", "test"])


def test_lists_beside_folders_by_split(tmp_path):
    """As NYU Depth V2 is published, whose numbers are listed without the folder."""
    for split, name in (("train", "0001"), ("test", "0002")):
        images(tmp_path / split / "rgb", name)
        images(tmp_path / split / "labels_40", name)
        (tmp_path / f"{split}.txt").write_text(f"{name}\n")
    assert columns(tmp_path)["labels_40"] == ["train/labels_40/0001.png", "test/labels_40/0002.png"]


def test_a_table_adds_its_columns(folder):
    (folder / "samples.csv").write_text("day,file,split\n1,b.png,train\n0,a.png,val\n0,d,test\n1,c,train\n")
    found = columns(folder)
    assert (found["day"], found["split"]) == ([0, 1, 1, 0], ["val", "train", "train", "test"])


def test_what_a_folder_lacks_is_missing(folder):
    (folder / "depth" / "b.png").unlink()
    (folder / "labels" / "d.png").unlink()
    found = columns(folder)
    assert (found["depth"][1], found["labels"][3]) == (None, None)


def test_folders_that_a_network_reads_need_no_labels(folder):
    for file in (folder / "labels").iterdir():
        file.unlink()
    assert "rgb" in columns(folder, columns=("rgb", "depth"))
    assert "rgb" not in columns(folder), "these are folders of images by class"


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda at: (at / "train.txt").write_text("a\nz\n"), r"train\.txt, line 2: there is no file called z in the"),
        (lambda at: (at / "train.txt").write_text("a\na\n"), r"train\.txt, line 2: a is listed twice; remove one line"),
        (lambda at: images(at / "rgb", "a", ending=".jpg"), r"rgb has a\.jpg and a\.png for one sample; remove one of"),
        (
            lambda at: (at / "x.csv").write_text("id\na\nb\n"),
            r"x\.csv: column id lacks 2 samples of the folder \(c, d\); add rows for them, or remove their files",
        ),
        (
            lambda at: (at / "x.csv").write_text("id\nq\n"),
            r"x\.csv has no column with the names of all samples \(a, ",
        ),
        (
            lambda at: [file.rename(file.with_stem(f"{file.parent.name}_{file.stem}")) for file in at.glob("*/*")],
            r"files of one sample must have the same name in every folder, got depth/depth_a\.png, labels/labels_a",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_file(folder, damage, match):
    damage(folder)
    with pytest.raises(DataError, match=match):
        load_raw(str(folder))
