"""Inputs standardised by the scales of other data, against the formula."""

import numpy as np
import pytest
import torch

from nasfuse.data import ModalityArrays, Scale, build_dataset
from nasfuse.data.input_scales import with_input_scales

N = 20
RNG = np.random.default_rng(0)
#: The second feature is constant in these data, the third one in the others.
VECTOR = np.stack([1e6 + RNG.normal(size=N), np.full(N, 7.0), RNG.normal(size=N)], axis=1)
IMAGE = RNG.integers(0, 256, (N, 4, 5, 3)).astype(np.uint8)
SEQUENCE = RNG.normal(size=(N, 6, 2))
LENGTHS = np.arange(N) % 4 + 3
COLOURS = [10.0, 100.0, 0.0], [50.0, 25.0, 1.0]
MEANS, STDS = [1e6 + 3, 5.0, 0.0], [2.0, 4.0, np.inf]


def scale(mean, std, shape):
    return Scale(*(torch.tensor(values, dtype=torch.float64).reshape(shape) for values in (mean, std)))


@pytest.fixture(scope="module")
def data():
    return build_dataset(
        "d",
        {
            "v": ModalityArrays("vector", VECTOR),
            "i": ModalityArrays("image", IMAGE),
            "s": ModalityArrays("sequence", SEQUENCE, lengths=LENGTHS),
            "q": ModalityArrays("sequence", RNG.integers(0, 5, (N, 3)), vocabulary=5),
        },
        targets=np.arange(N) % 2,
        task="multiclass",
        splits=np.array(["train"] * 12 + ["val"] * 4 + ["test"] * 4),
    )


@pytest.fixture(scope="module")
def other(data):
    scales = {
        "v": scale(MEANS, STDS, (1, 3)),
        "i": scale(*COLOURS, (1, 3, 1, 1)),
        "s": scale([1.0, -1.0], [2.0, 0.5], (1, 1, 2)),
    }
    return with_input_scales(data, scales)


def test_of_vectors(other):
    found = other.val.batch(torch.arange(4), names=("v",)).inputs["v"]
    expected = (VECTOR[12:16] - MEANS) / STDS
    assert np.allclose(found, expected, atol=1e-5)
    assert np.allclose(found[:, 1], 0.5), "(7 - 5) / 4, although the feature is constant here"


def test_of_images_that_are_stored_as_bytes(other):
    found = other.test.batch(torch.arange(4), names=("i",)).inputs["i"]
    expected = ((IMAGE[16:] - np.array(COLOURS[0])) / COLOURS[1]).transpose(0, 3, 1, 2)
    assert np.allclose(found, expected, atol=1e-5)


def test_padding_stays_zero(other):
    batch = other.train.batch(torch.arange(12), names=("s",))
    expected = (SEQUENCE[:12] - [1.0, -1.0]) / [2.0, 0.5]
    assert np.allclose(batch.inputs["s"][batch.masks["s"]], expected[batch.masks["s"].numpy()], atol=1e-5)
    assert (batch.inputs["s"][~batch.masks["s"]] == 0).all()


def test_it_is_recorded_and_the_rest_stays(data, other):
    assert other.scales["v"].mean.tolist() == [MEANS]
    one = with_input_scales(data, {"v": scale(MEANS, STDS, (1, 3)), "q": scale([0.0], [1.0], (1, 1))})
    assert one.scales["i"] is data.scales["i"]
    assert one.train.columns["q"] is data.train.columns["q"]
    assert with_input_scales(data, data.scales) is data
