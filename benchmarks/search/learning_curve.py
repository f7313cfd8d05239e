"""Learning curves of problems that are formulas: from chance to an error with the noise of a training."""

import math

import numpy as np
from numpy.typing import NDArray

#: Epochs of a full training.
EPOCHS = 12

#: Error of a network that guesses, of ten classes, and the error that no network is below.
CHANCE = 0.9
FLOOR = 0.04

#: Standard deviation of the noise of a training, relative to the distance of the error from the floor.
_NOISE = 0.04

#: Standard deviation of an epoch around the curve of its training, on the same scale.
_JITTER = 0.02


def error_of(quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the mean errors over trainings of networks of `quality` >= 0; chance for 0, the floor for infinity."""
    return FLOOR + (CHANCE - FLOOR) * np.exp(-quality)


def noisy_curve(error: float, *, speed: float, seed: int) -> NDArray[np.float64]:
    """Returns the error after each epoch of one training, shape (EPOCHS,).

    Args:
        error: Mean error over trainings after the last epoch.
        speed: How many times the distance from the error becomes e times smaller in a training.
        seed: Seed of the training.
    """
    rng = np.random.default_rng(seed)
    end = FLOOR + (error - FLOOR) * math.exp(_NOISE * rng.normal())
    left = np.exp(-speed * np.arange(1, EPOCHS + 1) / EPOCHS)
    left = (left - left[-1]) / (1 - left[-1])
    curve = FLOOR + (end + (CHANCE - end) * left - FLOOR) * np.exp(_JITTER * rng.normal(size=EPOCHS))
    curve[-1] = end
    return np.asarray(np.minimum(curve, 1.0))
