"""Coverage: which draws belong to families of networks that were tried too seldom so far."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.domain import Array, Domain
from nasfuse.search.samplers.families import Families, without_stream
from nasfuse.search.trial import TrialView

#: Draws that are searched for networks of a family that can be trained, and how many of them are checked for each.
_N_DRAWS = 512
_N_CHECKED = 8
_SEED = 0

#: Parts of the range of an ordered parameter in which values are counted.
_N_PARTS = 3


class Coverage:
    """Decides which draws of a domain are due, so that every family is tried once before any is tried twice."""

    def __init__(self, domain: Domain, costs: Costs, tried: Array) -> None:
        """Counts the families.

        Args:
            domain: Domain of the draws.
            costs: Decides which draws can be trained. A family without such a draw is never due.
            tried: Rows (n, p) of the suggestions so far, see `suggested_rows`.
        """
        self._domain = domain
        self._families = Families(domain)
        self._needs = self._families.needs(tried, possible=_possible(self._families, domain, costs))
        ordered = [index for index, column in enumerate(domain.columns) if column.is_ordinal]
        self._ordered = np.array(
            [index for index in ordered if domain.columns[index].n_levels not in (1, 2)], dtype=int
        )
        paths = [without_stream(domain.columns[index].name) for index in self._ordered]
        self._paths = np.array([paths.index(path) for path in paths], dtype=np.int64)
        self._seen = np.zeros((len(paths), _N_PARTS), dtype=np.bool_)
        parts, exists = self._parts(tried)
        paths_of_rows = np.broadcast_to(self._paths, parts.shape)
        self._seen[paths_of_rows[exists], parts[exists]] = True

    @property
    def is_complete(self) -> bool:
        """Whether every family has been tried often enough."""
        return not self._needs.any()

    def gains(self, rows: Array) -> Array:
        """Returns how much coverage each of `rows` (n, p) would add, shape (n,); 0 for all once it is complete.

        Of draws that add the same families, those with values of ordered parameters in thirds of their ranges that were
        not tried yet add more.
        """
        if self.is_complete:
            return np.zeros(len(rows))
        parts, exists = self._parts(rows)
        new = exists & ~self._seen[self._paths, parts]
        return np.asarray(self._families.of(rows) @ self._needs + new.sum(axis=1) / (len(self._ordered) + 1))

    def variants(self, units: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Returns distinct rows (n, p) and their gains (n,), the largest first.

        The first of the draws is at `units` (p,) of the unit cube; all others have random values of the discrete
        parameters, families among them.
        """
        drawn = np.tile(units, (_N_DRAWS, 1))
        discrete = [index for index, column in enumerate(self._domain.columns) if column.n_levels]
        drawn[1:, discrete] = rng.random((_N_DRAWS - 1, len(discrete)))
        rows = self._domain.rows(drawn)
        rows = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
        gains = self.gains(rows)
        order = np.argsort(-gains, kind="stable")
        return rows[order], gains[order]

    def _parts(self, rows: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Returns in which part of its range each ordered value of `rows` is, and whether it exists, both (n, q)."""
        units = self._domain.units(rows)[:, self._ordered]
        exists = ~np.isnan(units)
        return np.clip(np.nan_to_num(units) * _N_PARTS, 0, _N_PARTS - 1).astype(np.int64), exists


def suggested_rows(trials: Sequence[TrialView], domain: Domain) -> Array:
    """Returns the rows (n, p) of the suggestions among `trials` that were trained, failed or are running.

    Hand-made designs, repetitions, operating points and rejected draws are no such suggestions.
    """
    rows = [domain.row(trial.params) for trial in trials if _is_suggestion(trial)]
    return np.array([row for row in rows if row is not None], dtype=np.float64).reshape(-1, len(domain.columns))


def _is_suggestion(trial: TrialView) -> bool:
    was_rejected = trial.is_void or trial.is_over_max_macs or (trial.is_failed and not trial.has_recipe)
    return not (was_rejected or trial.is_baseline or trial.is_repetition or trial.is_operating_point)


def _possible(families: Families, domain: Domain, costs: Costs) -> NDArray[np.bool_]:
    """Returns of which families a network can be trained within the limit on MACs, as far as random draws tell."""
    if not families.names:
        return np.zeros(0, dtype=np.bool_)
    rows = domain.rows(np.random.default_rng(_SEED).random((_N_DRAWS, len(domain.columns))))
    return np.array(
        [any(costs.can_be_trained(row) for row in rows[members][:_N_CHECKED]) for members in families.of(rows).T],
        dtype=np.bool_,
    )
