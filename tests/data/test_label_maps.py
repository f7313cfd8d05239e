"""Label maps: numbers of classes, pixels without a label, files, and their sizes."""

import warnings

import numpy as np
import pytest
from PIL import Image

from nasfuse.data.label_maps import class_numbers, label_maps, unaligned_rows
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.registry import load_raw
from nasfuse.errors import ConfigError, DataError, DataWarning
from nasfuse.spec.data import DataConfig

MAPS = np.array([[[0, 1], [2, 2]], [[1, 1], [0, 2]]])


def config(**values):
    return DataConfig.parse({"source": "m.npz", "task": "segmentation", **values})


def found(values, n_classes=None, **block):
    raw = RawTable("m", "m.npz", {"y": np.asarray(values)}, None)
    return label_maps(raw, config(**block), n_classes=n_classes)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "int64", ">i2", "uint64"])
def test_every_type_of_whole_numbers(dtype):
    maps, names = found(MAPS.astype(dtype))
    assert (maps.dtype, maps.tolist(), names) == (np.uint8, MAPS.tolist(), ())


@pytest.mark.parametrize(
    ("block", "expected", "names"),
    [
        ({"classes": ["a", "b", "c", "d"]}, [[0, 1], [2, 2]], ("a", "b", "c", "d")),
        ({"classes": ["a", "b", "c"], "void": "b"}, [[0, 255], [1, 1]], ("a", "c")),
        ({"classes": ["a", "b"], "void": 0}, [[255, 0], [1, 1]], ("a", "b")),
        ({"void": 0}, [[255, 0], [1, 1]], ("1", "2")),
        ({"void": 1}, [[0, 255], [1, 1]], ("0", "2")),
        ({"void": 2}, [[0, 1], [255, 255]], ()),
        ({"void": 7}, [[0, 1], [2, 2]], ()),
        ({"void": -1}, [[0, 1], [2, 2]], ()),
    ],
)
def test_classes_are_numbered_without_the_pixels_that_have_no_label(block, expected, names):
    maps, found_names = found(MAPS, **block)
    assert (maps[0].tolist(), found_names) == (expected, names)


def test_negative_and_large_numbers_may_mark_pixels_without_a_label():
    assert found([[[-1, 0], [1, 1]]], void=-1)[0].tolist() == [[[255, 0], [1, 1]]]
    assert found([[[65535, 0], [1, 1]]], void=65535)[0].tolist() == [[[255, 0], [1, 1]]]


def test_the_largest_number_fixes_the_classes():
    """Number 1 does not occur, and stays a class."""
    maps, names = found([[[0, 2], [2, 0]]])
    assert (maps.tolist(), names) == ([[[0, 2], [2, 0]]], ())


def test_numbers_in_the_data_are_found_again():
    assert class_numbers(config(void=0), 3) == (1, 2, 3)
    assert class_numbers(config(void="b", classes=["a", "b", "c"]), 2) == (0, 2)
    assert class_numbers(config(void=255), 3) == (0, 1, 2)


@pytest.mark.parametrize(
    ("values", "block", "match"),
    [
        (MAPS, {"classes": ["a", "b"]}, r"^array y of m\.npz, row 0: the label 2 at pixel row 1, pixel column 0 is "
         r"none of the 2 classes \(a, b\); correct it or add the class to data\.classes, or set data\.void to it"),
        (MAPS, {"classes": ["a", "b"], "void": 9}, r"none of the 2 classes \(a, b\).*add the class to data\.classes$"),
        (-MAPS, {}, r"the label -1 at pixel row 0, pixel column 1 is none of the 1 class \(0 to 0\)"),
        (MAPS + 300, {}, r"has numbers up to 302, and there can be at most 255 classes; if the largest number marks"),
        (MAPS / 2, {}, r"must be \(n, H, W\) whole numbers, one class per pixel, got float64 of shape \(2, 2, 2\)"),
        (MAPS[0], {}, r"whole numbers.* got int64 of shape \(2, 2\); correct it, or set data\.task"),
        (np.zeros((0, 2, 2), int), {}, r"must be \(n, H, W\)"),
        (np.full((2, 2, 2), 9), {"void": 9}, r"holds data\.void \(9\) everywhere; there is nothing to learn"),
        (np.full((2, 2, 2), 9), {"void": 9, "classes": ["a", "b"]}, r"has no labelled pixel, data\.void is everywhere"),
    ],
)  # fmt: skip
def test_what_is_no_label_map_is_said_in_one_sentence(values, block, match):
    with pytest.raises(DataError, match=match):
        found(values, **block)


def test_several_targets_are_no_label_maps():
    with pytest.raises(DataError, match=r"data\.target must name one array of label maps, got a, b"):
        found(MAPS, target=["a", "b"])


@pytest.mark.parametrize(
    ("block", "match"),
    [
        ({"void": "z", "classes": ["a", "b"]}, r"void: 'z' is none of data\.classes; name one of them, or give its"),
        ({"void": 0, "task": "multiclass"}, r"void: is for label maps, and a multiclass has none; remove it"),
    ],
)
def test_void_needs_label_maps_and_a_known_name(block, match):
    with pytest.raises(ConfigError, match=match):
        config(**block)


def test_a_map_without_labels_is_a_warning():
    with pytest.warns(DataWarning, match=r"1 of 2 label maps has no labelled pixel, the first in row 1; nothing is"):
        maps, _ = found([[[0, 1]], [[255, 255]]], void=255)
    assert maps[1].tolist() == [[255, 255]]


def test_the_classes_of_a_network_fix_the_numbers_of_other_data():
    maps, names = found(MAPS, n_classes=5)
    assert (maps.tolist(), names) == (MAPS.tolist(), ())
    with pytest.raises(DataError, match=r"the label 2 .* is none of the 2 classes"):
        found(MAPS, n_classes=2)


class TestFiles:
    """Label maps in files, beside the images of the same samples."""

    @pytest.fixture
    def table(self, tmp_path):
        """Two samples: images of 4 x 8 pixels, and label maps of the same size."""
        labels = np.arange(32).reshape(4, 8) // 16
        for row in range(2):
            Image.fromarray(np.full((4, 8, 3), 10 * row, np.uint8)).save(tmp_path / f"rgb{row}.png")
            Image.fromarray(labels.astype(np.uint8)).save(tmp_path / f"y{row}.png")
        columns = {name: np.array([f"{name}0.png", f"{name}1.png"], dtype=object) for name in ("rgb", "y")}
        return RawTable("t", "t.csv", columns, 2, tmp_path)

    @staticmethod
    def maps(table, size=(4, 8)):
        images = {"rgb": {"kind": "image_files", "size": list(size)}}
        return label_maps(table, config(modalities=images))[0]

    def test_files_of_one_number_per_pixel_are_read(self, table, tmp_path):
        expected = (np.arange(32).reshape(4, 8) // 16).tolist()
        palette = Image.open(tmp_path / "y1.png").convert("P")
        palette.putpalette([9, 9, 9, 200, 0, 0])
        palette.save(tmp_path / "y1.png")
        assert self.maps(table).tolist() == [expected, expected]
        Image.fromarray(np.asarray(expected, np.uint16)).save(tmp_path / "y0.png")
        assert self.maps(table).tolist() == [expected, expected]

    def test_they_get_the_size_of_the_images_by_nearest_neighbour(self, table, tmp_path):
        Image.fromarray(np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.uint8)).save(tmp_path / "y0.png")
        Image.fromarray(np.zeros((2, 4), np.uint8)).save(tmp_path / "y1.png")
        assert self.maps(table)[0].tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]] * 2 + [[4, 4, 5, 5, 6, 6, 7, 7]] * 2
        assert self.maps(table, size=(1, 2))[0].tolist() == [[5, 7]]  # pixels at the centres of halves

    def test_without_images_in_files_they_keep_their_size(self, table, tmp_path):
        assert label_maps(table, config())[0].shape == (2, 4, 8)
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "y1.png")
        with pytest.raises(
            DataError, match=r"column y of t\.csv, row 1 \(y1\.png\): the label map has 4 x 6 pixels, and row 0 4 x 8"
        ):
            label_maps(table, config())

    def test_a_pair_that_shows_other_scenes_is_named(self, table, tmp_path):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "y1.png")
        match = r"row 1 \(y1\.png\): the label map has 8 x 8 pixels and the image in column rgb 4 x 8, which is no"
        with pytest.raises(DataError, match=match):
            self.maps(table)

    def test_a_scaled_copy_may_be_rounded(self, table, tmp_path):
        Image.fromarray(np.zeros((3, 7), np.uint8)).save(tmp_path / "y1.png")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert self.maps(table).shape == (2, 4, 8)

    @pytest.mark.parametrize(("column", "noun"), [("y", "label map"), ("rgb", "image")])
    def test_a_file_that_is_smaller_than_others_is_said_once(self, table, tmp_path, column, noun):
        own = Image.open(tmp_path / f"{column}1.png")
        own.resize((4, 2)).save(tmp_path / f"{column}1.png")
        place = rf"^column {column} of t\.csv, row 1 \({column}1\.png\): "
        match = (
            rf"the {noun} has 2 x 4 pixels, fewer than others, and is stretched to 4 x 8 \(1 of 2 {noun}s in all\); "
        )
        with pytest.warns(DataWarning, match=place + match) as told:
            assert self.maps(table).shape == (2, 4, 8)
        assert len(told) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.maps(table, size=(2, 4))
            own.resize((4, 2)).save(tmp_path / f"{column}0.png")
            self.maps(table)

    @pytest.mark.parametrize(
        ("damage", "match"),
        [
            (lambda path: path.unlink(), r"^column y of t\.csv, row 1: there is no file .*y1\.png; correct the path$"),
            (lambda path: path.write_text("x"), r"row 1: .*y1\.png is no image that can be read; replace the file$"),
            (
                lambda path: Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(path),
                r"row 1: .*y1\.png cannot be read: it has the mode RGB, and a label map has one class number per pixel",
            ),
        ],
    )
    def test_files_that_are_no_maps(self, table, tmp_path, damage, match):
        damage(tmp_path / "y1.png")
        with pytest.raises(DataError, match=match):
            self.maps(table)

    def test_a_missing_label_is_said_with_its_row(self, table):
        table.columns["y"][1] = None
        with pytest.raises(
            DataError, match=r"column y of t\.csv, row 1: the label map is missing, as in 1 row in all; add it"
        ):
            self.maps(table)

    def test_they_get_the_size_of_the_largest_images(self, table):
        images = {
            name: {"kind": "image_files", "column": "rgb", "size": size}
            for name, size in (("a", [2, 4]), ("b", [4, 8]))
        }
        assert label_maps(table, config(modalities=images))[0].shape == (2, 4, 8)

    def test_arrays_of_different_sizes_in_cells(self, table):
        cells = np.empty(2, dtype=object)
        cells[:] = [np.zeros((2, 2), int), np.zeros((2, 3), int)]
        raw = RawTable("t", "the data", {"y": cells}, 2)
        with pytest.raises(
            DataError, match=r"^column y of the data has label maps of different sizes; give all of them"
        ):
            label_maps(raw, config())


def test_no_warning_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found(MAPS)


def test_new_images_that_are_no_scaled_copies_of_each_other_are_named_with_their_files(tmp_path):
    for name, size in {"a/1.png": (32, 24), "a/2.png": (32, 24), "b/1.png": (16, 12), "b/2.png": (20, 12)}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", size).save(tmp_path / name)
    raw = load_raw(str(tmp_path), columns=["a", "b"])
    (row, reason), *others = unaligned_rows(raw, ["a", "b", "c"], (24, 32)).items()
    assert row == 1 and not others
    assert "row 1 (b/2.png): the image has 12 x 20 pixels and the label maps have 24 x 32, which is no scaled" in reason
