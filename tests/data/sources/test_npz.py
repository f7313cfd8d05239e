"""Data files: what a configuration names is found, and what is wrong is said."""

import zipfile

import numpy as np
import pytest
import torch

from nasfuse.data.description import described_table
from nasfuse.data.sources.folder import read_array
from nasfuse.data.sources.npz import read_arrays, read_npz
from nasfuse.errors import ConfigError, DataError
from nasfuse.nn import build_network
from nasfuse.spec.data import DataConfig
from nasfuse.spec.network import NetworkConfig

N = 40
ARRAYS = {
    "pixels": np.arange(10 * 4 * 4).reshape(10, 4, 4).astype(np.uint8),
    "which": np.arange(N) % 10,
    "words": np.arange(N * 5).reshape(N, 5) % 7,
    "n_words": np.arange(N) % 5 + 1,
    "x": np.random.default_rng(0).normal(size=(N, 3)),
    "y": np.arange(N) % 2,
    "user": np.arange(N) // 4,
    "split": np.array(["train"] * 20 + ["val"] * 10 + ["test"] * 10),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "toy.npz"
    np.savez(path, **ARRAYS)
    return path


def load_npz(path, config):
    return described_table(read_npz(path), config).divided(0)


def config(**changes):
    return DataConfig.parse({"source": "toy.npz", "modalities": {"x": {"kind": "vector"}}} | changes)


def test_a_file_becomes_a_data_set(path):
    dataset = load_npz(
        path,
        config(
            modalities={
                "picture": {"kind": "image", "array": "pixels", "index": "which"},
                "words": {"kind": "sequence", "vocabulary": 7, "lengths": "n_words"},
                "x": {"kind": "vector"},
            }
        ),
    )
    assert dataset.name == "toy"
    assert [str(modality) for modality in dataset.modalities] == [
        "picture: image 1 x 4 x 4",
        "words: sequence 5, ids below 7",
        "x: vector 3",
    ]
    batch = dataset.val.batch(torch.arange(3), names=("words", "picture"))
    assert batch.masks["words"].sum(1).tolist() == [1, 2, 3]
    assert batch.targets.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"kind": "vector", "arrays": ["x", "score"]}, "both: vector 4"),
        ({"kind": "sequence", "arrays": ["left", "right"], "lengths": "n_steps"}, "both: sequence 5 x 3"),
    ],
)
def test_features_of_several_arrays_are_concatenated(tmp_path, entry, expected):
    rng = np.random.default_rng(1)
    parts = {
        "x": ARRAYS["x"],
        "score": np.arange(N),
        "left": rng.normal(size=(N, 5, 2)).astype(np.float16),
        "right": rng.normal(size=(N, 5)).astype(np.float32),
    }
    arrays = {"y": ARRAYS["y"], "split": ARRAYS["split"], "n_steps": np.arange(N) % 5 + 1}
    np.savez(tmp_path / "parts.npz", **arrays, **parts)
    first, second = (parts[name] for name in entry["arrays"])
    np.savez(tmp_path / "whole.npz", **arrays, both=np.concatenate([first, second[..., None]], axis=-1))
    dataset = load_npz(tmp_path / "parts.npz", config(modalities={"both": entry}))
    assert str(dataset.modalities[0]) == expected
    single = {key: value for key, value in entry.items() if key != "arrays"}
    assert dataset.fingerprint == load_npz(tmp_path / "whole.npz", config(modalities={"both": single})).fingerprint


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        (
            {"kind": "image", "arrays": ["pixels", "x"]},
            r"^data\.modalities\.m is an image, and only vectors and",
        ),
        (
            {"kind": "vector", "arrays": ["x", "split"]},
            r"^data\.modalities\.m: array split must be numbers with 1 or 2 axes to be part of a vector",
        ),
        (
            {"kind": "vector", "arrays": ["x", "pixels"]},
            r"array pixels must be numbers with 1 or 2 axes",
        ),
        (
            {"kind": "sequence", "arrays": ["x", "words"]},
            r"arrays of one sequence need the same rows and steps, got x \(40, 3\), words \(40, 5\); make them",
        ),
        ({"kind": "vector", "arrays": ["x", "spilt"]}, r"no array 'spilt' \(data\.modalities\.m\.arrays\); did you me"),
    ],
)
def test_arrays_that_cannot_be_concatenated_are_refused(path, entry, match):
    with pytest.raises(DataError, match=match):
        load_npz(path, config(modalities={"m": entry}))


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        (
            {"array": "x", "arrays": ["x", "y"]},
            r"modalities\.m\.array: is one array and arrays are several; ",
        ),
        ({"arrays": ["x", "y"], "vocabulary": 7}, r"modalities\.m\.arrays: token ids have no features to concatenate"),
        ({"arrays": ["x"]}, r"modalities\.m\.arrays: must have a length of at least 2"),
    ],
)
def test_contradictory_arrays_are_refused(entry, match):
    with pytest.raises(ConfigError, match=match):
        config(modalities={"m": {"kind": "sequence"} | entry})


def test_without_a_split_array_data_are_divided(path, tmp_path):
    np.savez(path, **{key: values for key, values in ARRAYS.items() if key != "split"})
    dataset = load_npz(path, config(group="user"))
    assert sum(len(dataset.split(part)) for part in ("train", "val", "test")) == N


def test_the_task_and_target_are_those_of_the_configuration(path):
    dataset = load_npz(path, config(target="n_words", task="regression"))
    targets = dataset.train.targets.double() * dataset.target_scale.std + dataset.target_scale.mean
    assert targets.flatten().tolist() == pytest.approx((np.arange(20) % 5 + 1).tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"modalities": {}},
            r"^toy\.npz needs data\.modalities \(name: kind, such as vector, image or text\); `nasfuse data check .*`",
        ),
        (
            {"modalities": {"pixel": {"kind": "image"}}},
            r"^toy\.npz has no array 'pixel' \(data\.modalities\.pixel\); did you mean 'pixels'\? Known: n_words, pix",
        ),
        (
            {"modalities": {"x": {"kind": "vector", "index": "wich"}}},
            r"no array 'wich' \(data\.modalities\.x\.index\); did you mean 'which'\?",
        ),
        (
            {"modalities": {"words": {"kind": "sequence", "vocabulary": 7, "lengths": "n_word"}}},
            r"no array 'n_word' \(data\.modalities\.words\.lengths\); did you mean 'n_words'\?",
        ),
        ({"target": "label"}, r"no array 'label' \(data\.target\)"),
        ({"group": "users"}, r"no array 'users' \(data\.group\); did you mean 'user'\?"),
        ({"split": "fold"}, r"no array 'fold' \(data\.split\)"),
    ],
)
def test_missing_arrays_are_named(path, changes, match):
    with pytest.raises(DataError, match=match):
        load_npz(path, config(**changes))


def truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def compressed_and_flipped(path):
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(100, 100)))
    flipped(path)


def text(path):
    path.write_text("not an archive")


def empty(path):
    path.write_bytes(b"")


def plain_npy(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize("damage", [truncated, flipped, compressed_and_flipped, text, empty, plain_npy])
def test_a_damaged_file_is_refused(path, damage):
    damage(path)
    with pytest.raises(
        DataError, match=r"toy\.npz is not an \.npz file of plain arrays: .*; write it with numpy\.savez"
    ):
        read_arrays(path)


def test_an_archive_of_other_files_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"not an array")
        archive.writestr("y.npy", b"not an array either")
    with pytest.raises(DataError, match="the labels must be"):
        load_npz(path, config())


def test_the_side_of_the_padding_is_that_of_the_configuration(path):
    steps = np.zeros((N, 5, 2))
    steps[:, 4] = np.arange(1, N + 1)[:, None]
    np.savez(path, **ARRAYS, steps=steps, n=np.full(N, 1))
    entry = {"kind": "sequence", "lengths": "n", "padding": "left"}
    dataset = load_npz(path, config(modalities={"steps": entry}))
    assert dataset.scales["steps"].mean.flatten().tolist() == pytest.approx([10.5] * 2)
    with pytest.raises(ConfigError, match="padding: 'front' is not known; Known: left, right"):
        config(modalities={"steps": {**entry, "padding": "front"}})


def test_rows_in_the_order_of_their_splits(path):
    dataset = load_npz(path, config(split={"train": 25, "val": 5, "test": 10}))
    assert [len(dataset.split(part)) for part in ("train", "val", "test")] == [25, 5, 10]
    assert dataset.val.targets.tolist() == [1, 0, 1, 0, 1]
    without_val = load_npz(path, config(split={"train": 30, "test": 10}, val_fraction=0.2))
    assert [len(without_val.split(part)) for part in ("train", "val", "test")] == [24, 6, 10]
    with pytest.raises(DataError, match=r"^toy\.npz has 40 rows and data\.split 41; correct data\.split$"):
        load_npz(path, config(split={"train": 30, "test": 11}))
    with pytest.raises(ConfigError, match=r"split\.train: must be at least 1, got 0"):
        config(split={"train": 0, "test": 40})


def test_flat_rows_have_a_shape(path):
    entry = {"kind": "image", "array": "flat", "shape": [4, 2]}
    flat = np.arange(N * 8).reshape(N, 8).astype(np.uint8)
    np.savez(path, **ARRAYS, flat=flat)
    dataset = load_npz(path, config(modalities={"photo": entry}))
    assert str(dataset.modalities[0]) == "photo: image 1 x 4 x 2"
    assert dataset.train.columns["photo"].values[3, 0].tolist() == flat[3].reshape(4, 2).tolist()
    with pytest.raises(
        DataError, match=r"^data\.modalities\.photo\.shape must hold the 8 values of a sample, got \[3, 2\]"
    ):
        load_npz(path, config(modalities={"photo": {**entry, "shape": [3, 2]}}))
    assert "shape" not in config().modalities["x"].to_plain()


def test_experts_that_share_no_stream_read_two_modalities_of_one_array(path):
    """As in DynMM: the cheap expert has a text encoder of its own. A route costs its own encoders only."""
    entry = {"kind": "vector", "array": "x"}
    dataset = load_npz(path, config(modalities={"cheap": entry, "text": entry, "other": entry}))
    streams = {"cheap": 4, "text": 8, "other": 16}
    network = {
        "route": list(streams),
        "streams": {name: {"encoder": "mlp", "depth": 0, "width": width} for name, width in streams.items()},
        "fusion": {"kind": "sum", "width": 8, "placement": 0},
        "router": {"kind": "gate", "routes": ["cheap", "text+other"]},
    }
    built = build_network(NetworkConfig.parse(network), dataset.modalities, dataset.task)
    assert [sorted(branch.route.n_stages) for branch in built.branches] == [["cheap"], ["other", "text"]]
    shared = {id(p) for p in built.streams["cheap"].parameters()} & {id(p) for p in built.streams["text"].parameters()}
    assert shared == set()
    batch = dataset.train.batch(torch.arange(5), names=tuple(streams))
    assert torch.equal(batch.inputs["cheap"], batch.inputs["text"])


@pytest.mark.parametrize("values", [["a", None], ["a", "b"], [1.0, None], [{"a": 1}]])
def test_arrays_of_objects(tmp_path, values):
    np.savez(tmp_path / "toy.npz", x=np.zeros(1), kind=np.array(values, dtype=object))
    message = r"^array kind of \S*toy\.npz holds Python objects, .*; before it is written, convert texts with"
    with pytest.raises(DataError, match=message):
        read_arrays(tmp_path / "toy.npz")
    np.save(tmp_path / "kind.npy", np.array(values, dtype=object))
    with pytest.raises(DataError, match=r"^\S*kind\.npy holds Python objects, .* and numbers with \.astype\(float\)$"):
        read_array(tmp_path / "kind.npy")
