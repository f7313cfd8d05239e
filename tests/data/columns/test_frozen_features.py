"""Vectors of a frozen encoder as modalities: mean, cost, missing values, and the encoder of the training."""

import shutil

import numpy as np
import pytest
from PIL import Image

from nasfuse.data import as_raw, load_table
from nasfuse.data.columns.frozen_features import _kept_load
from nasfuse.data.preprocessing import Preprocessing
from nasfuse.errors import ConfigError, DataError, DataWarning, MissingFileError
from nasfuse.spec.data import DataConfig
from nasfuse.spec.recipe import Recipe
from tests.tiny_encoder import MACS, TinyEncoder, encoder_folder

__all__ = ["encoder_folder"]

TEXTS = ["a", "b b", "c c c c", "abc", None, "a", "b b b", "c"]


@pytest.fixture(autouse=True)
def _nothing_kept():
    _kept_load.cache_clear()
    yield
    _kept_load.cache_clear()


def config_of(folder, *, kind="text_features", **options):
    entries = {"m": {"kind": kind, "folder": str(folder), **options}}
    return DataConfig.parse({"source": "x", "modalities": entries}).modalities


def fit(folder, values, rows, **options):
    raw = as_raw({"m": values})
    return Preprocessing.fit(config_of(folder, **options), raw, np.asarray(rows)), raw


def test_features_mean_and_typical_cost_of_the_training_samples(encoder_folder):
    fitted, raw = fit(encoder_folder, TEXTS, [0, 1, 2, 3])
    transform = fitted.transforms["m"]
    # a, b b, c c c c and abc are [1, 0], [0, 2], [8, -4] and [3, 0]
    assert transform.fill.tolist() == [3.0, -0.5]
    assert fitted.outside_macs == {"m": 2 * MACS}  # 1, 2, 4 and 1 tokens: 2 is the mean
    with pytest.warns(DataWarning, match=r"1 value is missing \(\S+ %\), in row 4; samples without it lack the mod"):
        arrays = fitted.arrays(raw)["m"]
    assert arrays.kind == "vector"
    assert arrays.values[[0, 1, 3, 5, 7]].tolist() == [[1, 0], [0, 2], [3, 0], [1, 0], [2, -1]]
    assert arrays.present.tolist() == [True] * 4 + [False] + [True] * 3
    assert TinyEncoder.n_encoded() == 6 + 1  # equal texts once, and one for the count
    assert len(TinyEncoder.loaded) == 1


def test_a_missing_value_is_the_mean_for_networks_that_know_no_absent_modality(encoder_folder):
    fitted, _ = fit(encoder_folder, TEXTS, [0, 1, 2, 3])
    with pytest.warns(DataWarning, match="the mean of the training samples is used instead"):
        arrays, _ = fitted.read(as_raw({"m": [None, "b"]}), filled={"m"})
    assert arrays["m"].values.tolist() == [[3.0, -0.5], [0.0, 1.0]]


def test_new_rows_from_python_are_not_kept_and_the_encoder_is(encoder_folder, tmp_path):
    fitted, _ = fit(encoder_folder, TEXTS, [0, 1])
    files = sorted((tmp_path / "cache").rglob("*"))
    for _ in range(2):
        assert fitted.arrays(as_raw({"m": ["cc", "a"]}))["m"].values.tolist() == [[4, -2], [1, 0]]
    assert TinyEncoder.encoded[-2:] == [["cc"], ["cc"]]
    assert len(TinyEncoder.loaded) == 2
    assert sorted((tmp_path / "cache").rglob("*")) == files


def test_images_are_read_in_their_orientation_and_damaged_ones_are_problems(encoder_folder, tmp_path):
    Image.new("RGB", (4, 3), (1, 2, 3)).save(tmp_path / "a.png")
    Image.new("L", (4, 3), 5).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    paths = np.array([str(tmp_path / f"{name}.png") for name in "abac"], dtype=object)
    fitted, raw = fit(encoder_folder, paths, [0, 1, 3], kind="image_features")
    arrays, problems = fitted.read(raw)
    # 1 + 2 * 3 and 2 - 3; 5 + 2 * 5 and 5 - 5
    assert arrays["m"].values[:3].tolist() == [[7, -1], [15, 0], [7, -1]]
    assert arrays["m"].values[3].tolist() == fitted.transforms["m"].fill.tolist() == [11, -0.5]
    assert [problem.row for problem in problems] == [3]
    assert fitted.outside_macs == {"m": MACS}
    assert TinyEncoder.n_encoded() == 3


def test_without_a_value_in_the_training_samples(encoder_folder):
    with pytest.raises(DataError, match=r"^column m of data has no value in the training samples that can be read; na"):
        fit(encoder_folder, [None, "a"], [0])


class TestEncoderOfTheTraining:
    def test_a_moved_folder_is_found_in_that_of_the_environment(self, encoder_folder, tmp_path, monkeypatch):
        fitted, _ = fit(encoder_folder, TEXTS, [0])
        shutil.move(encoder_folder, tmp_path / "tiny")
        with pytest.raises(
            MissingFileError, match=r"^modality m: there is no folder \S+tiny of a .* set NASFUSE_MODELS"
        ):
            fitted.read(as_raw({"m": ["new b"]}))
        monkeypatch.setenv("NASFUSE_MODELS", str(tmp_path))
        assert fitted.read(as_raw({"m": ["new b"]}))[0]["m"].values.tolist() == [[0, 1]]

    def test_another_encoder_is_refused(self, encoder_folder):
        fitted, _ = fit(encoder_folder, TEXTS, [0])
        (encoder_folder / "config.json").write_text('{"other": 1}')
        with pytest.raises(
            DataError,
            match=r"^modality m: \S+tiny has another frozen encoder \(content \w{12}\) than in the training "
            r"\(\w{12}\), so its features would be others; put the encoder of the training there$",
        ):
            fitted.read(as_raw({"m": ["new"]}))

    def test_options_of_the_encoder_are_passed_and_have_features_of_their_own(self, encoder_folder):
        fit(encoder_folder, ["a"], [0])
        fit(encoder_folder, ["a"], [0], pooling="first", length=3)
        assert [options for _, options in TinyEncoder.loaded] == [{}, {"pooling": "first", "length": 3}]


class TestTables:
    @pytest.fixture
    def data(self, encoder_folder, tmp_path):
        rows = [f"{'abc'[row % 3]} {'abc'[row // 3 % 3]},{row % 2}" for row in range(40)]
        (tmp_path / "mine.csv").write_text("\n".join(["title,y", *rows]))
        title = {"kind": "text_features", "folder": str(encoder_folder)}
        return DataConfig.parse({"source": str(tmp_path / "mine.csv"), "modalities": {"title": title}})

    def test_features_are_kept_beside_the_file(self, data, tmp_path):
        table = load_table(data)
        assert TinyEncoder.n_encoded() == 9 + 1
        assert load_table(data).content == table.content
        assert TinyEncoder.n_encoded() == 9 + 1
        assert len(TinyEncoder.loaded) == 1
        assert len(list((tmp_path / ".nasfuse" / "features").rglob("*.npz"))) == 1
        assert table.preprocessing.outside_macs == {"title": 2 * MACS}

    def test_the_path_of_the_folder_does_not_identify_the_data(self, data, tmp_path):
        modalities = {"title": data.modalities["title"].model_copy(update={"folder": "elsewhere"})}
        assert data.model_copy(update={"modalities": modalities}).identity == data.identity
        assert data.frozen == ("title",)

    def test_a_folder_is_found_beside_the_recipe(self, data, tmp_path, monkeypatch):
        plain = {**data.to_plain(), "source": "mine.csv"}
        plain["modalities"] = {"title": {"kind": "text_features", "folder": "models/tiny"}}
        recipe = {"data": plain, "network": {"route": ["title"], "streams": {"title": {"encoder": "mlp"}}}}
        (tmp_path / "recipe.yaml").write_text(str(recipe))
        monkeypatch.chdir("/")
        found = Recipe.load(tmp_path / "recipe.yaml").data.modalities["title"]
        assert found.folder == str(tmp_path / "models" / "tiny")


@pytest.mark.parametrize(("kind", "library"), [("text_features", "sentence_transformers"), ("image_features", "timm")])
def test_only_transformers_has_states_to_pool(kind, library):
    with pytest.raises(ConfigError, match=rf"pooling: is part of the encoder with library: {library}; remove it"):
        config_of("x", kind=kind, library=library, pooling="mean")
