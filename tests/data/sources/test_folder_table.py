"""Folders with one table and the files that it names."""

import numpy as np
import pytest
from PIL import Image

from nasfuse.data.sources.registry import load_raw
from nasfuse.errors import DataError


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "labels.csv").write_text("file,label\na.wav,low\nb.wav,high\n")
    (folder / "a.wav").touch()
    return folder


def test_the_table_and_the_folder_of_its_files(clips):
    (clips / ".~lock.csv").touch()
    (clips / "parts").mkdir()
    raw = load_raw(str(clips))
    assert (raw.name, raw.origin, raw.n_rows, raw.folder) == ("clips", "labels.csv", 2, clips)
    assert {name: values.tolist() for name, values in raw.columns.items()} == {
        "file": ["a.wav", "b.wav"],
        "label": ["low", "high"],
    }


def test_several_tables(clips):
    (clips / "new.tsv").write_text("file\nc.wav\n")
    with pytest.raises(DataError, match=r"clips has several tables \(labels.csv, new.tsv\); name one of them$"):
        load_raw(str(clips))


def test_arrays_and_images_beside_a_table_are_the_data(clips):
    for name in ("cat", "dog"):
        (clips / name).mkdir()
        Image.new("L", (2, 2)).save(clips / name / "1.png")
    assert load_raw(str(clips)).columns["y"].tolist() == ["cat", "dog"]
    np.save(clips / "x.npy", np.zeros((3, 2)))
    assert list(load_raw(str(clips)).columns) == ["x"]
