"""What images in files are taken for."""

import numpy as np
import pytest
from PIL import Image

from nasfuse.data.description import described_table
from nasfuse.data.draft import draft_data
from nasfuse.data.raw_table import RawTable
from nasfuse.spec.data import DataConfig

N = 30


@pytest.fixture
def raw(tmp_path):
    """Returns a table of images, of which some may be damaged."""

    def call(images):
        for row, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / f"{row}.png")
        paths = np.array([f"{row}.png" for row in range(N)], dtype=object)
        labels = np.array(["a", "b"] * (N // 2), dtype=object)
        return RawTable("t", "t.csv", {"photo": paths, "y": labels}, N, tmp_path)

    return call


def photo(raw):
    found = draft_data(raw)
    return found.modalities["photo"], found.notes["photo"]


def test_colours(raw):
    colours, grey = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.uint8)
    plain = {"kind": "image_files", "column": "photo"}
    assert photo(raw([colours] * N)) == (plain, "paths of .png files")
    assert photo(raw([*[grey] * (N - 1), colours])) == (plain, "paths of .png files")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_grey_values(raw, dtype):
    entry = {"kind": "image_files", "column": "photo", "channels": 1}
    assert photo(raw([np.zeros((2, 3), dtype)] * N)) == (entry, "paths of .png files, grey")


def test_grey_values_of_16_bits_are_kept(raw):
    images = [np.full((2, 2), 1000 * row + 500, np.uint16) for row in range(N)]
    table = raw(images)
    modalities = draft_data(table).modalities
    config = DataConfig.parse({"source": "x", "modalities": modalities})
    values = described_table(table, config).storages["photo"].values
    assert values.unique().tolist() == [1000 * row + 500 for row in range(N)]


def test_files_that_cannot_be_read_are_skipped(raw, tmp_path):
    table = raw([np.zeros((2, 3), np.uint8)] * (N - 1))
    (tmp_path / "0.png").write_bytes(b"rubbish")
    assert photo(table)[1] == "paths of .png files, grey"
    for row in range(N):
        (tmp_path / f"{row}.png").write_bytes(b"rubbish")
    assert photo(table)[1] == "paths of .png files"
