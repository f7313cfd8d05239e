import numpy as np
import pytest

from benchmarks.search.learning_curve import CHANCE, EPOCHS, FLOOR, error_of, noisy_curve


def test_no_quality_is_chance_and_errors_fall_to_the_floor() -> None:
    errors = error_of(np.array([0.0, 1.0, 2.0, 100.0]))
    assert errors[0] == CHANCE and errors[-1] == pytest.approx(FLOOR)
    assert (np.diff(errors) < 0).all()


def test_curves_fall_from_near_chance_to_the_error() -> None:
    curves = np.array([noisy_curve(0.2, speed=5.0, seed=seed) for seed in range(400)])
    assert curves.shape == (400, EPOCHS)
    assert curves[:, -1].mean() == pytest.approx(0.2, abs=0.002)
    assert curves[:, -1].std() == pytest.approx(0.16 * 0.04, rel=0.2)
    means = curves.mean(axis=0)
    assert (np.diff(means) < 0).all() and means[0] > 0.5


def test_the_seed_of_a_training_decides_its_noise() -> None:
    one, same, other = (noisy_curve(0.2, speed=5.0, seed=seed) for seed in (1, 1, 2))
    assert (one == same).all() and (one != other).all()
