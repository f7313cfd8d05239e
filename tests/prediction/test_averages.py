"""Averages of predictions."""

import numpy as np

from nasfuse.prediction import Predictions, averaged


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
