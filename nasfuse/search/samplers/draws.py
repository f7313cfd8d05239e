"""Draws: random rows of a domain, and a local search from the best of them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nasfuse.search.samplers.domain import Array, Domain

_N_DRAWS = 1000
_N_MUTANTS = 200

#: Local search: number of starting rows, children per row and step, and widths of the steps.
_N_CLIMBS = 16
_N_CHILDREN = 16
_WIDTHS = (0.2, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02, 0.01)


def climb(
    domain: Domain,
    score: Callable[[Array], Array],
    *,
    rng: np.random.Generator,
    parents: Array,
    offered: Array | None = None,
    taken: set[bytes],
) -> Array:
    """Returns draws (n, p) that are not `taken`, best first, from a local search started at random draws.

    Args:
        domain: Domain of the draws.
        score: Maps rows (n, p) to scores (n,); larger is better.
        rng: Random number generator.
        parents: Rows (k, p), possibly none, whose mutants are added to the random draws.
        offered: Rows (m, p) that are added to the random draws as they are.
        taken: Rows, as bytes, to leave out.
    """
    rows = domain.rows(rng.random((_N_DRAWS, len(domain.columns))))
    if len(parents):
        chosen = np.resize(np.arange(len(parents)), _N_MUTANTS)
        rows = np.concatenate([rows, mutate(domain, parents[chosen], rng=rng, width=0.1)])
    if offered is not None:
        rows = np.concatenate([rows, offered])
    rows = _fresh(rows, taken)
    scores = score(rows)
    best = np.argsort(-scores, kind="stable")[:_N_CLIMBS]
    tops, top_scores = rows[best], scores[best]
    seen, seen_scores = [rows], [scores]
    for width in _WIDTHS:
        children = mutate(domain, np.repeat(tops, _N_CHILDREN, axis=0), rng=rng, width=width)
        child_scores = score(children)
        child_scores[[row.tobytes() in taken for row in children]] = -np.inf
        seen.append(children)
        seen_scores.append(child_scores)
        families = child_scores.reshape(len(tops), _N_CHILDREN) if len(tops) else np.empty((0, _N_CHILDREN))
        winner = np.arange(len(tops)) * _N_CHILDREN + families.argmax(axis=1)
        better = child_scores[winner] > top_scores
        tops = np.where(better[:, None], children[winner], tops)
        top_scores = np.where(better, child_scores[winner], top_scores)
    ranked = np.concatenate(seen)[np.argsort(-np.concatenate(seen_scores), kind="stable")]
    return _fresh(ranked, taken)


def mutate(domain: Domain, rows: Array, *, rng: np.random.Generator, width: float) -> Array:
    """Returns a mutant of each of `rows` (n, p): one or two parameters change, by about `width` of their range."""
    units = domain.units(rows)
    absent = np.isnan(units)
    fresh = rng.random(units.shape)
    moved = _moved(domain, np.where(absent, fresh, units), fresh, rng=rng, width=width)
    exists = (~absent).sum(axis=1, keepdims=True)
    change = rng.random(units.shape) < 1.5 / np.maximum(exists, 1)
    forced = np.where(absent, -1.0, rng.random(units.shape)).argmax(axis=1)
    change[np.arange(len(rows)), forced] = True
    return domain.rows(np.where(absent, fresh, np.where(change, moved, units)))


def _moved(domain: Domain, units: Array, fresh: Array, *, rng: np.random.Generator, width: float) -> Array:
    """Returns `units` (n, p) after a step: at least one level for discrete columns, a new draw for unordered ones."""
    levels = np.array([column.n_levels for column in domain.columns])
    ordered = np.array([column.is_ordinal for column in domain.columns])
    steps = rng.normal(size=units.shape) * width
    one_level = np.divide(1.0, levels, out=np.zeros(len(levels)), where=levels > 0)
    steps += np.sign(steps) * one_level / 2
    # A step beyond an end of the range stops at the end, where many optima are, such as a dropout of zero.
    return np.where(ordered, np.clip(units + steps, 0.0, 1.0), fresh)


def _fresh(rows: Array, taken: set[bytes]) -> Array:
    """Returns the distinct rows of `rows`, in their order, without those in `taken`."""
    seen = set(taken)
    keep: NDArray[np.bool_] = np.zeros(len(rows), dtype=np.bool_)
    for index, row in enumerate(rows):
        key = row.tobytes()
        keep[index] = key not in seen
        seen.add(key)
    return rows[keep]
