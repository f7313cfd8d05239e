"""Pickles of sentiment and humour: padding in front, rows without text, infinite features, labels and names."""

import functools
import pickle

import numpy as np
import pytest
import torch

from nasfuse.data.sources.registry import load_raw, load_table
from nasfuse.errors import DataError, DataWarning
from nasfuse.spec.data import DataConfig
from nasfuse.testing import SourceSuite


def part(n_steps, *, features=2):
    """Sequences of 5 steps that end with `n_steps` real ones, numbered from 1."""
    values = np.zeros((len(n_steps), 5, features), np.float32)
    for row, count in enumerate(n_steps):
        values[row, 5 - count :] = np.arange(1, count + 1)[:, None]
    return values


def content(**changes):
    """Three splits of two, one and one rows."""
    made = {}
    for word, steps in {"train": [2, 5], "valid": [1], "test": [3]}.items():
        made[word] = {
            "vision": part(steps, features=3),
            "audio": part(steps, features=1),
            "text": part(steps),
            "labels": np.array([-1.5, 0.5, 0.0, 2.5][: len(steps)]).reshape(-1, 1, 1),
            "id": np.array([[f"{word}{row}", "0.0", "1.5"] for row in range(len(steps))]),
        }
    for word, names in changes.items():
        made[word].update(names)
    return made


@pytest.fixture
def write(tmp_path):
    def write(content, protocol=2):
        (tmp_path / "mosi.pkl").write_bytes(pickle.dumps(content, protocol))
        return str(tmp_path / "mosi.pkl")

    return write


class TestSuite(SourceSuite):
    @pytest.fixture(params=["labels", "polarity"])
    def load(self, request, write):
        rng, made = np.random.default_rng(0), {}
        for word, n_rows in {"train": 24, "valid": 8, "test": 8}.items():
            steps = rng.integers(1, 6, n_rows)
            names = {"vision": 3, "audio": 1, "text": 2}
            made[word] = {name: part(steps, features=width) for name, width in names.items()}
            made[word] |= {name: made[word][name] * rng.normal(1, 0.1, (n_rows, 1, 1)) for name in names}
            made[word]["labels"] = rng.uniform(-3, 3, (n_rows, 1, 1))
        modalities = {
            name: {"kind": "sequence", "lengths": f"{name}_lengths", "padding": "left"} for name in made["train"]
        }
        del modalities["labels"]
        task = "regression" if request.param == "labels" else "multiclass"
        config = {"source": write(made), "modalities": modalities, "target": request.param, "task": task}
        return functools.partial(load_table, DataConfig.parse(config))


def test_all_splits_are_joined_in_order(write):
    raw = load_raw(write(content()))
    assert raw.name == "mosi"
    assert raw.columns["split"].tolist() == ["train", "train", "val", "test"]
    assert raw.columns["text_lengths"].tolist() == [2, 5, 1, 3]
    assert raw.columns["labels"].tolist() == [-1.5, 0.5, -1.5, -1.5]
    assert raw.columns["id"].tolist() == ["train0", "train1", "valid0", "test0"]
    assert raw.columns["vision"].shape == (4, 5, 3)


def test_classes_of_real_labels_are_rounded_half_to_even_and_limited(write):
    labels = np.array([-3.4, -0.5, 0.0, 0.5, 1.5, 2.5])
    steps = [1] * 6
    parts = {"vision": part(steps, features=3), "audio": part(steps, features=1), "text": part(steps), "id": ["a"] * 6}
    raw = load_raw(write(content(train={**parts, "labels": labels.reshape(-1, 1, 1)})))
    assert raw.columns["seven_classes"][:6].tolist() == [-3, 0, 0, 0, 2, 2]
    assert raw.columns["polarity"][:6].tolist() == ["negative"] * 2 + ["not_negative"] * 4


def test_two_labels_are_classes(write):
    labels = np.array([-1.0, 1.0]).reshape(-1, 1, 1)
    raw = load_raw(write(content(train={"labels": labels}, valid={"labels": labels[:1]}, test={"labels": labels[1:]})))
    assert raw.columns["labels"].tolist() == [-1, 1, -1, 1]
    assert "polarity" not in raw.columns


def test_rows_without_text_are_left_out_and_infinite_features_become_0(write):
    audio = part([2, 5], features=1)
    audio[1, 4] = -np.inf
    with pytest.warns(DataWarning) as caught:
        raw = load_raw(write(content(train={"audio": audio, "text": part([0, 5])})))
    assert sorted(str(one.message) for one in caught) == [
        "mosi.pkl: 1 row of 4 have no text and are left out",
        "mosi.pkl: array audio has infinite or NaN features in 1 row, which become 0",
    ]
    assert raw.columns["split"].tolist() == ["train", "val", "test"]
    assert raw.columns["audio"][0, :, 0].tolist() == [1, 2, 3, 4, 0]
    assert raw.columns["audio_lengths"].tolist() == [5, 1, 3]


def test_data_padded_behind_have_their_lengths_too(write):
    flipped = {word: {"text": values["text"][:, ::-1]} for word, values in content().items()}
    raw = load_raw(write(content(**flipped)))
    assert raw.columns["text_lengths"].tolist() == [2, 5, 1, 3]


def test_a_modality_without_a_step_has_length_0(write):
    raw = load_raw(write(content(train={"vision": part([0, 5], features=3)})))
    assert raw.columns["vision_lengths"].tolist() == [0, 5, 1, 3]


def test_padding_in_front_becomes_padding_behind_in_batches(write):
    modalities = {
        name: {"kind": "sequence", "lengths": "text_lengths", "padding": "left"} for name in ("text", "audio", "vision")
    }
    config = {"source": write(content()), "modalities": modalities, "target": "labels", "task": "regression"}
    dataset = load_table(DataConfig.parse(config)).divided(0)
    batch = dataset.train.batch(torch.arange(2), names=("text",))
    assert batch.masks["text"].tolist() == [[True, True, False, False, False], [True] * 5]
    scale = dataset.scales["text"]
    back = (batch.inputs["text"] * scale.std + scale.mean)[..., 0]
    assert back[0, :2].tolist() == pytest.approx([1, 2], abs=1e-6)
    assert back[1].tolist() == pytest.approx([1, 2, 3, 4, 5], abs=1e-6)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda made: made.pop("valid"),
            r"mosi\.pkl must hold a mapping with train, valid and test, got train, test w",
        ),
        (lambda made: made["test"].pop("audio"), r"mosi\.pkl: test has no array audio, which train has; add it \(Kno"),
        (
            lambda made: made["train"].update(labels=np.zeros((3, 1, 1))),
            r"mosi\.pkl: array labels of train has 3 rows, and the other arrays of train have 2; align them$",
        ),
        (
            lambda made: made["valid"].update(text=np.zeros((1, 4, 2))),
            r"mosi\.pkl: array text must have rows of one shape, got \(5, 2\) in train, \(4, 2\) in valid, \(5,",
        ),
        (
            lambda made: made.update(train=[1]),
            r"mosi\.pkl: train must be a mapping from names to arrays, got list; write",
        ),
        (
            lambda made: made["train"].update(text=[np.zeros((2, 2)), np.zeros((3, 2))]),
            r"mosi\.pkl: text of train must have rows of one shape; align them$",
        ),
    ],
)
def test_other_layouts_are_refused_with_file_and_key(write, change, match):
    made = content()
    change(made)
    with pytest.raises(DataError, match=match):
        load_raw(write(made))


def test_a_pickle_of_something_else_is_refused(write):
    with pytest.raises(
        DataError, match=r"must hold a mapping with train, valid and test, got ndarray without valid; w"
    ):
        load_raw(write(np.zeros(3)))
