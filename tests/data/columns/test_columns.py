"""What holds for every transform of columns: fitted on training rows, the same after a round trip, other rows."""

import io
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from nasfuse.data.columns import TRANSFORMS
from nasfuse.data.layout import check_modality
from nasfuse.data.preprocessing import Preprocessing
from nasfuse.data.sources.frame import raw_of_frame
from nasfuse.errors import DataError, DataWarning
from nasfuse.spec.data import DataConfig, expand_modalities
from tests.tiny_encoder import encoder_folder

__all__ = ["encoder_folder"]

N = 24
TRAIN = np.arange(16)


def modalities(**entries):
    return DataConfig.parse(expand_modalities({"data": {"source": "x", "modalities": entries}})["data"]).modalities


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    for row in range(N):
        pixels = rng.integers(0, 256, (5 + row % 3, 7, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{row}.png")
        soundfile.write(folder / f"{row}.wav", rng.normal(size=1000 + 100 * row) / 10, 8000)
        np.save(folder / f"{row}.npy", rng.normal(size=(row % 4 + 1, 2)).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def raw(folder):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "price": np.where(np.arange(N) % 5 == 0, np.nan, rng.normal(size=N)),
            "shop": [["north", "south", None][row % 3] for row in range(N)],
            "day": [f"2026-01-{row + 1:02d}" for row in range(N)],
            "title": ["a red hat", "blue shoes, a pair", "hat"] * (N // 3),
            "photo": [f"{row}.png" for row in range(N)],
            "sound": [f"{row}.wav" for row in range(N)],
            "track": [f"{row}.npy" for row in range(N)],
            "spectrum": [list(rng.normal(size=6)) for _ in range(N)],
            "steps": [list(range(row % 4)) for row in range(N)],
            "frames": [rng.normal(size=(row % 3 + 1, 2)) for row in range(N)],
        }
    )
    return raw_of_frame(frame, name="shop", origin="shop.csv", folder=folder)


ENTRIES = {
    "vector": {"kind": "vector", "array": "spectrum"},
    "number as vector": {"kind": "vector", "arrays": ["price", "price"]},
    "sequence": {"kind": "sequence", "array": "frames"},
    "one feature": {"kind": "sequence", "array": "steps"},
    "ids": {"kind": "sequence", "array": "steps", "vocabulary": 4},
    "table": {"kind": "table", "columns": ["price", "shop", "day"]},
    "text": {"kind": "text", "column": "title"},
    "hashed": {"kind": "text", "column": "title", "tokenizer": "hashed", "vocabulary": 9},
    "subwords": {"kind": "text", "column": "title", "tokenizer": "subwords", "vocabulary": 260},
    "image_files": {"kind": "image_files", "column": "photo", "size": 4},
    "grey": {"kind": "image_files", "column": "photo", "size": 3, "channels": 1},
    "audio_files": {"kind": "audio_files", "column": "sound", "rate_hz": 8000, "n_mels": 5},
    "array_files": {"kind": "array_files", "column": "track", "contents": "sequence"},
    "text_features": {"kind": "text_features", "column": "title", "folder": "tiny"},
    "image_features": {"kind": "image_features", "column": "photo", "folder": "tiny"},
}
SHAPES = {
    "vector": (6,),
    "sequence": (3, 2),
    "one feature": (3, 1),
    "ids": (3,),
    "table": (10,),
    "text": (5,),
    "hashed": (5,),
    "subwords": (18,),  # of the 19 bytes with the leading space: " a" is one of the four merges
    "image_files": (3, 4, 4),
    "grey": (1, 3, 3),
    "audio_files": (15, 5),
    "array_files": (4, 2),
    "text_features": (2,),
    "image_features": (2,),
}


@pytest.fixture(autouse=True)
def _models(encoder_folder, monkeypatch):
    monkeypatch.setenv("NASFUSE_MODELS", str(encoder_folder.parent))


def fit(raw, name):
    if name == "subwords":
        pytest.importorskip("tokenizers")
    return Preprocessing.fit(modalities(m=ENTRIES[name]), raw, TRAIN)


def rows_of(raw, rows):
    return type(raw)(
        raw.name, raw.origin, {key: values[rows] for key, values in raw.columns.items()}, len(rows), raw.folder
    )


def equal(first, second):
    pairs = [(getattr(first, part), getattr(second, part)) for part in ("values", "lengths")]
    return all((a is None and b is None) or np.array_equal(a, b) for a, b in pairs)


def test_every_kind_is_tested():
    assert {entry["kind"] for entry in ENTRIES.values()} >= TRANSFORMS.keys() - {"image"}


@pytest.mark.parametrize("name", SHAPES)
class TestAll:
    def test_the_arrays_are_those_of_a_modality(self, raw, name):
        checked, modality = check_modality("m", "m", fit(raw, name).arrays(raw)["m"], n_samples=N)
        assert modality.shape == SHAPES[name]
        assert len(checked.values) == N

    def test_it_is_the_same_after_a_round_trip(self, raw, name):
        fitted, file = fit(raw, name), io.BytesIO()
        torch.save(fitted.state(), file)
        file.seek(0)
        restored = Preprocessing.from_state(torch.load(file, weights_only=True))
        assert equal(restored.arrays(raw)["m"], fitted.arrays(raw)["m"])

    def test_a_row_does_not_depend_on_the_others(self, raw, name):
        fitted = fit(raw, name)
        all_rows, few = fitted.arrays(raw)["m"], fitted.arrays(rows_of(raw, np.array([20, 3])))["m"]
        assert np.array_equal(few.values, all_rows.values[[20, 3]])

    def test_rows_outside_train_have_no_influence(self, raw, name):
        fitted = fit(rows_of(raw, TRAIN), name)
        assert equal(fitted.arrays(raw)["m"], fit(raw, name).arrays(raw)["m"])

    def test_the_columns_are_those_that_are_read(self, raw, name):
        transform = fit(raw, name).transforms["m"]
        only = {column: raw.columns[column] for column in transform.columns}
        found = transform.read(type(raw)(raw.name, raw.origin, only, N, raw.folder)).arrays
        assert (found.lengths is not None) == transform.has_lengths

    def test_an_absent_column_is_named(self, raw, name):
        fitted = fit(raw, name)
        other = type(raw)(raw.name, "new.csv", {"colour": raw.columns["shop"]}, N, raw.folder)
        with pytest.raises(DataError, match=r"new\.csv has no column '\w+' \(data\.modalities\.m.*\); Known: colour"):
            fitted.arrays(other)


def with_a_missing_value(raw, name):
    column = ENTRIES[name].get("column") or ENTRIES[name]["array"]
    values = np.empty(2, dtype=object)
    values[:] = [raw.columns[column][0], None]
    return column, type(raw)("new", "new.csv", {column: values}, 2, raw.folder)


@pytest.mark.parametrize(
    "name",
    [
        "image_files",
        "audio_files",
        "array_files",
        "vector",
        "sequence",
        "text",
        "ids",
        "text_features",
        "image_features",
    ],
)
def test_a_sample_with_a_missing_value_lacks_the_modality(raw, name):
    fitted, (column, new) = fit(raw, name), with_a_missing_value(raw, name)
    with pytest.warns(
        DataWarning,
        match=rf"column {column} of new\.csv: 1 value is missing \(\S+ %\), in row 1; samples without it lack t",
    ):
        found = fitted.arrays(new)["m"]
    assert found.present.tolist() == [True, False]
    assert np.array_equal(found.values[0], fitted.arrays(raw)["m"].values[0])
    checked, modality = check_modality("m", "m", found, n_samples=2)
    assert modality.can_be_absent
    assert not checked.values[1].any()


@pytest.mark.parametrize(
    "name",
    ["image_files", "audio_files", "array_files", "vector", "sequence", "text_features", "image_features"],
)
def test_a_missing_value_is_the_mean_for_networks_that_know_no_absent_modality(raw, name):
    fitted, (column, new) = fit(raw, name), with_a_missing_value(raw, name)
    with pytest.warns(DataWarning, match=rf"column {column} of new\.csv: 1 value is missing \(\S+ %\), in row 1; t"):
        arrays, problems = fitted.read(new, filled={"m"})
    found = arrays["m"]
    assert found.present is None
    assert not problems
    assert np.array_equal(found.values[0], fitted.arrays(raw)["m"].values[0])
    fill = np.asarray(fitted.transforms["m"].fill)
    single = found.values[1] if found.lengths is None else found.values[1, 0]
    assert np.allclose(single, np.broadcast_to(fill, single.shape))


def test_a_text_is_missing_where_it_is_empty_and_a_list_where_it_is_nan(raw):
    title = type(raw)("new", "new.csv", {"title": np.array(["hat", " ", "?"], dtype=object)}, 3, raw.folder)
    assert fit(raw, "text").transforms["m"].read(title).arrays.present.tolist() == [True, False, True]
    spectra = np.empty(3, dtype=object)
    spectra[:] = [np.ones(6), np.full(6, np.nan), float("nan")]
    new = type(raw)("new", "new.csv", {"spectrum": spectra}, 3, raw.folder)
    assert fit(raw, "vector").transforms["m"].read(new).arrays.present.tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["image_files", "audio_files", "array_files", "image_features"])
@pytest.mark.parametrize(
    ("path", "match"),
    [
        (
            "absent.bin",
            r"^column \w+ of new\.csv, row 1: there is no file .*absent\.bin; correct the path; an empty cell is a ",
        ),
        (
            "damaged.bin",
            r"^column \w+ of new\.csv, row 1: .*damaged\.bin (cannot be read: [^<]+|is no image that can be read); "
            r"replace the file; an empty cell is a missing value$",
        ),
    ],
)
def test_a_bad_file_is_named_with_its_row(raw, folder, name, path, match):
    (folder / "damaged.bin").write_bytes((folder / "0.png").read_bytes()[:60])
    column = ENTRIES[name]["column"]
    values = np.array([raw.columns[column][0], path], dtype=object)
    fitted = fit(raw, name)
    new = type(raw)("new", "new.csv", {column: values}, 2, raw.folder)
    with pytest.raises(DataError, match=match):
        fitted.arrays(new)
    arrays, problems = fitted.read(new)
    assert [(problem.row, problem.column) for problem in problems] == [(1, column)]
    assert np.array_equal(arrays["m"].values[0], fitted.arrays(raw)["m"].values[0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1.0, np.nan]], "holds NaN or infinite values; correct them or remove the row"),
        ([[1.0, np.inf]], "holds NaN or infinite values; correct them or remove the row"),
        ([[1.0]], "must hold numbers of shape (steps, 2), got float64 of shape (1, 1); correct it"),
        ([[1.0, 2.0]] * 9, "has 9 steps, and the longest sequence of the training had 4; cut it"),
    ],
)
def test_an_array_file_that_cannot_be_used_is_named_with_its_row(raw, folder, tmp_path, values, expected):
    fitted, file = fit(raw, "array_files"), tmp_path / "bad.npy"
    np.save(file, values)
    new = type(raw)("new", "new.csv", {"track": np.array(["0.npy", str(file)], dtype=object)}, 2, folder)
    (problem,) = fitted.read(new)[1]
    assert problem.message == f"column track of new.csv, row 1: {file} {expected}"


def test_why_no_array_file_can_be_read(raw):
    new = type(raw)("new", "new.csv", {"track": np.array(["none.npy"] * N, dtype=object)}, N, raw.folder)
    match = r"names no \.npy file of a sequence that can be read: column track of new\.csv, row 0: there is no file"
    with pytest.raises(DataError, match=match):
        fit(new, "array_files")


def test_several_problems_are_counted(raw):
    fitted = Preprocessing.fit(modalities(m=ENTRIES["table"], photo=ENTRIES["image_files"]), raw, TRAIN)
    columns = {
        "price": np.array([1.0, np.inf, 2.0]),
        "shop": np.array(["north"] * 3, dtype=object),
        "day": np.array(["2026-01-01", "2026-01-02", "soon"], dtype=object),
        "photo": np.array(["none.png", "1.png", "2.png"], dtype=object),
    }
    new = type(raw)("new", "new.csv", columns, 3, raw.folder)
    assert [problem.row for problem in fitted.read(new)[1]] == [0, 1, 2]
    match = (
        r"row 0: there is no file .*none\.png; correct the path \(and 2 more: row 1 of price; row 2 of day\); "
        r"an empty cell is a missing"
    )
    with pytest.raises(DataError, match=match):
        fitted.arrays(new)


@pytest.mark.parametrize("name", ["sequence", "one feature", "ids", "audio_files", "array_files"])
def test_a_sequence_longer_than_all_of_the_training_is_a_problem_in_new_data(raw, name):
    """In the data of the training itself, samples of val and test are cut."""
    lengths = Preprocessing.fit(modalities(m=ENTRIES[name]), raw, np.arange(N)).arrays(raw)["m"].lengths
    shortest = np.flatnonzero(lengths == lengths[lengths > 0].min())[:1]
    found = Preprocessing.fit(modalities(m=ENTRIES[name]), raw, shortest)
    n_steps = lengths[shortest[0]]
    arrays, problems = found.read(raw)
    assert [problem.row for problem in problems] == np.flatnonzero(lengths > n_steps).tolist()
    row = problems[0].row
    wanted = rf"row {row}(: \S+)? has {lengths[row]} steps, and the longest sequence of the training had \d+; cut it$"
    assert re.search(wanted, problems[0].message)
    assert equal(arrays["m"], found.arrays(raw)["m"])
