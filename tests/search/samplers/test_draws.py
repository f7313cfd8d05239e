"""Draws: climbing finds the best, and nothing that is taken."""

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from nasfuse.search.samplers import Domain
from nasfuse.search.samplers.draws import climb, mutate


def rng():
    return np.random.default_rng(0)


def test_the_best_is_found_to_some_digits():
    domain = Domain.unconditional({f"x{index}": FloatDistribution(0, 1) for index in range(5)})
    ranked = climb(
        domain, lambda rows: -np.abs(rows - 0.3).sum(axis=1), rng=rng(), parents=np.empty((0, 5)), taken=set()
    )
    np.testing.assert_allclose(ranked[0], 0.3, atol=0.03)


def test_ranked_and_each_once_and_none_that_is_taken():
    domain = Domain.unconditional({"x": IntDistribution(1, 6), "y": IntDistribution(1, 6)})
    taken = {np.array([x, y], dtype=float).tobytes() for x in (5, 6) for y in range(1, 7)}
    ranked = climb(domain, lambda rows: rows.sum(axis=1), rng=rng(), parents=np.array([[6.0, 6.0]]), taken=taken)
    assert len(ranked) == 24
    assert ranked[0].tolist() == [4, 6]
    assert (np.diff(ranked.sum(axis=1)) <= 0).all()


def test_no_draws_are_left():
    domain = Domain.unconditional({"x": IntDistribution(1, 2)})
    taken = {np.array([float(x)]).tobytes() for x in (1, 2)}
    assert len(climb(domain, lambda rows: rows[:, 0], rng=rng(), parents=np.array([[1.0]]), taken=taken)) == 0


@pytest.mark.parametrize("width", [0.01, 0.5])
def test_mutants_differ_a_little_and_are_complete(domain, width):
    parents = domain.rows(rng().random((200, 4)))
    mutants = mutate(domain, parents, rng=rng(), width=width)
    assert all(domain.row(domain.parameters(row)).tobytes() == row.tobytes() for row in mutants)
    same = (mutants == parents) | (np.isnan(mutants) & np.isnan(parents))
    assert 0.5 < same.mean() < 0.9
    assert same.all(axis=1).mean() < 0.2
    assert np.isfinite(mutants[(mutants[:, 0] == 0), 1]).all()
