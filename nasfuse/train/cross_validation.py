"""Measuring the networks of a cross-validation: metrics of predictions pooled over folds."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nasfuse.data.dataset import Dataset, Split
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.errors import DataError
from nasfuse.nn.knob import knobs_at
from nasfuse.nn.network import Network
from nasfuse.train.equilibrium import measured_macs, record_equilibria
from nasfuse.train.evaluation import predict_digests
from nasfuse.train.measurement import own_point, swept_point
from nasfuse.train.metrics import score
from nasfuse.train.sweep import sweep_with


@dataclass(frozen=True)
class FoldNetwork:
    """A static network that was trained on all folds but one.

    Attributes:
        network: Network in inference mode.
        dataset: Data with the remaining fold as `val`.
    """

    network: Network
    dataset: Dataset


def measure_folds(
    folds: Sequence[FoldNetwork], *, n_folds: int, metric: str, device: torch.device
) -> tuple[tuple[OperatingPoint, ...], dict[str, Any]]:
    """Returns the operating points of a cross-validated recipe, and what its record should have.

    A point is one setting of the knobs of all networks. Its metric is computed from the predictions for all samples,
    each by the network that was not trained on it, and averaged over the divisions into folds. MACs are averaged over
    the networks; other costs are those of the first. Ranking metrics (`auc`) of pooled predictions compare the outputs
    of different networks, and are lower than the mean over folds if these are scaled differently (Forman and Scholz,
    2010).

    The record has `validation`, with the metric of each division and their standard deviation (None for one), and
    `equilibrium`, what the solvers of the first network do.

    Args:
        folds: Networks of the folds, division by division.
        n_folds: Number of folds of a division.
        metric: Name of the metric.
        device: Device of the networks.

    Raises:
        NonFiniteError: The solver of an equilibrium diverged.
    """
    first = folds[0]

    def by_division(setting: Mapping[str, float]) -> list[float]:
        return _scores(folds, setting, n_folds=n_folds, metric=metric, device=device)

    def macs(setting: Mapping[str, float]) -> float:
        return statistics.fmean(_macs(fold, setting, device) for fold in folds)

    equilibria = [record_equilibria(fold.network, fold.dataset, device=device) for fold in folds]
    own = by_division({})
    deviation = statistics.stdev(own) if len(own) > 1 else None
    record: dict[str, Any] = {"validation": {"folds": n_folds, "by_division": own, "sd": deviation}}
    if equilibria[0]:
        record["equilibrium"] = equilibria[0]
    point = own_point(first.network, first.dataset, metric=statistics.fmean(own), macs=macs({}), device=device)
    swept = sweep_with(
        first.network,
        first.dataset.modalities,
        metric=metric,
        value=lambda setting: statistics.fmean(by_division(setting)),
        macs=macs,
    )
    return (point, *(swept_point(first.network, point, one, first.dataset, device=device) for one in swept)), record


def metric_so_far(
    digests: Sequence[Tensor], splits: Sequence[Split], *, n_folds: int, metric: str, task: str
) -> float | None:
    """Returns the metric of the predictions for the first folds of a cross-validation, the mean over its divisions.

    None if the metric is undefined for these folds, for example because they lack a class.

    Args:
        digests: (n, m) digests of the outputs for each fold.
        splits: The folds.
        n_folds: Number of folds of a division.
        metric: Name of the metric.
        task: Kind of task.
    """
    try:
        return statistics.fmean(_by_division(digests, splits, n_folds=n_folds, metric=metric, task=task))
    except DataError:
        return None


def _scores(
    folds: Sequence[FoldNetwork], setting: Mapping[str, float], *, n_folds: int, metric: str, device: torch.device
) -> list[float]:
    """Returns the metric of each division into folds."""
    digests = [digests_of_fold(fold, setting, device=device) for fold in folds]
    splits, task = [fold.dataset.val for fold in folds], folds[0].dataset.task.kind
    return _by_division(digests, splits, n_folds=n_folds, metric=metric, task=task)


def _by_division(
    digests: Sequence[Tensor], splits: Sequence[Split], *, n_folds: int, metric: str, task: str
) -> list[float]:
    """Returns the metric of each division into folds, of which the last may lack some; see `metric_so_far`."""
    parts = [slice(start, start + n_folds) for start in range(0, len(digests), n_folds)]
    return [pooled_score(metric, digests[part], splits[part], task=task) for part in parts]


def pooled_score(metric: str, digests: Sequence[Tensor], splits: Sequence[Split], *, task: str) -> float:
    """Returns the metric called `metric` of the predictions for several splits together; NaN if one is not finite.

    Args:
        metric: Name of the metric.
        digests: (n, m) digests of the outputs of a network for each split.
        splits: Splits, which may standardise regression targets differently.
        task: Kind of task.

    Raises:
        DataError: The metric is undefined for the targets.
    """
    together, targets = pooled(digests, splits)
    if not torch.isfinite(together).all():
        return float("nan")
    return score(metric, together, targets, task=task, target_scale=splits[0].target_scale)


def pooled(digests: Sequence[Tensor], splits: Sequence[Split]) -> tuple[Tensor, Tensor]:
    """Returns the digests and the targets of several splits together; numbers are standardised as in the first split.

    Args:
        digests: (n, m) digests of the outputs of a network for each split.
        splits: Splits, which may standardise regression targets differently.
    """
    together = torch.cat([_in_scale_of(splits[0], one, split) for one, split in zip(digests, splits, strict=True)])
    return together, torch.cat([_in_scale_of(splits[0], split.targets, split) for split in splits])


def _in_scale_of(first: Split, numbers: Tensor, split: Split) -> Tensor:
    """Returns regression outputs or targets of `split` as standardised by `first`; others unchanged."""
    own, common = split.target_scale, first.target_scale
    if own is None or common is None:
        return numbers
    return (numbers.double() * own.std + (own.mean - common.mean)) / common.std


def digests_of_fold(fold: FoldNetwork, setting: Mapping[str, float], *, device: torch.device) -> Tensor:
    """Returns the (n, m) digests of the outputs for a fold, with knobs of its network at a setting."""
    with knobs_at(fold.network.knobs(), setting):
        return predict_digests(fold.network, fold.dataset.val, task=fold.dataset.task.kind, device=device)


def _macs(fold: FoldNetwork, setting: Mapping[str, float], device: torch.device) -> float:
    with knobs_at(fold.network.knobs(), setting):
        return measured_macs(fold.network, fold.dataset.val, fold.dataset, device=device)
