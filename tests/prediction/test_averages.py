"""Averages of predictions."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from nasfuse.data import Scale
from nasfuse.domain.modality import Task
from nasfuse.errors import DataWarning, MissingValuesWarning
from nasfuse.prediction import NetworkAverage, Predictions, averaged
from nasfuse.prediction.new_data import UNKNOWN_CATEGORIES
from nasfuse.testing.inputs import MODALITIES


def make(values, probabilities=None, problems=None):
    return Predictions(
        output_names=("a", "b"),
        has_names=True,
        values=np.array(values, dtype=np.float64),
        probabilities=None if probabilities is None else np.array(probabilities, dtype=np.float64),
        routes=np.array(["x"] * len(values), dtype=object),
        n_steps=np.arange(len(values)),
        problems=problems or {},
    )


def test_classes_of_the_mean_probabilities():
    nan = [np.nan, np.nan]
    first = make([0, 1, np.nan], [[0.6, 0.4], [0.1, 0.9], nan], {2: "bad"})
    second = make([1, 1, 0], [[0.1, 0.9], [0.3, 0.7], [1.0, 0.0]])
    found = averaged([first, second])
    np.testing.assert_allclose(found.probabilities, [[0.35, 0.65], [0.2, 0.8], nan])
    assert found.named.tolist() == ["b", "b", None]
    assert found.problems == {2: "bad"}
    assert (found.routes, found.n_steps) == (None, None)


def test_labels_of_the_mean_probabilities():
    found = averaged([make([[0, 1]], [[0.4, 0.7]]), make([[1, 0]], [[0.8, 0.2]])])
    assert found.values.tolist() == [[1, 0]]


def test_mean_numbers():
    assert averaged([make([[1.0], [5.0]]), make([[2.0], [np.nan]])]).values[0].tolist() == [1.5]


class Fold(nn.Module):
    """A network of a fold, as far as its average needs it."""

    def __init__(self, outputs, *, scale=None, task="multiclass"):
        super().__init__()
        self.outputs, self.target_scale = torch.tensor(outputs), scale
        self.class_names, self.columns, self.modalities = (), (), tuple(MODALITIES.values())[:1]
        self.task = Task(task, self.outputs.shape[1])

    def forward(self, data):
        return self.outputs


def scale(mean, std):
    return Scale(torch.tensor([mean]).double(), torch.tensor([std]).double())


def test_the_average_network_has_the_mean_probabilities():
    folds = [Fold([[0.0, 0.0], [5.0, 0.0]]), Fold([[0.0, 100.0], [5.0, 0.0]])]
    found = NetworkAverage(folds)({"x": [1, 2]}).softmax(dim=1)
    certain = 1 / (1 + math.exp(-5))
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75], [certain, 1 - certain]]))


def test_numbers_are_averaged_in_the_unit_of_the_data():
    """12 and 20 are 16, which is 3 standard deviations of 2 above the 10 of the first network."""
    folds = [Fold([[1.0]], scale=scale(10, 2), task="regression"), Fold([[0.0]], scale=scale(20, 4), task="regression")]
    assert NetworkAverage(folds)({"x": [1]}).tolist() == [[3.0]]


class WarningFold(Fold):
    """A network of a fold that warns of the data."""

    def __init__(self, *messages):
        super().__init__([[0.0, 1.0]])
        self.messages = messages

    def forward(self, data):
        for message in self.messages:
            warnings.warn(message, stacklevel=1)
        return super().forward(data)

    def predictions(self, data, *, started=None, pixel_probabilities=False):
        self(data)
        return make([0.0], [[0.5, 0.5]])


@pytest.mark.parametrize("method", ["forward", "predictions"])
def test_a_warning_of_several_networks_is_shown_once(method):
    missing = "column wave of the data: 1 value is missing"
    rare = [DataWarning(f"the data {UNKNOWN_CATEGORIES}: site in {count} rows") for count in (2, 3)]
    folds = [WarningFold(MissingValuesWarning(missing, modality="wave"), one) for one in rare]
    folds.append(WarningFold(DataWarning("all rows lack the modality text")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(NetworkAverage(folds), method)({"x": [1.0]})
    assert [str(one.message) for one in caught] == [missing, str(rare[0]), "all rows lack the modality text"]
    assert caught[0].message.modality == "wave"
    with warnings.catch_warnings(), pytest.raises(MissingValuesWarning, match="1 value is missing"):
        warnings.simplefilter("error")
        getattr(NetworkAverage(folds), method)({"x": [1.0]})
