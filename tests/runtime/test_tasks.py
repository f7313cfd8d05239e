"""Confidence of outputs, of a batch and of one sample."""

import math

import numpy as np
import pytest

from nasfuse.runtime.tasks import confidence, confidence_of_one


def test_of_classes_it_is_the_largest_probability():
    outputs = [math.log(0.2), math.log(0.5), math.log(0.3)]
    assert confidence("multiclass", np.array([outputs])) == pytest.approx(0.5)
    assert confidence_of_one("multiclass", outputs) == pytest.approx(0.5)


def test_large_outputs_do_not_overflow():
    assert confidence_of_one("multiclass", [2000.0, 0.0]) == 1.0


def test_of_labels_it_is_one_minus_the_mean_entropy_in_bits():
    outputs = [0.0, math.log(3)]  # probabilities 1/2 and 3/4
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert confidence("multilabel", np.array([outputs])) == pytest.approx(1 - (1 + entropy) / 2)
    assert confidence_of_one("multilabel", outputs) == pytest.approx(1 - (1 + entropy) / 2)
