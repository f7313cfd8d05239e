"""The metric of operating points where the modality is missing without which a network is worst."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch

from nasfuse.data.dataset import Dataset
from nasfuse.domain.metric import METRICS
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.nn.knob import knobs_at, settings_of
from nasfuse.nn.network import Network
from nasfuse.train.cross_validation import FoldNetwork, pooled_score
from nasfuse.train.evaluation import evaluate, predict_logits
from nasfuse.train.sweep import set_network

#: From the settings of a point and a modality to the metric where all validation samples lack the modality.
MetricWithout = Callable[[Mapping[str, float], str], float]


def with_robust_metric(
    points: Sequence[OperatingPoint], network: Network, dataset: Dataset, *, metric: str, device: torch.device
) -> tuple[OperatingPoint, ...]:
    """Returns the operating points of a trained network with their `robust_metric`, measured on validation data.

    Args:
        points: Operating points of `network`.
        network: On `device`; at the end it has its own settings.
        dataset: Data of the training.
        metric: Name of the metric.
        device: CPU or GPU.
    """
    own = settings_of(network.knobs())

    def without(settings: Mapping[str, float], name: str) -> float:
        set_network(network, {**own, **settings})
        return evaluate(network, dataset.val.without(name), metric=metric, task=dataset.task, device=device)[0]

    found = _with_worst(points, network, [m.name for m in dataset.modalities], metric=metric, without=without)
    set_network(network, own)
    return found


def with_robust_metric_of_folds(
    points: Sequence[OperatingPoint],
    folds: Sequence[FoldNetwork],
    *,
    n_folds: int,
    metric: str,
    device: torch.device,
) -> tuple[OperatingPoint, ...]:
    """Returns the operating points of `measure_folds` with their `robust_metric`; for the arguments see there."""
    first, task = folds[0], folds[0].dataset.task.kind

    def without(settings: Mapping[str, float], name: str) -> float:
        splits = [fold.dataset.val.without(name) for fold in folds]
        outputs = []
        for fold, split in zip(folds, splits, strict=True):
            with knobs_at(fold.network.knobs(), settings):
                outputs.append(predict_logits(fold.network, split, device=device))
        parts = [slice(start, start + n_folds) for start in range(0, len(folds), n_folds)]
        return statistics.fmean(pooled_score(metric, outputs[part], splits[part], task=task) for part in parts)

    names = [modality.name for modality in first.dataset.modalities]
    return _with_worst(points, first.network, names, metric=metric, without=without)


def _with_worst(
    points: Sequence[OperatingPoint],
    network: Network,
    modalities: Iterable[str],
    *,
    metric: str,
    without: MetricWithout,
) -> tuple[OperatingPoint, ...]:
    """Returns the points that hold with the worst metric over all `modalities`; those not read change nothing."""
    sign = METRICS[metric].sign
    is_read = {name: name in network.stream_names for name in modalities}

    def worst(point: OperatingPoint) -> float:
        values = [without(point.settings, name) if read else point.metric for name, read in is_read.items()]
        return max(values, key=lambda value: sign * value)

    return tuple(replace(point, robust_metric=worst(point)) if point.holds else point for point in points)
