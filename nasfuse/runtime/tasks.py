"""From outputs to probabilities, predictions and confidence, by kind of task."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.domain.task import TASKS

Array = NDArray[Any]


def probabilities(task: str, outputs: Array) -> Array | None:
    """Returns float64 probabilities of classes or labels for outputs (n, k) or (n, k, H, W); None for a regression."""
    values = outputs.astype(np.float64)
    if TASKS[task].is_exclusive:
        shifted = np.exp(values - values.max(axis=1, keepdims=True))
        result: Array = shifted / shifted.sum(axis=1, keepdims=True)
        return result
    return _sigmoid(values) if TASKS[task].has_classes else None


def predicted(task: str, outputs: Array) -> Array:
    """Returns (n,) numbers of classes, (n, k) zeros and ones, or (n, k) standardised numbers; float64.

    For maps of outputs (n, k, H, W) they are (n, H, W) uint8 numbers of classes.
    """
    if TASKS[task].is_dense:
        return np.asarray(outputs.argmax(axis=1), np.uint8)
    if TASKS[task].is_exclusive:
        return np.asarray(outputs.argmax(axis=1), np.float64)
    if TASKS[task].has_classes:
        return (outputs > 0).astype(np.float64)
    return np.asarray(outputs, np.float64)


def confidence(task: str, outputs: Array) -> Array:
    """Returns (n,) how sure float64 outputs (n, k) are: the largest probability, or 1 - the mean entropy in bits.

    For maps (n, k, H, W) it is the mean of the largest probabilities over the pixels.
    """
    if TASKS[task].is_exclusive:
        shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        largest: Array = 1 / shifted.sum(axis=1)
        return np.asarray(largest.reshape(len(largest), -1).mean(axis=1))
    entropy = np.logaddexp(0, outputs) - outputs * _sigmoid(outputs)
    return np.asarray(1 - entropy.mean(axis=1) / np.log(2))


def confidence_of_one(task: str, outputs: Sequence[float]) -> float:
    """Returns the same for one sample, in plain numbers: a call of numpy takes as long as a small layer."""
    if not TASKS[task].is_exclusive:
        return float(confidence(task, np.array([outputs]))[0])
    largest = max(outputs)
    return 1 / sum(math.exp(value - largest) for value in outputs)


def _sigmoid(values: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -values)))
