"""A learned rule that decides at every exit of a sequential network what going on gains, as a control in `routing.py`.

At every exit, gradient boosting predicts for each later route by how much its error is lower than that of the exit,
from the exit's outputs (logits, largest probability, margin, entropy) and from cheap statistics of the modalities that
have not run yet (mean, standard deviation, minimum and maximum of every channel). A sample goes on if, for some later
route, the predicted gain is worth more than the MACs that are added, at a price that is the same for all samples and
exits (a cost-sensitive post-hoc rule). The models are fitted to validation data. On validation data themselves,
predictions for a sample are from models fitted to other folds.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold
from torch import Tensor

from nasfuse.data import Split
from nasfuse.domain.route import parse_route
from nasfuse.tasks import task_kind
from nasfuse.train.route_table import RouteTable

#: Folds of the predictions for validation data, and prices on the curve.
N_FOLDS = 5
N_PRICES = 101

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LearnedGain:
    """Predicted gains of the later routes at every exit.

    Attributes:
        models: Exit and later route to the model of the gain.
        uses_statistics: Whether the models read statistics of modalities that have not run.
    """

    models: dict[tuple[int, int], HistGradientBoostingRegressor]
    uses_statistics: bool

    @classmethod
    def fit(cls, table: RouteTable, split: Split, rows: Array, *, uses_statistics: bool) -> "LearnedGain":
        """Fits the models to the samples `rows` of a split."""
        errors = table.errors().double().numpy()
        models = {}
        for stop in range(len(table.names) - 1):
            features = _features(table, split, stop, uses_statistics=uses_statistics)[rows]
            for later in range(stop + 1, len(table.names)):
                model = HistGradientBoostingRegressor(
                    max_iter=100,
                    learning_rate=0.05,
                    max_depth=3,
                    min_samples_leaf=20,
                    l2_regularization=1.0,
                    random_state=0,
                )
                models[stop, later] = model.fit(features, errors[rows, stop] - errors[rows, later])
        return cls(models, uses_statistics)

    def predict(self, table: RouteTable, split: Split, rows: Array) -> Array:
        """Returns the predicted gains (n, exits, routes) of the samples `rows`; -inf where a route is no later one."""
        n_routes = len(table.names)
        gains = np.full((len(rows), n_routes - 1, n_routes), -np.inf)
        for (stop, later), model in self.models.items():
            features = _features(table, split, stop, uses_statistics=self.uses_statistics)[rows]
            gains[:, stop, later] = model.predict(features)
        return gains


def gain_curve(
    table: RouteTable, split: Split, *, on_val: RouteTable, val: Split, uses_statistics: bool
) -> list[tuple[float, float]]:
    """Returns (MACs, metric) of the rule on a split at all prices, cheapest first.

    Args:
        table: Table of the routes on `split`.
        split: Split on which the rule is judged.
        on_val: Table of the routes on validation data, to which the rule is fitted.
        val: Validation data.
        uses_statistics: Whether the rule reads statistics of modalities that have not run. Two operations per value of
            these modalities are added to the MACs of every sample.
    """
    every = np.arange(len(table.targets))
    if split is val:
        gains = np.empty((len(every), len(table.names) - 1, len(table.names)))
        for train, held in KFold(N_FOLDS, shuffle=True, random_state=0).split(every):
            model = LearnedGain.fit(on_val, val, train, uses_statistics=uses_statistics)
            gains[held] = model.predict(table, split, held)
    else:
        fitted = LearnedGain.fit(on_val, val, np.arange(len(on_val.targets)), uses_statistics=uses_statistics)
        gains = fitted.predict(table, split, every)
    macs = table.macs.double().numpy()
    extra = _statistics_macs(table, split) if uses_statistics else 0.0
    added = np.maximum(macs[:, None, :] - macs[:, :-1, None], 1.0)
    worth = np.where(np.isfinite(gains), gains / added, -np.inf).max(axis=2)
    prices = np.quantile(worth, np.linspace(0, 1, N_PRICES))
    points = []
    for price in np.unique([prices.min() - 1, *prices, prices.max() + 1]):
        stops = worth <= price
        chosen = np.where(stops.any(axis=1), stops.argmax(axis=1), len(table.names) - 1)
        spent = float(macs[every, chosen].mean()) + extra
        points.append((spent, table.metric_of(torch.from_numpy(chosen))))
    return sorted(points)


def _features(table: RouteTable, split: Split, stop: int, *, uses_statistics: bool) -> Array:
    """Returns the (n, k) inputs of the models at exit `stop`."""
    outputs = table.digests[:, stop].double()
    blocks = [outputs, task_kind(table.task.kind).confidence_features(outputs)]
    if uses_statistics:
        blocks += [_statistics(split, name) for name in _not_run(table, stop)]
    return torch.cat(blocks, dim=1).numpy()


def _not_run(table: RouteTable, stop: int) -> list[str]:
    """Returns the modalities that no route up to `stop` runs."""
    run = {name for route in table.names[: stop + 1] for name in parse_route(route)}
    return [name for name in parse_route(table.names[-1]) if name not in run]


def _statistics(split: Split, name: str) -> Tensor:
    """Returns mean, standard deviation, minimum and maximum of every channel of a modality, shape (n, 4 channels)."""
    rows = torch.arange(len(split))
    batch = split.batch(rows, names=(name,))
    values = batch.inputs[name].double()
    values = values.flatten(2).transpose(1, 2) if values.ndim == 4 else values  # image: (n, pixels, channels)
    values = values[:, :, None] if values.ndim == 2 else values
    mask = batch.masks.get(name)
    held = torch.ones(values.shape[:2], dtype=torch.bool) if mask is None else mask
    weights = held[:, :, None].double()
    count = weights.sum(dim=1).clamp_min(1.0)
    mean = (values * weights).sum(dim=1) / count
    spread = (((values - mean[:, None]) ** 2 * weights).sum(dim=1) / count).sqrt()
    lowest = values.masked_fill(~held[:, :, None], torch.inf).amin(dim=1)
    highest = values.masked_fill(~held[:, :, None], -torch.inf).amax(dim=1)
    return torch.cat([mean, spread, lowest, highest], dim=1)


def _statistics_macs(table: RouteTable, split: Split) -> float:
    """Returns the multiply-accumulates of the statistics per sample: a sum and a sum of squares for every value."""
    first = split.batch(torch.arange(1), names=tuple(_not_run(table, 0)))
    return 2.0 * sum(values.numel() for values in first.inputs.values())
