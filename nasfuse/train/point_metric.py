"""Metrics on validation data at the settings of operating points, of one network and of the networks of folds."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from nasfuse.data.dataset import Dataset, Split
from nasfuse.domain.knob import parted
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.nn.knob import knobs_at, settings_of
from nasfuse.nn.network import Network
from nasfuse.train.cross_validation import FoldNetwork, pooled_score
from nasfuse.train.evaluation import evaluate, predict_digests
from nasfuse.train.sweep import set_network
from nasfuse.train.trained import Trained

#: From the settings of a point and the name of a modality that all samples lack (None: they lack none) to the metric.
MetricAt = Callable[[Mapping[str, float], str | None], float]


@contextmanager
def metric_of_network(network: Network, dataset: Dataset, *, metric: str, device: torch.device) -> Iterator[MetricAt]:
    """Yields the metric of a trained network as a function of a setting; at the end it has its own settings.

    Args:
        network: On `device`, with the calibrations of the sweep if it has a router.
        dataset: Data of the training.
        metric: Name of the metric.
        device: CPU or GPU.
    """
    own = settings_of(network.knobs())

    def metric_at(settings: Mapping[str, float], without: str | None) -> float:
        set_network(network, {**own, **settings})
        return evaluate(network, _lacking(dataset.val, without), metric=metric, task=dataset.task, device=device)[0]

    try:
        yield metric_at
    finally:
        set_network(network, own)


def metric_of_folds(folds: Sequence[FoldNetwork], *, n_folds: int, metric: str, device: torch.device) -> MetricAt:
    """Returns the metric of a cross-validated recipe as a function of a setting; for the arguments see `measure_folds`.

    It is computed from the predictions for all samples, and averaged over the divisions into folds.
    """
    task = folds[0].dataset.task.kind

    def metric_at(settings: Mapping[str, float], without: str | None) -> float:
        splits = [_lacking(fold.dataset.val, without) for fold in folds]
        digests = []
        for fold, split in zip(folds, splits, strict=True):
            with knobs_at(fold.network.knobs(), settings):
                digests.append(predict_digests(fold.network, split, task=task, device=device))
        parts = [slice(start, start + n_folds) for start in range(0, len(folds), n_folds)]
        return statistics.fmean(pooled_score(metric, digests[part], splits[part], task=task) for part in parts)

    return metric_at


def of_each_network(
    points: Sequence[OperatingPoint],
    trained: Trained,
    more_of: Callable[[tuple[OperatingPoint, ...], Network], tuple[OperatingPoint, ...]],
) -> tuple[OperatingPoint, ...]:
    """Returns what `more_of` returns for the points of a network, and for those of each of its sub-networks.

    Args:
        points: Operating points of a training.
        trained: The training.
        more_of: Gets points and their network, whose other knobs the points have; returns as many points.
    """
    groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for place, point in enumerate(points):
        groups.setdefault(tuple(parted(point.knobs)[0].items()), []).append(place)
    found = list(points)
    for elastic, places in groups.items():
        own = [replace(points[place], knobs=parted(points[place].knobs)[1]) for place in places]
        for place, point in zip(places, more_of(tuple(own), trained.at(dict(elastic))), strict=True):
            found[place] = replace(point, knobs=points[place].knobs)
    return tuple(found)


def _lacking(split: Split, name: str | None) -> Split:
    return split if name is None else split.without(name)
